"""What presets work with: the sounds and facts of them, what the author asked for, and what a preset answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.pages import Block
from clipsonic_listening_test.prepare.anchors import LOWEST_RATE_HZ
from clipsonic_listening_test.prepare.decode import Facts
from clipsonic_listening_test.prepare.samples import Samples
from clipsonic_listening_test.study import Panel, PresetName, Role, Scale

Passes = Literal["between", "within", "same-page", "fidelity", "relevance"]
LANGUAGES: Final = ("en", "de", "es", "fr", "ar")
HIGHEST_RATE_HZ: Final = 96_000
TARGET_LUFS: Final = -23.0


@dataclass(frozen=True)
class Options:
    """What the author asked for. None leaves it to the preset.

    target_lufs: None keeps the levels of the files (all lowered alike if one would clip). per_participant: trials of
    each pass that a participant gets. training, replicates: pages of each per pass.
    """

    preset: PresetName
    id: str = "study"
    title: str = "Listening test"
    seed: int = 0
    passes: Passes | None = None
    target_lufs: float | None = TARGET_LUFS
    rate_hz: int | None = None
    per_participant: int | None = None
    ratings_per_page: int | None = None
    training: int = 1
    replicates: int = 1
    headphones: bool = True
    languages: tuple[str, ...] = LANGUAGES
    consent: str | None = None
    panel: Panel = field(default_factory=Panel)


@dataclass(frozen=True)
class Recipe:
    """How one stimulus is made. Stimuli of one group get files of one size.

    path and low_pass_hz, or the name of a signal made here; frames cuts the end off, where files of one trial differ
    by the rounding of resampling.
    """

    id: str
    role: Role
    group: str
    path: Path | None = None
    system: str | None = None
    prompt: str | None = None
    low_pass_hz: int | None = None
    signal: str | None = None
    frames: int | None = None


@dataclass(frozen=True)
class Material:
    """Samples, the facts of each file, and the rate and channel count that stimuli will have."""

    samples: Samples
    facts: Mapping[Path, Facts]
    rate_hz: int
    channels: int

    def frames(self, path: Path) -> float:
        """Length of a file at the study's rate; not whole where the rates have no common grid."""
        facts = self.facts[path]
        return facts.frames * self.rate_hz / facts.rate_hz

    def seconds(self, path: Path) -> float:
        facts = self.facts[path]
        return facts.frames / facts.rate_hz


@dataclass(frozen=True)
class Draft:
    """What a preset makes of the material: stimuli to be made, pages to be shown, and what there is to say of it."""

    recipes: tuple[Recipe, ...]
    blocks: tuple[Block, ...]
    groups: tuple[str, ...]
    scales: Mapping[str, Scale]
    rules: tuple[str, ...]
    notes: tuple[str, ...] = ()


def material_of(samples: Samples, facts: Mapping[Path, Facts], options: Options) -> Material:
    """Choose rate and channels, and refuse files that cannot be used, all of them in one message.

    The rate is the highest of the files', brought into 16 to 96 kHz; `--rate` overrides it. One channel remains one
    only if every file has one and no headphone check needs two.

    Raises:
        ListeningTestError: files with faults.
    """
    faults = [f"{samples.origin(path)} {each.fault}" for path, each in facts.items() if each.fault is not None]
    if faults:
        raise ListeningTestError(f"{len(faults)} of {len(facts)} sounds cannot be used: {'; '.join(faults)}")
    highest = max(each.rate_hz for each in facts.values())
    rate_hz = options.rate_hz or min(max(highest, LOWEST_RATE_HZ), HIGHEST_RATE_HZ)
    channels = 2 if options.headphones else max(each.channels for each in facts.values())
    return Material(samples, facts, rate_hz, channels)


def spread(values: Iterable[int], singular: str) -> str:
    """`44100 Hz` or `16000 to 44100 Hz`."""
    found = sorted(set(values))
    return f"{found[0]} {singular}" if len(found) == 1 else f"{found[0]} to {found[-1]} {singular}"
