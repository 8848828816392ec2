"""Preset `abx`: can two sounds be told apart? X is A or B, and the listener says which.

Where there are references, each system is compared with the reference of its prompt; otherwise all pairs of systems
are. All sounds of a prompt have one length and are switched on one clock.
"""

from __future__ import annotations

import itertools
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.pages import Page, Pair, Require
from clipsonic_listening_test.prepare.design import Pass
from clipsonic_listening_test.prepare.material import Draft, Material, Options, Recipe
from clipsonic_listening_test.prepare.naming import joined
from clipsonic_listening_test.prepare.passes import EVERYONE, assembled
from clipsonic_listening_test.prepare.presets.mushra import common_frames

MOST_TRIALS: Final = 30


def draft(material: Material, options: Options) -> Draft:
    """Draft an ABX study.

    Raises:
        ListeningTestError: nothing to compare, lengths that differ within a prompt, passes asked for.
    """
    samples = material.samples
    if options.passes is not None:
        raise ListeningTestError("--passes has no meaning for abx, which asks one question; leave it out")
    frames = common_frames(material)
    recipes = {
        key: Recipe(joined("system", *key), "system", key[1], path, key[0], key[1], frames=frames[key[1]])
        for key, path in samples.sounds.items()
    }
    references = {
        prompt: Recipe(joined("reference", prompt), "reference", prompt, path, None, prompt, frames=frames[prompt])
        for prompt, path in samples.references.items()
    }
    pages = []
    for prompt in samples.prompts:
        own = [recipes[system, prompt] for system in samples.systems_of(prompt)]
        real = references.get(prompt)
        both = [(real, one) for one in own] if real is not None else list(itertools.combinations(own, 2))
        pages += [_page(prompt, one, other) for one, other in both]
    if not pages:
        raise ListeningTestError("abx needs two systems, or a system and a reference; add one")
    one = Pass("abx", tuple(pages), Page("abx-instructions", "instructions"))
    made = (*recipes.values(), *references.values())
    return assembled(material, options, [one], made, {}, (EVERYONE,), MOST_TRIALS, [])


def _page(prompt: str, one: Recipe, other: Recipe) -> Page:
    return Page(
        joined("abx", prompt, one.system or "reference", other.system or "reference"),
        "abx",
        prompt=prompt,
        stimuli=(one.id, other.id),
        switching="sync",
        loop=True,
        require=Require(heard_s=1.0),
        pair=Pair(("x",)),
    )
