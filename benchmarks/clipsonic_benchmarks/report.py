"""The report of a run: one HTML file that needs nothing else, with players, mel pictures and plots. Computes no
score.

Examples are the first item of each kind (or the first items, where kinds are not known): chosen by position, never
by how they sound. Where the sounds or the prepared items were deleted, the page says so instead of showing them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from clipsonic_benchmarks.figures import CEILING, COLOURS, differences, forest, gap_plot, ladder
from clipsonic_benchmarks.files import read_lines, write_bytes
from clipsonic_benchmarks.media import frame_uri, mel_uri, sound_uri
from clipsonic_benchmarks.result import score_of
from clipsonic_benchmarks.split import Item, read_split
from clipsonic_benchmarks.table import FACTORS, MAIN, MORE, cell, difference, heading, short

EXAMPLES: Final = 6
_TEMPLATES: Final = Path(__file__).parent / "templates"


def write_report(record_file: Path, record: Mapping[str, Any]) -> Path:
    """Write the report of a record beside it, as `report-RUN.html`, and return its path."""
    folder = record_file.parent
    metrics = [m for m in (*MAIN, *MORE, *FACTORS) if any(score_of(s, m) for s in record["systems"])]
    plots = {f"forest-{metric}": forest(record["systems"], metric) for metric in metrics}
    plots |= {f"difference-{metric}": differences(record["comparisons"], metric) for metric in compared(record)}
    plots |= {
        "ladder": ladder(record["systems"], [m for m in metrics if m not in FACTORS]),
        "gap": gap_plot(record["gap"]),
    }
    plots = {name: plot for name, plot in plots.items() if plot is not None}
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        record=record,
        metrics=metrics,
        tables=[[m for m in group if m in metrics] for group in (MAIN, MORE, FACTORS)],
        compared=compared(record),
        claims=claim_rows(record),
        examples=_examples(folder, record),
        plots=plots,
        plots_json=Markup(json.dumps(plots).replace("<", "\\u003c")),
        plotly=Markup(get_plotlyjs()),
        colours=COLOURS,
        shares=_shares(record["seconds"]),
        cell=cell,
        difference=difference,
        heading=heading,
        short=short,
        score_of=score_of,
        record_file=record_file,
    )
    path = folder / f"report-{record['run']}.html"
    write_bytes(path, page.encode())
    return path


def compared(record: Mapping[str, Any]) -> list[str]:
    """Metrics in which pairs were compared, in the order of the suite."""
    return list(dict.fromkeys(one["metric"] for one in record["comparisons"]))


def claim_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per claim and model, with its outcome in each metric."""
    rows: dict[tuple[str, str | None], dict[str, Any]] = {}
    for one in record["claims"]:
        row = rows.setdefault((one["says"], one["model"]), {"says": one["says"], "model": one["model"], "outcomes": []})
        row["outcomes"].append(one)
    return list(rows.values())


def _shares(seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    total = sum(seconds.values()) or 1.0
    return [{"name": name, "seconds": value, "share": 100 * value / total} for name, value in seconds.items()]


def _examples(folder: Path, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Items to look at and listen to, with every system's sound of each."""
    prepared = folder.parent / record["items"]["folder"]
    if not (prepared / "items.json").exists():
        return []
    systems = sorted(record["systems"], key=lambda system: system["label"] != CEILING)  # real sounds first
    files = {system["label"]: _files(folder / system["folder"]) for system in systems}
    shown = []
    for item in choose(read_split(prepared).items):
        cells = [
            {
                "label": system["label"],
                "family": system["family"],
                "sound": sound_uri(files[system["label"]][item.id]),
                "mel": mel_uri(files[system["label"]][item.id]),
            }
            for system in systems
            if item.id in files[system["label"]]
        ]
        frame = frame_uri(item.frame) if item.frame is not None else None
        small = item.frame is not None and max(item.frame.shape[:2]) <= 128
        shown.append({"id": item.id, "caption": item.caption, "frame": frame, "small": small, "cells": cells})
    return shown


def _files(folder: Path) -> dict[str, Path]:
    """Sound files of a run by item, first seed; those that were deleted are not among them."""
    found: dict[str, Path] = {}
    for line in read_lines(folder / "items.jsonl"):
        if "file" in line and (folder / line["file"]).exists():
            found.setdefault(line["item"], folder / line["file"])
    return found


def choose(items: Sequence[Item]) -> list[Item]:
    """The first item of each kind, at most `EXAMPLES`; the first items where kinds are not known."""
    firsts: dict[int | str, Item] = {}
    for item in items:
        firsts.setdefault(item.factors["kind"] if item.factors is not None else item.id, item)
    return list(firsts.values())[:EXAMPLES]
