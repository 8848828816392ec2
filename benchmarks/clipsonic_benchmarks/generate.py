"""Generate one batch of sounds, in a worker process, and write them.

A sound that a system cannot make is recorded as failed with its error, and the run goes on; it is never left out in
silence. No space on the device, and a system that cannot even be made, stop the run.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.split import Item, write_sound
from clipsonic_benchmarks.system import Context, System, cached_split, cached_system

if TYPE_CHECKING:
    from clipsonic_metrics.sound import Sound

SCHEMA = 1
_STORAGE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Batch:
    """Some units of one system and seed: (item, key, path of the sound in the run's folder)."""

    target: str
    name: str
    argument: str | None
    context: Context
    folder: Path
    seed: int
    units: tuple[tuple[str, str, str], ...]


def generate_batch(batch: Batch) -> list[dict[str, Any]]:
    """Make and write the sounds of a batch; one line of `items.jsonl` per unit, in order."""
    system = cached_system(batch.target, batch.name, batch.argument, batch.context)
    known = cached_split(batch.context.items).by_id()
    items = [known[item] for item, _, _ in batch.units]
    started = time.perf_counter()
    sounds = _sounds(system, items, batch.seed)
    seconds = round((time.perf_counter() - started) / len(items), 5)
    lines = []
    for (item, key, path), sound in zip(batch.units, sounds, strict=True):
        line: dict[str, Any] = {"schema": SCHEMA, "item": item, "seed": batch.seed, "key": key}
        if isinstance(sound, str):
            lines.append(line | {"error": sound})
            continue
        facts = write_sound(batch.folder / path, sound.samples, sound.rate_hz)
        lines.append(line | {"file": path, "query_sha256": known[item].digest, **facts, "seconds": seconds})
    return lines


def _sounds(system: System, items: list[Item], seed: int) -> list[Sound | str]:
    """A sound per item, or the error in its place. A batch that fails is tried item by item, to find the fault."""
    try:
        return [_checked(sound) for sound in system.generate(items, seed)]
    except (BenchmarkError, MemoryError):
        raise  # not the fault of an item
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _STORAGE:
            raise
        if len(items) == 1:
            return [f"{type(error).__name__}: {error}"]
        return [_sounds(system, [item], seed)[0] for item in items]


def _checked(sound: Sound) -> Sound | str:
    """A sound that cannot be scored (not finite, silent, too short) is a failure of the system that made it."""
    fault = sound.fault()
    return sound if fault is None else f"the sound is {fault}"
