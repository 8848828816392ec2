"""Tables on stdout and records in JSON files, for the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.embedders import EMBEDDERS, load_embedder
from clipsonic_metrics.embedding import SetOfEmbeddings
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Score
from clipsonic_metrics.scores import METRICS
from clipsonic_metrics.scoring import Report


def show_scores(scores: Sequence[Score], *, stdout: bool) -> None:
    """Print one line per score, and the protocols below; nothing when stdout is taken by the record."""
    if not stdout:
        return
    table = Table("metric", "value", "interval", "unit", "better", "items")
    for score in scores:
        interval = "not known" if score.low is None or score.high is None else f"[{score.low:.4f}, {score.high:.4f}]"
        better = {"lower": "lower", "higher": "higher"}[score.direction]
        table.add_row(score.metric, f"{score.value:.4f}", _plain(interval), score.unit, better, str(score.items))
    console = _console()
    console.print(table)
    for score in scores:
        level = f"{100 * score.level:g} %"
        console.print(_plain(f"{score.metric}: {score.protocol}; interval {level}, {score.method}"), soft_wrap=True)


def show_report(report: Report, *, stdout: bool) -> None:
    """Print scores, and on stderr what was left out."""
    show_scores(report.scores, stdout=stdout)
    for side in (report.generated, report.reference):
        skipped = side["skipped"] if side is not None else []
        if side is not None and skipped:
            named = "; ".join(f"{each['file']}: {each['fault']}" for each in skipped)
            sys.stderr.write(f"left out {len(skipped)} files of {side['path']}, {side['items']} remain: {named}\n")


def show_embedded(made: SetOfEmbeddings, out: Path, *, stdout: bool) -> None:
    """Print what `embed` wrote."""
    if stdout:
        windows = sum(len(item) for item in made.items)
        console = _console()
        console.print(
            _plain(f"{out}: {len(made.vectors)} sounds, {windows} windows, under {made.protocol}"), soft_wrap=True
        )
    for file, fault in made.skipped.items():
        sys.stderr.write(f"left out {file}: {fault}\n")


def show_names(*, stdout: bool) -> dict[str, Any]:
    """Print metrics and embedders, and return them as a record."""
    metrics, embedders = _metrics(), _embedders()
    if stdout:
        console = _console()
        table = Table("metric", "version", "unit", "better", "needs", "embedders")
        for row in metrics:
            cells = (
                row["version"],
                row["unit"],
                row["direction"],
                ", ".join(row["needs"]),
                ", ".join(row["embedders"]),
            )
            table.add_row(row["metric"], *(str(cell) for cell in cells))
        console.print(table)
        table = Table("embedder", "protocol", show_lines=True)
        for each in embedders:
            table.add_row(each["embedder"], _plain(each["protocol"] or f"not available: {each['fault']}"))
        console.print(table)
    return {"schema": 1, "metrics": metrics, "embedders": embedders}


def write_json(record: Mapping[str, Any], target: str | None) -> None:
    """Write a record to a file, atomically, or to stdout for "-"; None writes nothing.

    Raises:
        MetricsError: the file cannot be written.
    """
    if target is None:
        return
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    path = Path(target)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise MetricsError(f"--json {path} cannot be written ({error.strerror}); choose another file") from error


def _metrics() -> list[dict[str, Any]]:
    rows = []
    for name, metric in METRICS.items():
        module = import_module(metric.function.split(":")[0])
        facts = {"metric": name, "version": module.VERSION, "unit": module.UNIT, "direction": module.DIRECTION}
        rows.append(facts | {"needs": list(metric.needs), "embedders": list(metric.embedders)})
    return rows


def _embedders() -> list[dict[str, Any]]:
    rows = []
    for name in EMBEDDERS:
        try:
            rows.append({"embedder": name, "protocol": load_embedder(name).protocol, "fault": None})
        except MetricsError as error:
            rows.append({"embedder": name, "protocol": None, "fault": str(error)})
    return rows


def _console() -> Console:
    # Wide when piped: a table cut to 80 columns in a log has lost its numbers.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")  # rich reads [...] as markup
