"""Preset `pairs`: two systems of one prompt at a time, all pairs; which is better, which matches, or no difference.

The graph of comparisons is complete for every prompt, so connected. Which of the two is A is drawn per session.
"""

from __future__ import annotations

import itertools
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.pages import Page, Pair, Pass, Require
from clipsonic_listening_test.prepare.material import Draft, Material, Options, Recipe
from clipsonic_listening_test.prepare.naming import joined
from clipsonic_listening_test.prepare.passes import PassPages, draft_of, passes_asked, shown_of

MOST_TRIALS: Final = 30
QUESTIONS: Final[dict[Pass, str]] = {"fidelity": "better", "relevance": "match"}


def draft(material: Material, options: Options) -> Draft:
    """Draft a study of paired comparisons.

    Raises:
        ListeningTestError: fewer than two systems, or relevance is asked for and there is nothing to be relevant to.
    """
    samples = material.samples
    if len(samples.systems) < 2:
        raise ListeningTestError(f"pairs need two systems or more, and there is {', '.join(samples.systems)} alone")
    asked = passes_asked(options, "between", samples)
    sounds = {
        key: Recipe(joined("system", *key), "system", key[1], path, key[0], key[1])
        for key, path in samples.sounds.items()
    }

    def pages(passes: tuple[Pass, ...]) -> PassPages:
        return tuple(
            _page(passes, material, prompt, (sounds[one, prompt], sounds[other, prompt]))
            for prompt in samples.prompts
            for one, other in itertools.combinations(samples.systems_of(prompt), 2)
        )

    return draft_of(material, options, asked, pages, list(sounds.values()), {}, MOST_TRIALS, [], own_instructions=False)


def _page(passes: tuple[Pass, ...], material: Material, prompt: str, both: tuple[Recipe, Recipe]) -> Page:
    name = passes[0] if len(passes) == 1 else "both"
    relevance = "relevance" in passes
    return Page(
        joined(name, prompt, *(str(each.system) for each in both)),
        "pair",
        pass_=passes[0] if len(passes) == 1 else None,
        prompt=prompt,
        show=shown_of(material.samples.prompts[prompt]) if relevance else (),
        stimuli=tuple(each.id for each in both),
        require=Require(heard_s=2.0, coverage=0.8),
        pair=Pair(tuple(QUESTIONS[each] for each in passes), tie=True),
    )
