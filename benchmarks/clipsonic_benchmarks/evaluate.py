"""Evaluate a finished generation: embed, score, compare, judge the claims, measure the gap; write and return the
record.

Everything here is computed from files and content-addressed caches, so doing it again is cheap and gives the same
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from clipsonic_benchmarks.claims import Comparison, check, judge
from clipsonic_benchmarks.embed import Asked, AskTask, EmbedTask, Heard, SoundFile, embed, embed_queries
from clipsonic_benchmarks.environment import environment
from clipsonic_benchmarks.files import file_digest, write_json
from clipsonic_benchmarks.gap import GapTask, RouteGap, measure
from clipsonic_benchmarks.progress import Progress
from clipsonic_benchmarks.registry import SystemSpec
from clipsonic_benchmarks.result import system_result, values, write_result
from clipsonic_benchmarks.run import Finished, Request, SystemRun
from clipsonic_benchmarks.score import CompareTask, Scored, ScoreTask, Sounds, Target, compare, score
from clipsonic_benchmarks.split import Split
from clipsonic_benchmarks.work import as_done

SCHEMA: Final = 1
_REFERENCE: Final = "the reference set"


def evaluate(request: Request, done: Finished, executor: Executor, progress: Progress) -> dict[str, Any]:
    """Score all systems of a run; writes each `result.json` and the run's record, and returns the latter."""
    target, heard = _embed(request, done, executor, progress)
    with progress.stage("scoring", f"scoring {len(done.runs)} systems", len(done.runs)) as advance:
        scored = _score(request, done, target, heard, executor, advance)
    pairs, forbidden = _pairs(request, done)
    with progress.stage("scoring", f"comparing {len(pairs)} pairs", len(pairs)) as advance:
        comparisons, incomparable = _compare(request, pairs, scored, target, heard, executor, advance)
    controls = _compare_controls(request, done, scored, target, heard, executor)
    gaps = _gap(request, done, executor, progress)
    return _write(request, done, target, scored, comparisons, controls, [*forbidden, *incomparable], gaps, progress)


def _embed(
    request: Request, done: Finished, executor: Executor, progress: Progress
) -> tuple[Target, dict[str, Sounds]]:
    cache = request.cache / "embeddings"
    encoders = request.suite.encoders
    tasks = [
        EmbedTask(run.spec.text, _files(run), encoders, request.metrics, cache)
        for run in done.runs
        if run.log.finished()
    ]
    real = _real_sounds(done.reference or done.items)
    if real:
        tasks.insert(0, EmbedTask(_REFERENCE, real, encoders, request.metrics, cache))
    heard: dict[str, Heard] = {}
    protocols: dict[str, str] = {}
    total = sum(len(task.sounds) for task in tasks)
    with progress.stage("embedding", f"embedding {total} sounds", total) as advance:
        asking = executor.submit(embed_queries, AskTask(done.items.folder, encoders, request.metrics))
        for task, (made, how) in as_done(executor, embed, tasks):
            heard[task.label] = made
            protocols = how
            advance(len(task.sounds))
        asked: Asked = asking.result()
    factors = {item.id: item.factors for item in done.items.items if item.factors is not None}
    reference = heard.pop(_REFERENCE).clap if real else []
    itself = ("reference",) if done.reference is None else ()
    target = Target(reference, asked.captions, asked.frames, factors, protocols, itself)
    sounds = {}
    for run in done.runs:
        finished = [line["item"] for line in run.log.finished()]
        sounds[run.spec.text] = Sounds(tuple(dict.fromkeys(finished)), run.log.plan.seeds, heard[run.spec.text])
    return target, sounds


def _files(run: SystemRun) -> tuple[SoundFile, ...]:
    return tuple(SoundFile(run.folder / line["file"], line["sound_sha256"]) for line in run.log.finished())


def _real_sounds(split: Split) -> tuple[SoundFile, ...]:
    return tuple(SoundFile(item.sound, file_digest(item.sound)) for item in split.items if item.sound is not None)


def _score(
    request: Request,
    done: Finished,
    target: Target,
    heard: dict[str, Sounds],
    executor: Executor,
    advance: Callable[[int], None],
) -> dict[str, Scored]:
    tasks = [ScoreTask(run.spec.text, heard[run.spec.text], target, request.metrics) for run in done.runs]
    scored = {}
    for task, result in as_done(executor, score, tasks):
        scored[task.label] = result
        advance(1)
    return scored


def _pairs(request: Request, done: Finished) -> tuple[list[tuple[str, str]], list[dict[str, str]]]:
    """The suite's pairs, for each model that both systems were run with; and those that a failed item forbids."""
    texts = {run.spec.text: run.log.failed() for run in done.runs}
    models = dict.fromkeys(run.spec.argument for run in done.runs)
    pairs = [(SystemSpec(a, model).text, SystemSpec(b, model).text) for model in models for a, b in request.suite.pairs]
    pairs = [(a, b) for a, b in pairs if a in texts and b in texts]
    forbidden = [
        {"a": a, "b": b, "metric": "all", "reason": f"{name} failed on {len(texts[name])} items"}
        for a, b in pairs
        for name in (a, b)
        if texts[name]
    ]
    return [(a, b) for a, b in pairs if not texts[a] and not texts[b]], forbidden


def _compare(
    request: Request,
    pairs: Sequence[tuple[str, str]],
    scored: dict[str, Scored],
    target: Target,
    heard: dict[str, Sounds],
    executor: Executor,
    advance: Callable[[int], None],
) -> tuple[list[Comparison], list[dict[str, str]]]:
    families = set(request.metrics)
    metrics = tuple(m for m in request.suite.compared_metrics if m.partition("/")[0].partition("@")[0] in families)
    tasks = [CompareTask(a, b, (heard[a], heard[b]), (scored[a], scored[b]), target, metrics) for a, b in pairs]
    directions = _directions(scored)
    found: dict[tuple[str, str], list[Comparison]] = {}
    absent: list[dict[str, str]] = []
    for task, (differences, reasons) in as_done(executor, compare, tasks):
        found[task.a, task.b] = [Comparison(task.a, task.b, one, directions[one.metric]) for one in differences]
        absent += [{"a": task.a, "b": task.b, "metric": metric, "reason": why} for metric, why in reasons.items()]
        advance(1)
    return [comparison for pair in pairs for comparison in found[pair]], absent


def _compare_controls(
    request: Request,
    done: Finished,
    scored: dict[str, Scored],
    target: Target,
    heard: dict[str, Sounds],
    executor: Executor,
) -> list[Comparison]:
    """The differences that the suite's expectations need, as far as both systems and the metric were run."""
    directions = _directions(scored)
    complete = {run.spec.text for run in done.runs if not run.log.failed()}
    tasks = [
        CompareTask(a, b, (heard[a], heard[b]), (scored[a], scored[b]), target, (wanted.metric,))
        for wanted in request.suite.expectations
        if (a := wanted.better) in complete and (b := wanted.worse) in complete and wanted.metric in directions
    ]
    return [
        Comparison(task.a, task.b, one, directions[one.metric])
        for task, (differences, _) in as_done(executor, compare, tasks)
        for one in differences
    ]


def _directions(scored: dict[str, Scored]) -> dict[str, str]:
    """Which side of each metric is better."""
    return {score.metric: score.direction for one in scored.values() for score in one.scores}


def _gap(request: Request, done: Finished, executor: Executor, progress: Progress) -> list[RouteGap]:
    """The gap of every model of which two or more routes were run."""
    routed = [run.spec for run in done.runs if run.spec.entry.family == "route"]
    models = [m for m in dict.fromkeys(spec.argument for spec in routed) if sum(s.argument == m for s in routed) > 1]
    default = request.model or request.suite.model
    tasks = [GapTask(model, model or default, done.items.folder, request.seeds[0]) for model in models]
    gaps: dict[str | None, list[RouteGap]] = {}
    with progress.stage("gap", "measuring the modality gap", len(tasks)) as advance:
        for task, found in as_done(executor, measure, tasks):
            gaps[task.argument] = found
            advance(1)
    return [gap for model in models for gap in gaps[model]]


def _write(
    request: Request,
    done: Finished,
    target: Target,
    scored: dict[str, Scored],
    comparisons: Sequence[Comparison],
    controls: Sequence[Comparison],
    incomparable: Sequence[dict[str, str]],
    gaps: Sequence[RouteGap],
    progress: Progress,
) -> dict[str, Any]:
    machine = environment(request.workers)
    n = len(done.items)
    protocol = {"n": n, "items_sha256": done.items.digest, "encoders": dict(target.protocols)}
    protocol["reference_sha256"] = done.reference.digest if done.reference is not None else done.items.digest
    systems = []
    for run in done.runs:
        record = system_result(run.log, scored[run.spec.text], protocol, machine, done.started)
        write_result(run.folder, record)
        entry = run.spec.entry
        shown = {"label": run.spec.text, "family": entry.family, "says": entry.says}
        systems.append(record | shown | {"folder": run.folder.relative_to(request.folder).as_posix()})
    whole = request.suite.items is not None and n == request.suite.items.n
    said = request.suite.expectations if whole else ()
    checks = check(said, {label: one.scores for label, one in scored.items()}, controls)
    fad = {label: value for label, one in scored.items() if (value := values(one.scores).get("fad")) is not None}
    judged = judge(request.suite.claims, [run.spec for run in done.runs], comparisons)
    record = {
        "schema": SCHEMA,
        "kind": "benchmark-record",
        "suite": {**request.suite.record(), "title": request.suite.title, "n": n, "whole": whole},
        "run": request.name,
        "metrics": list(request.metrics),
        "protocol": protocol,
        "systems": systems,
        "comparisons": [comparison.record() for comparison in comparisons],
        "not_compared": list(incomparable),
        "claims": [one.record() for one in judged],
        "checks": [one.record() for one in checks],
        "gap": [gap.record(fad) for gap in gaps],
        "passed_over": dict(done.passed_over),
        "notes": dict(request.suite.notes),
        "items": {"folder": str(done.items.folder.relative_to(request.out)), "count": n},
        "environment": machine,
        "started": done.started,
        "seconds": {name: round(seconds, 2) for name, seconds in progress.seconds.items()},
    }
    write_json(request.folder / f"record-{request.name}.json", record)
    return record
