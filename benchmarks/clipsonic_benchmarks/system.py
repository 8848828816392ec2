"""What a system is: anything that turns items into sounds, and says exactly who it is.

`identity` is mandatory and has no default: it holds the digest of everything that decides the sounds (weights,
route, guidance, steps, files), so a result is never attributed to another system. It must be cheap: it is asked
before anything is generated. `generate` is called in a worker process with a few items at a time; the sounds may not
depend on which items come together, on their order, or on the process. Randomness is addressed by (seed, item id).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clipsonic_benchmarks.registry import load
from clipsonic_benchmarks.split import Item, Split, read_split
from clipsonic_benchmarks.suite import EncoderSpec

if TYPE_CHECKING:
    from clipsonic_metrics.sound import Sound


@dataclass(frozen=True)
class Source:
    """The run whose sounds another system plays: its folder, the digest of its plan, the items it answers."""

    folder: Path
    plan_sha256: str
    answered: tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """What a system may draw on. Paths and names only, so that it travels to a worker process.

    items, reference: prepared splits. model: the model that systems use when they name none. source: for a system that
    plays the sounds of another one (`after` in the registry), None for the rest.
    """

    items: Path
    reference: Path | None
    model: str
    encoders: EncoderSpec
    source: Source | None = None


class System(Protocol):
    """A system, made by `Class(name, argument, context)`."""

    @staticmethod
    def check(name: str, argument: str | None, model: str) -> None:
        """Raise BenchmarkError for what is wrong whatever the items: asked before items are made, which takes time."""
        ...

    def identity(self) -> Mapping[str, str | int | float | None]:
        """Everything that decides the sounds, by name, with digests."""
        ...

    def unanswered(self, items: Sequence[Item]) -> Mapping[str, str]:
        """Ids of items this system has no sound for, with the reason. Known before anything is generated."""
        ...

    def generate(self, items: Sequence[Item], seed: int) -> list[Sound]:
        """One sound per item, in the order of the items."""
        ...


@lru_cache(maxsize=4)
def cached_split(folder: Path) -> Split:
    """A prepared split, read once per process."""
    return read_split(folder)


def make_system(target: str, name: str, argument: str | None, context: Context) -> System:
    """Make a system from its registry entry."""
    system: System = load(target)(name, argument, context)
    return system


@lru_cache(maxsize=32)
def cached_system(target: str, name: str, argument: str | None, context: Context) -> System:
    """A system made once per process: for workers, which are asked again and again."""
    return make_system(target, name, argument, context)


def item_generator(seed: int, id: str, purpose: str) -> np.random.Generator:
    """The generator of one item for one purpose: the same in any batch, order or process."""
    key = hashlib.sha256(f"{seed}\0{id}\0{purpose}".encode()).digest()
    return np.random.default_rng(np.frombuffer(key, dtype=np.uint32))
