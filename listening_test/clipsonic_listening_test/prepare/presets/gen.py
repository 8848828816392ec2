"""Preset `gen`: how good do generated sounds sound, and how well do they match what was asked for?

    fidelity    all systems of a prompt on one page, the prompt hidden. A real recording of the prompt is among them
                (hidden, not mentioned: people match what they are shown as a reference). On some pages one more
                stimulus is a 3.5 kHz low-pass of one that has something above: the low end of the scale.
    relevance   the same sounds in another order, the prompt pinned. One more stimulus belongs to another prompt: the
                low end, and a check of attention in one.

Passes by different listeners (`between`, the default), one after the other (`within`), or both questions on one page
(`same-page`, which departs from one attribute per trial).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.order import shuffled
from clipsonic_listening_test.pages import Attribute, Page, Pass, Require
from clipsonic_listening_test.prepare.anchors import LOW_HZ
from clipsonic_listening_test.prepare.design import MOST_SIGNALS, split_systems
from clipsonic_listening_test.prepare.material import Draft, Material, Options, Recipe
from clipsonic_listening_test.prepare.naming import joined
from clipsonic_listening_test.prepare.passes import CQS, RELEVANCE, PassPages, draft_of, passes_asked, shown_of

MOST_TRIALS: Final = 12
DEGRADED_EVERY: Final = 3
AUDIBLE_SHARE: Final = 1e-3  # energy above 3.5 kHz, -30 dB: less is not missed when it is gone
_ATTRIBUTES: Final[dict[Pass, Attribute]] = {
    "fidelity": Attribute("fidelity", "cqs", "fidelity"),
    "relevance": Attribute("relevance", "relevance", "relevance"),
}


@dataclass(frozen=True)
class Extras:
    """Stimuli that are no system's, by prompt."""

    real: dict[str, Recipe]
    degraded: dict[str, Recipe]
    mismatch: dict[str, Recipe]

    def recipes(self) -> tuple[Recipe, ...]:
        return (*self.real.values(), *self.degraded.values(), *self.mismatch.values())


def draft(material: Material, options: Options) -> Draft:
    """Draft a study of generated sounds.

    Raises:
        ListeningTestError: relevance is asked for and there is nothing that sounds could be relevant to.
    """
    samples = material.samples
    asked = passes_asked(options, "between", samples)
    extras, notes = _extras(material, options)
    most = MOST_SIGNALS - (1 if extras.real else 0) - 2
    sets, line = split_systems(samples.systems, list(samples.prompts), most, options.seed)
    sounds = {
        key: Recipe(joined("system", *key), "system", key[1], path, key[0], key[1])
        for key, path in samples.sounds.items()
    }

    def pages(passes: tuple[Pass, ...]) -> PassPages:
        made = []
        for prompt in samples.prompts:
            for number, systems in enumerate(sets[prompt], start=1):
                stimuli = [sounds[system, prompt].id for system in systems if (system, prompt) in sounds]
                stimuli += [extras.real[prompt].id] if prompt in extras.real else []
                if "fidelity" in passes and prompt in extras.degraded:
                    stimuli += [extras.degraded[prompt].id]
                if "relevance" in passes and prompt in extras.mismatch:
                    stimuli += [extras.mismatch[prompt].id]
                made.append(_page(passes, material, prompt, number if len(sets[prompt]) > 1 else None, stimuli))
        lonely = [page.prompt for page in made if len(page.stimuli) < 2]
        if lonely:
            raise ListeningTestError(
                f"{', '.join(str(each) for each in lonely)}: one sound alone cannot be compared; add systems, "
                "leave such prompts out, or take --preset mos"
            )
        return tuple(made)

    recipes = (*sounds.values(), *extras.recipes())
    scales = {"cqs": CQS, "relevance": RELEVANCE}
    return draft_of(material, options, asked, pages, recipes, scales, MOST_TRIALS, [*notes, *([line] if line else [])])


def _page(passes: tuple[Pass, ...], material: Material, prompt: str, number: int | None, stimuli: list[str]) -> Page:
    name = passes[0] if len(passes) == 1 else "both"
    relevance = "relevance" in passes
    return Page(
        joined(name, prompt, *([str(number)] if number is not None else [])),
        "multi",
        pass_=passes[0] if len(passes) == 1 else None,
        prompt=prompt,
        show=shown_of(material.samples.prompts[prompt]) if relevance else (),
        stimuli=tuple(stimuli),
        attributes=tuple(_ATTRIBUTES[each] for each in passes),
        switching="restart",
        require=Require(heard_s=2.0, coverage=0.8 if relevance else 0.5),
    )


def _extras(material: Material, options: Options) -> tuple[Extras, list[str]]:
    samples = material.samples
    real = {
        prompt: Recipe(joined("hidden-real", prompt), "hidden_real", prompt, path, None, prompt)
        for prompt, path in samples.references.items()
    }
    degraded = _degraded(material, options)
    mismatch = _mismatch(material, options)
    notes = [f"real recordings of {len(real)} of {len(samples.prompts)} prompts are among the stimuli, unmentioned"]
    notes = notes if real else ["no real recordings: there is no hidden control"]
    notes += [] if degraded else ["no degraded stimulus: no sound has enough above 3.5 kHz for a low-pass to be heard"]
    notes += [] if mismatch else ["no mismatched stimulus: there is no other prompt to take it from"]
    return Extras(real, degraded, mismatch), notes


def _degraded(material: Material, options: Options) -> dict[str, Recipe]:
    """On every third page: the real recording, or the sound that loses most, without what is above 3.5 kHz."""
    samples = material.samples
    found = {}
    for prompt in samples.prompts:
        own = [samples.sounds[system, prompt] for system in samples.systems_of(prompt)]
        sources = [samples.references[prompt]] if prompt in samples.references else own
        path = max(sources, key=lambda source: material.facts[source].high_share)
        if material.facts[path].high_share >= AUDIBLE_SHARE:
            id = joined("degraded", prompt)
            found[prompt] = Recipe(id, "degraded", prompt, path, None, prompt, low_pass_hz=LOW_HZ)
    count = -(-len(samples.prompts) // DEGRADED_EVERY)
    chosen = set(shuffled(found, options.seed, "degraded")[:count])
    return {prompt: recipe for prompt, recipe in found.items() if prompt in chosen}


def _mismatch(material: Material, options: Options) -> dict[str, Recipe]:
    """For each prompt a sound of another: real where there are real ones, else of the systems in turn."""
    samples = material.samples
    found = {}
    for number, (prompt, source) in enumerate(samples.prompts.items()):
        others = [
            other
            for other, asked in samples.prompts.items()
            if other != prompt and (asked.text, asked.image, asked.video) != (source.text, source.image, source.video)
        ]
        real = [samples.references[other] for other in others if other in samples.references]
        made: list[Path] = [
            samples.sounds[system, other]
            for system in samples.systems[number % len(samples.systems) :] + samples.systems
            for other in shuffled(others, options.seed, prompt, "mismatch")
            if (system, other) in samples.sounds
        ][:1]
        sources = shuffled(real, options.seed, prompt, "mismatch") or made
        if sources:
            found[prompt] = Recipe(joined("mismatch", prompt), "mismatch", prompt, sources[0], None, prompt)
    return found
