"""Presets, by name: each turns material into stimuli and pages. Imported when used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, cast

from clipsonic_listening_test.prepare.material import Draft, Material, Options
from clipsonic_listening_test.study import PresetName

PRESETS: Final[dict[PresetName, str]] = {
    "gen": "prompted generation: several systems side by side, fidelity and relevance, no reference mentioned",
    "mushra": "several systems against a reference, with hidden reference and anchors (ITU-R BS.1534-3)",
    "mos": "one sound at a time on a five-point scale (absolute category rating)",
    "pairs": "two systems at a time: which is better, which matches, or no difference",
    "abx": "is X the same as A or as B?",
}

Preset = Callable[[Material, Options], Draft]


def load_preset(name: PresetName) -> Preset:
    """The function that drafts a study of this preset."""
    return cast(Preset, import_module(f"{__name__}.{name}").draft)
