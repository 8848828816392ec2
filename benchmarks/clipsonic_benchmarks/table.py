"""The record of a run as tables for a terminal, 120 columns wide. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clipsonic_benchmarks.result import score_of

WIDTH: Final = 120
DECIMALS: Final = {"clip-score": 2, "kad": 2}
HEADINGS: Final = {
    "fad": "FAD ↓",
    "kad": "KAD ↓",
    "clap-score": "CLAP score ↑",
    "clip-score": "CLIP score ↑",
    "retrieval@1": "R@1 ↑",
    "retrieval@10": "R@10 ↑",
}
MAIN: Final = ("fad", "clap-score", "clip-score", "factor-accuracy/kind")
MORE: Final = ("kad", "retrieval@1", "retrieval@10")
FACTORS: Final = tuple(f"factor-accuracy/{name}" for name in ("size", "count", "material", "background"))
_COLOURS: Final = {"route": "cyan", "text-trained": "magenta", "third-party": "yellow", "control": "dim"}
_OUTCOMES: Final = {"holds": "green", "does not hold": "red", "inconclusive": "yellow"}
_MARKS: Final = {"better": "▲", "worse": "▼", "inconclusive": "·"}


def console() -> Console:
    """Standard output; 120 columns where it is not a terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)


def heading(metric: str) -> str:
    """How a metric is called above a column, with an arrow towards its better side."""
    return HEADINGS.get(metric, f"{metric.rpartition('/')[2]} accuracy ↑")


def cell(score: Mapping[str, Any] | None) -> str:
    """A value with its interval; empty where there is no score."""
    if score is None:
        return ""
    places = DECIMALS.get(score["metric"], 3)
    value = f"{score['value']:.{places}f}"
    if score["low"] is None:
        return f"{value} [unknown]"
    return f"{value} [{score['low']:.{places}f}, {score['high']:.{places}f}]"


def short(label: str) -> str:
    """A system's label without what all routes share."""
    return label.removeprefix("clipsonic-")


def show(record: Mapping[str, Any], to: Console) -> None:
    """Print the whole record: scores, differences, claims, gap, checks, notes, times."""
    suite = record["suite"]
    to.print(f"[bold]{suite['title']}[/] · {suite['name']}@{suite['version']} · {suite['n']} items · 95 % intervals")
    if "encoders" in record["notes"]:
        to.print(record["notes"]["encoders"], style="yellow")
    for metrics in (MAIN, MORE, FACTORS):
        _scores(record["systems"], metrics, to)
    _absent(record, to)
    _differences(record, to)
    _claims(record["claims"], to)
    _gap(record["gap"], to)
    _checks(record["checks"], to)
    for about, note in record["notes"].items():
        if about == "encoders":
            continue  # said above the scores
        to.print(f"[bold]{about}[/]: {note}", style="dim", soft_wrap=False)
    total = sum(record["seconds"].values())
    stages = ", ".join(
        f"{name} {seconds:.0f} s ({_percent(seconds, total)})" for name, seconds in record["seconds"].items()
    )
    to.print(f"Time: {total:.0f} s: {stages}")


def _checks(checks: Sequence[Mapping[str, Any]], to: Console) -> None:
    for one in checks:
        if one["outcome"] == "does not hold":
            to.print(f"[red]control out of place:[/] {one['says']} ({one['metric']}: {one['found']})")
        elif one["outcome"] == "not made":
            to.print(f"control not checked: {one['says']} ({one['metric']}: {one['found']})", style="dim")
    if checks and all(one["outcome"] == "holds" for one in checks):
        to.print(f"Controls: all {len(checks)} checks hold.")


def _percent(part: float, total: float) -> str:
    return f"{100 * part / total:.0f} %" if total else "0 %"


def _table(title: str, *columns: str) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        title=title or None,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _scores(systems: Sequence[Mapping[str, Any]], metrics: Sequence[str], to: Console) -> None:
    shown = [metric for metric in metrics if any(score_of(system, metric) for system in systems)]
    if not shown:
        return
    table = _table("", "system", *(heading(metric) for metric in shown), "items")
    for system in systems:
        items = system["items"]
        count = str(items["evaluated"]) + (f" of {items['of_suite']}" if items["evaluated"] < items["of_suite"] else "")
        cells = [cell(score_of(system, metric)) for metric in shown]
        table.add_row(Text(system["label"], _COLOURS[system["family"]]), *cells, count)
    to.print(table)


def _absent(record: Mapping[str, Any], to: Console) -> None:
    reasons: dict[tuple[str, str], list[str]] = {}
    for system in record["systems"]:
        for metric, reason in system["absent"].items():
            reasons.setdefault((metric, reason), []).append(system["label"])
        for one in system["items"]["failed"][:1]:
            count = len(system["items"]["failed"])
            to.print(f"[red]{system['label']} failed on {count} items[/], first {one['item']}: {one['error']}")
    for label, reason in record["passed_over"].items():
        to.print(f"{label} was not run: {reason}", style="dim")
    for (metric, reason), labels in reasons.items():
        to.print(f"no {metric} for {', '.join(labels)}: {reason}", style="dim")


def _differences(record: Mapping[str, Any], to: Console) -> None:
    metrics = list(dict.fromkeys(one["metric"] for one in record["comparisons"]))
    pairs = list(dict.fromkeys((one["a"], one["b"]) for one in record["comparisons"]))
    if pairs:
        table = _table(
            "Paired differences (▲ first is better, ▼ worse, · inconclusive)", "pair", *map(heading, metrics)
        )
        for a, b in pairs:
            found = {one["metric"]: one for one in record["comparisons"] if (one["a"], one["b"]) == (a, b)}
            table.add_row(f"{short(a)} - {short(b)}", *(difference(found.get(metric)) for metric in metrics))
        to.print(table)
    for one in record["not_compared"]:
        to.print(f"not compared: {one['a']} and {one['b']} in {one['metric']}: {one['reason']}", style="dim")


def difference(one: Mapping[str, Any] | None) -> str:
    """A difference with its interval and mark; empty where there is none."""
    if one is None:
        return ""
    places = DECIMALS.get(one["metric"], 3)
    known = one["low"] is not None
    interval = f"[{one['low']:+.{places}f},{one['high']:+.{places}f}]" if known else "interval unknown"
    return f"{one['value']:+.{places}f} {interval} {_MARKS[one['verdict']]}"


def _claims(claims: Sequence[Mapping[str, Any]], to: Console) -> None:
    if not claims:
        return
    metrics = list(dict.fromkeys(one["metric"] for one in claims))
    table = _table("What the paper says, on these items", "claim", *(heading(metric)[:-2] for metric in metrics))
    for says, model in dict.fromkeys((one["says"], one["model"]) for one in claims):
        row = {one["metric"]: one["outcome"] for one in claims if (one["says"], one["model"]) == (says, model)}
        table.add_row(
            f"{says}{f' · {model}' if model else ''}",
            *(Text(o := row.get(m, ""), _OUTCOMES.get(o, "")) for m in metrics),
        )
    to.print(table)


def _gap(gaps: Sequence[Mapping[str, Any]], to: Console) -> None:
    if not gaps:
        return
    columns = ("centroid distance", "RMG", "separability", "cosine to frame", "FAD")
    table = _table("Modality gap: each route's conditions against the items' image embeddings", "route", *columns)
    for gap in gaps:
        fad = f"{gap['fad']:.3f}" if gap["fad"] is not None else ""
        table.add_row(short(gap["system"]), *(cell(score) for score in gap["scores"]), fad)
    to.print(table)
