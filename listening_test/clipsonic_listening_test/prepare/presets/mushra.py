"""Preset `mushra`: processed versions of recordings against their originals (ITU-R BS.1534-3).

Each trial has the mentioned reference and, unlabelled, the hidden reference, low anchor (3.5 kHz), mid anchor (7 kHz)
and at most nine systems, all of one length, switched on one clock. One attribute, basic audio quality, on the
continuous quality scale. No pictures.
"""

from __future__ import annotations

import math
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.pages import Attribute, Page, Require
from clipsonic_listening_test.prepare.anchors import LOW_HZ, MID_HZ, low_pass
from clipsonic_listening_test.prepare.design import MOST_SIGNALS, Pass, split_systems
from clipsonic_listening_test.prepare.material import Draft, Material, Options, Recipe
from clipsonic_listening_test.prepare.naming import joined
from clipsonic_listening_test.prepare.passes import CQS, EVERYONE, assembled
from clipsonic_listening_test.study import Role

MOST_TRIALS: Final = 12
QUALITY: Final = Attribute("quality", "cqs", "quality")
ANCHORED_SHARE: Final = 1e-3
_SIGNALS: Final[dict[Role, int | None]] = {
    "reference": None,
    "hidden_reference": None,
    "low_anchor": LOW_HZ,
    "mid_anchor": MID_HZ,
}
_RULES: Final = (
    "BS.1534-3 hidden reference: a listener is excluded who rates it below 90 on more than 15 % of the trials",
    "BS.1534-3 mid anchor: a listener is excluded who rates it above 90 on more than 15 % of the trials, not counting "
    "trials where more than 25 % of the listeners do",
)


def draft(material: Material, options: Options) -> Draft:
    """Draft a MUSHRA study.

    Raises:
        ListeningTestError: a prompt without a reference, lengths that differ within a prompt, passes asked for.
    """
    samples = material.samples
    if options.passes is not None:
        raise ListeningTestError("--passes has no meaning for mushra, which has one attribute; leave it out")
    missing = [prompt for prompt in samples.prompts if prompt not in samples.references]
    if missing:
        raise ListeningTestError(
            f"mushra needs a reference of every prompt, and {', '.join(missing)} have none; put them into "
            "SAMPLES/reference, or name the system that is the reference with --reference"
        )
    low_pass(MID_HZ, material.rate_hz)  # refuses a rate without room for the anchors
    frames = common_frames(material)
    sounds = {
        key: Recipe(joined("system", *key), "system", key[1], path, key[0], key[1], frames=frames[key[1]])
        for key, path in samples.sounds.items()
    }
    signals = {
        (role, prompt): Recipe(
            joined(role.replace("_", "-"), prompt), role, prompt, path, None, prompt, edge, frames=frames[prompt]
        )
        for prompt, path in samples.references.items()
        for role, edge in _SIGNALS.items()
    }
    sets, line = split_systems(samples.systems, list(samples.prompts), MOST_SIGNALS - 3, options.seed)
    pages = []
    for prompt in samples.prompts:
        for number, systems in enumerate(sets[prompt], start=1):
            hidden = [signals[role, prompt].id for role in _SIGNALS if role != "reference"]
            stimuli = [sounds[system, prompt].id for system in systems if (system, prompt) in sounds]
            if not stimuli:
                continue  # --incomplete: none of this part's systems has the prompt
            id = joined("quality", prompt, *([str(number)] if len(sets[prompt]) > 1 else []))
            pages.append(
                Page(
                    id,
                    "mushra",
                    prompt=prompt,
                    reference=signals["reference", prompt].id,
                    stimuli=(*stimuli, *hidden),
                    attributes=(QUALITY,),
                    switching="sync",
                    loop=True,
                    require=Require(heard_s=2.0, one_at_top=True),
                )
            )
    one = Pass("quality", tuple(pages), Page("quality-instructions", "instructions"))
    notes = [*([line] if line else []), *_dull(material)]
    recipes = (*sounds.values(), *signals.values())
    return assembled(material, options, [one], recipes, {"cqs": CQS}, (EVERYONE,), MOST_TRIALS, notes, _RULES)


def common_frames(material: Material) -> dict[str, int]:
    """The length of each prompt's stimuli: that of all its files, which may differ only by resampling's rounding.

    Raises:
        ListeningTestError: lengths that differ by more than one sample of the lowest rate; all are named.
    """
    samples = material.samples
    frames, faults = {}, []
    for prompt in samples.prompts:
        own = [path for (_, each), path in samples.sounds.items() if each == prompt]
        own += [samples.references[prompt]] if prompt in samples.references else []
        lengths = {path: material.frames(path) for path in own}
        allowed = math.ceil(material.rate_hz / min(material.facts[path].rate_hz for path in own))
        if max(lengths.values()) - min(lengths.values()) > allowed:
            told = ", ".join(f"{samples.origin(path)} {material.seconds(path):.4f} s" for path in own)
            faults.append(f"{prompt} ({told})")
        frames[prompt] = math.floor(min(lengths.values()))
    if faults:
        raise ListeningTestError(
            f"switching on one clock needs one length per prompt, and {len(faults)} differ: {'; '.join(faults)}; "
            "cut them to one length"
        )
    return frames


def _dull(material: Material) -> list[str]:
    """Which references have so little above 3.5 kHz that the anchors may not be heard to differ."""
    dull = [
        prompt
        for prompt, path in material.samples.references.items()
        if material.facts[path].high_share < ANCHORED_SHARE
    ]
    return [f"anchors may be inaudible: little above 3.5 kHz in the references of {', '.join(dull)}"] if dull else []
