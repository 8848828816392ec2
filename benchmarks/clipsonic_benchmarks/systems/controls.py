"""Controls that need no model: the ceiling (`reference`) and two floors (`shuffled`, `noise`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.plan import read_plan
from clipsonic_benchmarks.split import RATE_HZ, Item, read_item_sound
from clipsonic_benchmarks.system import Context, cached_split, item_generator
from clipsonic_metrics.sound import Sound, read_sound

_NOISE_SECONDS = 2.048
_LEVEL_SOUNDS = 200


class _Control:
    """A control that needs nothing but the items."""

    @staticmethod
    def check(name: str, argument: str | None, model: str) -> None:
        pass


class Reference(_Control):
    """The item's own sound: what the best system would give, and the floor of every distance."""

    def __init__(self, name: str, argument: str | None, context: Context) -> None:
        self._split = cached_split(context.items)

    def identity(self) -> Mapping[str, str | int | float | None]:
        return {"sounds_sha256": self._split.digest}

    def unanswered(self, items: Sequence[Item]) -> Mapping[str, str]:
        return {}

    def generate(self, items: Sequence[Item], seed: int) -> list[Sound]:
        return [read_item_sound(item) for item in items]


class Shuffled(_Control):
    """The sounds of another system, each dealt to another item: right sounds, wrong queries.

    The deal is one cycle through all items (Sattolo 1986), drawn from the seed, so no item keeps its own sound.
    """

    def __init__(self, name: str, argument: str | None, context: Context) -> None:
        assert context.source is not None
        self._source = context.source

    def identity(self) -> Mapping[str, str | int | float | None]:
        return {
            "dealt": self._source.folder.parent.name,
            "dealt_plan_sha256": self._source.plan_sha256,
            "deal": "sattolo@1",
        }

    def unanswered(self, items: Sequence[Item]) -> Mapping[str, str]:
        reason = "the system whose sounds are dealt does not answer it"
        return {item.id: reason for item in items if item.id not in self._source.answered}

    def generate(self, items: Sequence[Item], seed: int) -> list[Sound]:
        plan = read_plan(self._source.folder)
        partner = deal(self._source.answered, seed)
        sounds = []
        for item in items:
            theirs = read_sound(self._source.folder / plan.sound_path(partner[item.id], seed))
            sounds.append(Sound(item.id, theirs.channels, theirs.rate_hz))
        return sounds


def deal(ids: Sequence[str], seed: int) -> dict[str, str]:
    """A seeded cyclic permutation of ids: each id's partner is another one.

    Raises:
        BenchmarkError: fewer than two ids.
    """
    if len(ids) < 2:
        raise BenchmarkError("system 'shuffled' needs at least 2 items to deal among; raise --n, or leave it out")
    order = sorted(ids)
    rng = np.random.default_rng([seed, len(order)])
    dealt = list(order)
    for last in range(len(dealt) - 1, 0, -1):
        other = int(rng.integers(last))  # below `last`, never itself: this is what makes it one cycle
        dealt[last], dealt[other] = dealt[other], dealt[last]
    return dict(zip(order, dealt, strict=True))


class Noise(_Control):
    """White noise at the level (root mean square) of the reference set, or of the items' own sounds without one."""

    def __init__(self, name: str, argument: str | None, context: Context) -> None:
        self._split = cached_split(context.items if context.reference is None else context.reference)

    @cached_property
    def _level(self) -> float:
        sounds = [read_item_sound(item) for item in self._split.items if item.sound is not None][:_LEVEL_SOUNDS]
        if not sounds:
            raise BenchmarkError("system 'noise' takes its level from real sounds, and no item has one; leave it out")
        return float(np.sqrt(np.mean([np.mean(sound.samples.astype(np.float64) ** 2) for sound in sounds])))

    def identity(self) -> Mapping[str, str | int | float | None]:
        return {"noise": "white", "level_rms": round(self._level, 9), "seconds": _NOISE_SECONDS}

    def unanswered(self, items: Sequence[Item]) -> Mapping[str, str]:
        return {}

    def generate(self, items: Sequence[Item], seed: int) -> list[Sound]:
        samples = round(_NOISE_SECONDS * RATE_HZ)
        return [
            Sound.of(
                item.id,
                item_generator(seed, item.id, "noise").normal(0, self._level, samples),
                RATE_HZ,
            )
            for item in items
        ]
