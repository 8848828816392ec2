"""The result of a run, as a record: `result.json` of each system, and one record of all systems of a run.

`result.json` holds who (identity with digests), on what (suite and items digests), how (protocol, seeds), the scores
with their intervals, how many items were expected, evaluated, left out and failed, and with what (versions,
machine). The run's record holds all of these, the paired differences, the claims with their outcome, the controls'
checks, the gap, and the seconds of each stage.

Validators run whenever a record is read: a record that contradicts itself is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import digest, file_digest, jsonl, read_json, write_bytes, write_json

if TYPE_CHECKING:
    from clipsonic_benchmarks.plan import Log
    from clipsonic_benchmarks.score import Scored
    from clipsonic_metrics import Score

SCHEMA: Final = 1
_LOWEST: Final = {"fad": -1e-6, "clap-score": -1.0, "clip-score": -100.0, "factor-accuracy": 0.0, "retrieval": 0.0}
_HIGHEST: Final = {"clap-score": 1.0, "clip-score": 100.0, "factor-accuracy": 1.0, "retrieval": 1.0}


def system_result(
    log: Log, scored: Scored, protocol: Mapping[str, Any], environment: Mapping[str, Any], started: str
) -> dict[str, Any]:
    """The record of one system, after its per-sound scores were written into `items.jsonl`."""
    plan = log.plan
    write_bytes(log.path, jsonl(_with_scores(log.lines(), scored)))
    failed = log.failed()
    expected = {unit.item for unit in plan.units}
    return {
        "schema": SCHEMA,
        "suite": dict(plan.suite),
        "system": dict(plan.system),
        "protocol": {**protocol, "seeds": list(plan.seeds), "sha256": digest(dict(protocol))},
        "scores": [score.record() for score in scored.scores],
        "absent": dict(scored.absent),
        "items": {
            "file": "items.jsonl",
            "sha256": file_digest(log.path),
            "of_suite": plan.items["count"],
            "expected": len(expected),
            "evaluated": len(expected - set(failed)),
            "failed": [{"item": item, "error": error} for item, error in failed.items()],
            "left_out": [{"item": item, "reason": reason} for item, reason in plan.left_out.items()],
        },
        "plan_sha256": plan.digest,
        "environment": dict(environment),
        "started": started,
        "generation_seconds": round(sum(line["seconds"] for line in log.finished()), 3),
    }


def _with_scores(lines: Sequence[Mapping[str, Any]], scored: Scored) -> list[dict[str, Any]]:
    """The lines, each with what its sound contributed to the metrics that are means over items."""
    scores: dict[tuple[str, int], dict[str, float]] = {}
    for metric, sounds in scored.per_sound.items():
        for sound, value in sounds.items():
            scores.setdefault(sound, {})[metric] = value
    return [{**line, "scores": scores.get((line["item"], line["seed"]), {})} for line in lines]


def write_result(folder: Path, record: Mapping[str, Any]) -> None:
    write_json(folder / "result.json", record)


def validate(record: Mapping[str, Any], where: str) -> None:
    """Refuse a system's record that contradicts itself.

    Raises:
        BenchmarkError: a score out of its range or interval, or counts that do not add up.
    """
    name = record["system"]["name"]
    for score in record["scores"]:
        family = score["metric"].partition("/")[0].partition("@")[0]
        value, low, high = score["value"], score["low"], score["high"]
        fault = None
        if not math.isfinite(value) or not _LOWEST.get(family, -math.inf) <= value <= _HIGHEST.get(family, math.inf):
            fault = f"is {value}, outside its range"
        elif low is not None and not low <= value <= high:
            fault = f"is {value}, outside its interval [{low}, {high}]"
        if fault:
            raise BenchmarkError(
                f"{where}: {score['metric']} of {name} {fault}; the file is broken: run the suite again"
            )
    items = record["items"]
    if items["evaluated"] + len(items["failed"]) != items["expected"]:
        raise BenchmarkError(f"{where}: item counts of {name} do not add up; the file is broken: run the suite again")


def find_record(path: Path) -> Path:
    """The record of a run: `path` itself, or the only `record-*.json` below it.

    Raises:
        BenchmarkError: none, or several.
    """
    if not path.is_dir():
        return path
    found = sorted(path.rglob("record-*.json"))
    if not found:
        raise BenchmarkError(f"{path} holds no record-*.json; make one with: clipsonic-bench run quickstart")
    if len(found) > 1:
        raise BenchmarkError(f"{path} holds {len(found)} records; name one of {', '.join(str(one) for one in found)}")
    return found[0]


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of a run.

    Raises:
        BenchmarkError: not there, not such a record, or one that contradicts itself.
    """
    record = read_json(path, SCHEMA, "clipsonic-bench run quickstart")
    if record.get("kind") != "benchmark-record":
        raise BenchmarkError(
            f"{path} is not the record of a run; expected a record-*.json that clipsonic-bench run wrote"
        )
    for system in record["systems"]:
        validate(system, str(path))
    return record


def score_of(record: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    """A system's score in one metric, or None."""
    return next((score for score in record["scores"] if score["metric"] == metric), None)


def values(scores: Sequence[Score]) -> dict[str, float]:
    return {score.metric: score.value for score in scores}
