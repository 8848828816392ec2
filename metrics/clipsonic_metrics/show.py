"""Tables on stdout, notes on stderr and records in JSON files, for the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.audit import AuditedSet, Finding, counted
from clipsonic_metrics.doctor import Check
from clipsonic_metrics.embedders import EMBEDDERS, NOT_OFFERED, find_embedder, takes
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.export import HEADER, printed
from clipsonic_metrics.peers import PeerScore
from clipsonic_metrics.scores import METRICS
from clipsonic_metrics.scoring import Report, Scored
from clipsonic_metrics.sets import SetOfEmbeddings


def show_scores(scored: Sequence[Scored], *, stdout: bool) -> None:
    """Print one line per score, and the protocols below; nothing when stdout is taken by the record."""
    if not stdout:
        return
    table = Table(*HEADER)
    for each in scored:
        table.add_row(*map(plain, printed(each.record())))
    console().print(table)
    for each in scored:
        level = f"{100 * each.score.level:g} %"
        said = f"{each.score.metric}: {each.score.protocol}; interval {level}, {each.score.method}"
        console().print(plain(said), soft_wrap=True)


def show_report(report: Report, *, stdout: bool) -> None:
    """Print scores, and on stderr what was left out and what the audit warns of."""
    show_scores(report.scored, stdout=stdout)
    for side in report.sets.values():
        show_skipped(side["path"], side["items"], side["skipped"])
    show_warnings(report.warnings)


def show_skipped(path: Path | str, remain: int, skipped: Sequence[Mapping[str, str]]) -> None:
    """Name on stderr what was left out of a set."""
    if skipped:
        named = "; ".join(f"{each['file']}: {each['fault']}" for each in skipped)
        sys.stderr.write(f"left out {counted(len(skipped), 'file')} of {path}, {remain} remain: {named}\n")


def show_warnings(warnings: Iterable[Finding]) -> None:
    """Print what the audit warns of, one line each, on stderr."""
    for each in warnings:
        sys.stderr.write(f"warning: {each.kind}: {each.said}\n")


def show_embedded(made: SetOfEmbeddings, out: Path, *, stdout: bool) -> None:
    """Print what `embed` wrote."""
    if stdout:
        frames = sum(len(item) for item in made.items)
        said = f"{out}: {counted(len(made.ids), 'sound')}, {counted(frames, 'frame')}, under {made.protocol}"
        console().print(plain(said), soft_wrap=True)


def show_audit(sets: Sequence[AuditedSet], warnings: Sequence[Finding], *, stdout: bool) -> None:
    """Print every fault and warning of some sets, and how many sounds are without fault."""
    if not stdout:
        return
    table = Table("level", "what", "where", "said")
    for each in sets:
        for path, fault in each.skipped().items():
            table.add_row("error", "cannot be scored", plain(path), plain(fault))
    for warning in warnings:
        table.add_row("warning", warning.kind, "", plain(warning.said))
    if table.row_count:
        console().print(table)
    for each in sets:
        found = f"{each.path}: {counted(len(each.files), 'file')}, {len(each.faults)} cannot be scored"
        console().print(plain(found), soft_wrap=True)


def show_names(*, stdout: bool) -> dict[str, Any]:
    """Print metrics and embedders, and return them as a record."""
    metrics, embedders = _metrics(), _embedders()
    if stdout:
        table = Table("metric", "version", "unit", "better", "needs", "embedders")
        for row in metrics:
            lists = ", ".join(row["needs"]), ", ".join(row["embedders"])
            cells = row["metric"], row["version"], row["unit"], row["direction"], *lists
            table.add_row(*(str(cell) for cell in cells))
        console().print(table)
        table = Table("embedder", "takes", "protocol", show_lines=True)
        for each in embedders:
            said = plain(each["protocol"] or f"not available: {each['fault']}")
            table.add_row(each["embedder"], ", ".join(each["takes"]), said)
        console().print(table)
        for name, reason in NOT_OFFERED.items():
            console().print(plain(f"not offered: {name}: {reason}"), soft_wrap=True)
    return {"schema": 1, "metrics": metrics, "embedders": embedders, "not_offered": dict(NOT_OFFERED)}


def show_profiles(*, stdout: bool) -> dict[str, Any]:
    """Print the profiles of peers, and return them as a record."""
    from clipsonic_metrics.profiles import PROFILES

    rows = [profile.record() for profile in PROFILES.values()]
    if stdout:
        for row in rows:
            table = Table("embedder", "hears", title=f"{row['profile']}: {row['peer']}", title_justify="left")
            for name, heard in row["embedders"].items():
                table.add_row(name, plain(heard))
            console().print(table)
            for title in ("repeats", "differs"):
                console().print(plain(f"{title}: {row[title]}"), soft_wrap=True)
            console().print()
    return {"schema": 1, "profiles": rows}


def show_weights(*, stdout: bool) -> dict[str, Any]:
    """Print the published weights that are known, and return them as a record."""
    from clipsonic_metrics.sources import SOURCES, fetched

    rows: list[dict[str, Any]] = []
    for name, source in SOURCES.items():
        path = fetched(name)
        facts = {"weights": name, "path": None if path is None else str(path)}
        files = [{"file": file.name, "url": file.url} for file in source.files]
        rows.append(facts | {"licence": source.licence, "paper": source.paper, "files": files})
    if stdout:
        table = Table("weights", "on this machine", "licence", "paper")
        for row in rows:
            table.add_row(row["weights"], plain(row["path"] or "not fetched"), row["licence"], row["paper"])
        console().print(table)
    return {"schema": 1, "weights": rows}


def show_checks(checks: Sequence[Check], *, stdout: bool) -> None:
    """Print what `doctor` found."""
    if not stdout:
        return
    table = Table("check", "outcome", "found")
    for each in checks:
        table.add_row(each.name, each.outcome, plain(each.found))
    console().print(table)
    failed = sum(each.failed for each in checks)
    said = "all is well" if failed == 0 else f"{failed} of {len(checks)} checks failed"
    console().print(said)


def show_peer(scores: Sequence[PeerScore], *, stdout: bool) -> None:
    """Print what another tool computed, and on stderr what is known to be wrong with it."""
    if stdout:
        table = Table("metric", "embedder", "value")
        for each in scores:
            table.add_row("fad", each.embedder, f"{each.value:.6g}")
        console().print(table)
        for each in scores:
            console().print(plain(f"fad: {each.protocol}"), soft_wrap=True)
    for note in dict.fromkeys(note for each in scores for note in each.notes):
        sys.stderr.write(f"note: {note}\n")


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


def check_json(target: str | None) -> None:
    """Raise MetricsError if a record cannot be written there: better before an hour of embedding than after."""
    if target is not None and target != "-" and not Path(target).parent.is_dir():
        raise MetricsError(f"--json {target} cannot be written: {Path(target).parent} is not a folder; choose another")


def _metrics() -> list[dict[str, Any]]:
    rows = []
    for name, metric in METRICS.items():
        module = import_module(metric.function.split(":")[0])
        facts = {"metric": name, "version": module.VERSION, "unit": module.UNIT, "direction": module.DIRECTION}
        rows.append(facts | {"needs": list(metric.needs), "embedders": list(metric.embedders)})
    return rows


def _embedders() -> list[dict[str, Any]]:
    from clipsonic_metrics.sources import SOURCES, fetched

    rows = []
    for name in EMBEDDERS:
        facts: dict[str, Any] = {"embedder": name, "takes": list(takes(name))}
        try:
            if name in SOURCES and fetched(name) is not None:  # gigabytes, perhaps: not digested for a list
                rows.append(facts | {"protocol": f"weights at {fetched(name)}", "fault": None})
                continue
            rows.append(facts | {"protocol": find_embedder(name).protocol, "fault": None})
        except MetricsError as error:
            rows.append(facts | {"protocol": None, "fault": str(error)})
    return rows


def console() -> Console:
    """Where results go. Wide when piped: a table cut to 80 columns in a log has lost its numbers."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def plain(text: str) -> str:
    """Text in which rich finds no markup."""
    return text.replace("[", "\\[")
