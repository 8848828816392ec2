"""A plan: which units of work (system x item x seed) make up a run, and digests of everything that decides them.

`plan.json` is written before anything else. A folder that already holds a plan is only worked on if the plan is the
same: `run` then does what has no line in `items.jsonl` yet. Another plan is refused, and the first field that
differs is named. A new run has a new folder; there is no way to overwrite.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import append_lines, digest, read_json, read_lines, write_json

SCHEMA: Final = 1


@dataclass(frozen=True)
class Unit:
    """One sound to make. `key` is the digest of system, item and seed: what the sound depends on."""

    item: str
    seed: int
    key: str


@dataclass(frozen=True)
class Plan:
    """What a run of one system is. `left_out` holds items the system has no sound for, with the reason."""

    suite: Mapping[str, Any]
    system: Mapping[str, Any]
    items: Mapping[str, Any]
    seeds: tuple[int, ...]
    units: tuple[Unit, ...]
    left_out: Mapping[str, str]

    def record(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "suite": dict(self.suite),
            "items": dict(self.items),
            "seeds": list(self.seeds),
            "system": dict(self.system),
            "left_out": dict(self.left_out),
            "units": [[unit.item, unit.seed, unit.key] for unit in self.units],
        }

    @cached_property
    def digest(self) -> str:
        return digest(self.record())

    def sound_path(self, item: str, seed: int) -> str:
        """Where a unit's sound lies, relative to the run's folder."""
        return f"sounds/{item}.wav" if len(self.seeds) == 1 else f"sounds/seed-{seed}/{item}.wav"


def make_plan(
    suite: Mapping[str, Any],
    system: Mapping[str, Any],
    items: Mapping[str, str],
    seeds: Sequence[int],
    left_out: Mapping[str, str],
) -> Plan:
    """Plan all units of one system; `items` maps ids to digests of their content."""
    who = digest(system)
    units = tuple(
        Unit(id, seed, digest([who, id, content, seed])[:16])
        for id, content in items.items()
        if id not in left_out
        for seed in seeds
    )
    return Plan(suite, system, {"count": len(items), "sha256": digest(items)}, tuple(seeds), units, left_out)


def read_plan(folder: Path) -> Plan:
    """The plan of a run's folder."""
    record = read_json(folder / "plan.json", SCHEMA, "clipsonic-bench run")
    units = tuple(Unit(item, seed, key) for item, seed, key in record["units"])
    return Plan(record["suite"], record["system"], record["items"], tuple(record["seeds"]), units, record["left_out"])


def check_folder(folder: Path, plan: Plan) -> None:
    """Raises BenchmarkError if the folder holds another plan, or something else, naming the difference."""
    if not (folder / "plan.json").exists():
        if folder.is_dir() and any(not name.startswith(".") for name in os.listdir(folder)):
            raise BenchmarkError(f"{folder} is not empty and holds no plan; choose another --out or --run")
        return
    held = read_plan(folder)
    if held.digest != plan.digest:
        where, there, here = first_difference(held.record(), plan.record())
        raise BenchmarkError(
            f"{folder} holds another plan: {where} is {there} there and {here} here; "
            "repeat the earlier command to resume it, or choose another --run or --out for a new run"
        )


def first_difference(there: Any, here: Any, where: str = "") -> tuple[str, str, str]:
    """Path of the first field in which two records differ, with both values in short."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in [*there, *(key for key in here if key not in there)]:
            if there.get(key) != here.get(key):
                return first_difference(there.get(key), here.get(key), f"{where}.{key}" if where else str(key))
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for index, (a, b) in enumerate(zip(there, here, strict=True)):
            if a != b:
                return first_difference(a, b, f"{where}[{index}]")
    return where, _short(there), _short(here)


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 4:
        return f"a list of {len(value)}"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def write_plan(folder: Path, plan: Plan) -> None:
    """Write `plan.json`, unless the folder already holds it."""
    if not (folder / "plan.json").exists():
        write_json(folder / "plan.json", plan.record())


@dataclass
class Log:
    """`items.jsonl` of a run: one line per finished or failed unit, appended in batches and synced to disk.

    The last line about a unit counts. A unit is finished if its line has no `error` and its sound is there.
    """

    folder: Path
    plan: Plan

    def __post_init__(self) -> None:
        keys = {unit.key for unit in self.plan.units}
        self._lines = {line["key"]: line for line in read_lines(self.path) if line["key"] in keys}

    @property
    def path(self) -> Path:
        return self.folder / "items.jsonl"

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        append_lines(self.path, lines)
        self._lines |= {line["key"]: dict(line) for line in lines}

    def waiting(self) -> list[Unit]:
        """Units without a finished sound, in the order of the plan. Failed ones are tried again."""
        return [unit for unit in self.plan.units if not self._is_finished(unit)]

    def _is_finished(self, unit: Unit) -> bool:
        line = self._lines.get(unit.key)
        return line is not None and "error" not in line and (self.folder / line["file"]).exists()

    def lines(self) -> list[dict[str, Any]]:
        """The last line of every unit that has one, in the order of the plan."""
        return [self._lines[unit.key] for unit in self.plan.units if unit.key in self._lines]

    def finished(self) -> list[dict[str, Any]]:
        """Lines of finished items, in the order of the plan: of those of which every seed is finished."""
        unfinished = {unit.item for unit in self.waiting()}
        return [line for line in self.lines() if line["item"] not in unfinished]

    def failed(self) -> dict[str, str]:
        """Items of which a sound failed, with the error."""
        return {line["item"]: line["error"] for line in self.lines() if "error" in line}
