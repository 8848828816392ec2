"""Run a suite: prepare its items, plan, generate what is missing, embed, score, compare, and write the record.

Killed at any moment, the same command goes on where it stopped: finished sounds are kept in `items.jsonl`,
everything after them is computed anew from the files, from caches that are addressed by content. Results do not
depend on the number of workers, on batches, or on how often a run was stopped.

    OUT/SUITE@VERSION/SYSTEM/RUN/{plan.json, items.jsonl, sounds/, result.json}
    OUT/SUITE@VERSION/{record-RUN.json, report-RUN.html}
    OUT/.cache/      splits and embeddings; safe to delete
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.generate import Batch, generate_batch
from clipsonic_benchmarks.plan import Log, check_folder, make_plan, write_plan
from clipsonic_benchmarks.prepare import prepare_csv, prepare_world, read_table
from clipsonic_benchmarks.progress import Progress
from clipsonic_benchmarks.registry import SYSTEMS, SystemSpec, load
from clipsonic_benchmarks.split import Split
from clipsonic_benchmarks.suite import Suite
from clipsonic_benchmarks.system import Context, Source, make_system
from clipsonic_benchmarks.work import as_done

_BATCH: Final = 20


@dataclass(frozen=True)
class Request:
    """What to run.

    table: the CSV of the user's own items, for a suite that has none of its own. chosen: whether the user named the
    systems; if not, those that can answer none of the user's items are passed over, and said to be.
    """

    suite: Suite
    systems: tuple[SystemSpec, ...]
    metrics: tuple[str, ...]
    seeds: tuple[int, ...]
    n: int | None
    out: Path
    name: str = "main"
    workers: int = 2
    model: str | None = None
    table: Path | None = None
    chosen: bool = True

    @property
    def folder(self) -> Path:
        return self.out / self.suite.id

    @property
    def cache(self) -> Path:
        return self.out / ".cache"


@dataclass(frozen=True, eq=False)
class SystemRun:
    """One system of a run: its folder and its log."""

    spec: SystemSpec
    folder: Path
    context: Context
    log: Log


@dataclass(frozen=True, eq=False)
class Finished:
    """What generation leaves for scoring."""

    items: Split
    reference: Split | None
    runs: tuple[SystemRun, ...]
    passed_over: dict[str, str]
    started: str


def with_sources(systems: Sequence[SystemSpec]) -> tuple[SystemSpec, ...]:
    """The systems in an order in which each comes after the one whose sounds it plays, which is added if need be."""
    ordered: dict[str, SystemSpec] = {}
    for spec in systems:
        if spec.entry.after is not None:
            ordered.setdefault(spec.entry.after, SystemSpec(spec.entry.after))
        ordered.setdefault(spec.text, spec)
    return tuple(ordered.values())


def for_each_model(systems: Sequence[SystemSpec], models: Sequence[str]) -> tuple[SystemSpec, ...]:
    """Every route of CLIPSonic once per model; the other systems, and routes that name a model themselves, once."""
    expanded: dict[str, SystemSpec] = {}
    for spec in systems:
        several = spec.entry.family == "route" and spec.argument is None
        for one in [SystemSpec(spec.name, model) for model in models] if several else [spec]:
            expanded.setdefault(one.text, one)
    return tuple(expanded.values())


@contextmanager
def claimed(request: Request) -> Iterator[None]:
    """Hold the run's folder: a second process that is told to write there is refused.

    Raises:
        BenchmarkError: another process holds it.
    """
    request.folder.mkdir(parents=True, exist_ok=True)
    with (request.folder / f".{request.name}.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BenchmarkError(
                f"another process writes run {request.name!r} in {request.folder}; wait for it, or choose another --run"
            ) from None
        yield


def generate(request: Request, executor: Executor, progress: Progress) -> Finished:
    """Prepare, plan, and generate every sound that is missing.

    Raises:
        BenchmarkError: bad input, another plan in the folder, no space, or a system that fails on every item.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    rows = read_table(request.table) if request.table is not None else []
    for spec in request.systems:
        load(spec.entry.target).check(spec.name, spec.argument, request.model or request.suite.model)
    items, reference = _prepare(request, len(rows), executor, progress)
    runs, passed_over = _plan(request, items, reference)
    batches = [batch for run in runs for batch in _batches(run)]
    waiting = sum(len(batch.units) for batch in batches)
    by_folder = {run.folder: run for run in runs}
    with progress.stage("generation", f"generating {waiting} sounds", waiting) as advance:
        for first in (True, False):  # systems that play another's sounds come after all others
            now = [batch for batch in batches if (SYSTEMS[batch.name].after is None) is first]
            for batch, lines in as_done(executor, generate_batch, now):
                by_folder[batch.folder].log.append(lines)
                advance(len(batch.units))
    for run in runs:
        failed = run.log.failed()
        if failed and not run.log.finished():
            raise BenchmarkError(
                f"system {run.spec.text!r} failed on every item, first with: {next(iter(failed.values()))}"
            )
    return Finished(items, reference, runs, passed_over, started)


def _prepare(request: Request, rows: int, executor: Executor, progress: Progress) -> tuple[Split, Split | None]:
    suite = request.suite
    if suite.items is None:
        assert request.table is not None
        with progress.stage("decoding", "preparing your media", rows) as advance:
            items = prepare_csv(request.cache, request.table, executor, advance)
        return items, None
    asked = suite.items if request.n is None else replace(suite.items, n=request.n)
    items = prepare_world(request.cache, asked, executor, request.workers, progress)
    reference = None
    if suite.reference is not None:
        reference = prepare_world(request.cache, suite.reference, executor, request.workers, progress)
    return items, reference


def _plan(request: Request, items: Split, reference: Split | None) -> tuple[tuple[SystemRun, ...], dict[str, str]]:
    """Plan every system. All plans are checked before the first is written, so a refusal changes nothing.

    Also gives the systems that were passed over, with the reason.
    """
    suite = request.suite
    context = Context(
        items.folder, reference.folder if reference is not None else None, request.model or suite.model, suite.encoders
    )
    runs: list[SystemRun] = []
    passed_over: dict[str, str] = {}
    for spec in with_sources(request.systems):
        folder = request.folder / spec.folder_name / request.name
        own = context
        if spec.entry.after is not None:
            played = next(run for run in runs if run.spec.text == spec.entry.after)
            answered = dict.fromkeys(unit.item for unit in played.log.plan.units)
            own = replace(context, source=Source(played.folder, played.log.plan.digest, tuple(answered)))
        needs = spec.entry.needs
        lacking = {item.id: f"no {need}" for item in items.items for need in needs if not item.has(need)}
        if len(lacking) == len(items) and not request.chosen:
            passed_over[spec.text] = f"no item has a {' and a '.join(needs)}"
            continue
        system = make_system(spec.entry.target, spec.name, spec.argument, own)
        left_out = lacking | dict(system.unanswered([item for item in items.items if item.id not in lacking]))
        _check_left_out(request, spec, items, left_out)
        plan = make_plan(
            {**suite.record(), "n": len(items)},
            {"name": spec.name, "argument": spec.argument, "identity": dict(system.identity())},
            {item.id: item.digest for item in items.items},
            request.seeds,
            left_out,
        )
        check_folder(folder, plan)
        runs.append(SystemRun(spec, folder, own, Log(folder, plan)))
    for run in runs:
        write_plan(run.folder, run.log.plan)
    return tuple(runs), passed_over


def _check_left_out(request: Request, spec: SystemSpec, items: Split, left_out: dict[str, str]) -> None:
    if len(left_out) == len(items):
        reason = next(iter(left_out.values()))
        raise BenchmarkError(
            f"system {spec.text!r} can answer none of the {len(items)} items ({reason}); leave it out with --system"
        )
    if left_out and request.suite.items is not None:
        named = ", ".join(list(left_out)[:5]) + (", …" if len(left_out) > 5 else "")
        raise BenchmarkError(
            f"system {spec.text!r} leaves {len(left_out)} of {len(items)} items of {request.suite.id} unanswered "
            f"({named}); a suite is answered whole: add the missing sounds"
        )


def _batches(run: SystemRun) -> list[Batch]:
    batches = []
    waiting = run.log.waiting()
    for seed in run.log.plan.seeds:
        units = [unit for unit in waiting if unit.seed == seed]
        for start in range(0, len(units), _BATCH):
            batches.append(
                Batch(
                    run.spec.entry.target,
                    run.spec.name,
                    run.spec.argument,
                    run.context,
                    run.folder,
                    seed,
                    tuple(
                        (unit.item, unit.key, run.log.plan.sound_path(unit.item, seed))
                        for unit in units[start : start + _BATCH]
                    ),
                )
            )
    return batches
