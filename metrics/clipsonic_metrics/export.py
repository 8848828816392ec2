"""Scores as a table file: CSV and Parquet with every field of a score, Markdown and LaTeX as one would print them.

Every form carries the protocols: as a column in CSV and Parquet, below the table in Markdown, as comments in LaTeX
(which expects the package booktabs).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    import pandas as pd

Rows = Sequence[Mapping[str, Any]]
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    each: f"\\{each}" for each in "&%$#_{}"
}


def write_table(rows: Rows, path: Path) -> None:
    """Write scores (`Scored.record`) in the form that the suffix names, whole or not at all.

    Raises:
        MetricsError: what `check_table` raises, or the file cannot be written.
    """
    check_table(path)
    data = FORMS[path.suffix.lower()](rows)
    try:
        write_whole(path, data)
    except OSError as error:
        raise MetricsError(f"--out {path} cannot be written ({error.strerror}); choose another file") from error


def check_table(path: Path) -> None:
    """Raise MetricsError if a table cannot be written there: better before an hour of embedding than after."""
    if path.suffix.lower() not in FORMS:
        raise MetricsError(f"--out {path} has suffix {path.suffix!r}; expected one of {' '.join(FORMS)}")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise MetricsError(f"--out {path} needs pyarrow; pip install 'clipsonic[model]', or choose another suffix")
    if not path.parent.is_dir():
        raise MetricsError(f"--out {path} cannot be written: {path.parent} is not a folder; choose another file")


def _frame(rows: Rows) -> pd.DataFrame:
    import pandas as pd  # here, because most commands write no table and need not wait for it

    facts = [
        {name: value for name, value in row.items() if name != "extra"}
        | {f"extra/{name}": value for name, value in row["extra"].items()}
        for row in rows
    ]
    first = ["metric", "embedder", "value", "low", "high", "items"]
    names = list(dict.fromkeys(name for row in facts for name in row))
    return pd.DataFrame(facts)[first + [name for name in names if name not in first]]


def _csv(rows: Rows) -> bytes:
    return _frame(rows).to_csv(index=False, float_format="%.17g").encode()


def _parquet(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    _frame(rows).to_parquet(buffer, index=False)
    return buffer.getvalue()


def printed(row: Mapping[str, Any]) -> list[str]:
    """A score as the cells that are printed: metric, embedder, value, interval, unit, better, items."""
    low, high = row["low"], row["high"]
    interval = "not known" if low is None or high is None else f"[{_number(low)}, {_number(high)}]"
    facts = [row["metric"], row["embedder"], _number(row["value"]), interval, row["unit"], row["direction"]]
    return [*facts, str(row["items"])]


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.01 else f"{value:.3g}"


HEADER = ("metric", "embedder", "value", "interval", "unit", "better", "items")


def _markdown(rows: Rows) -> bytes:
    cells = [HEADER, ["---"] * len(HEADER), *(printed(row) for row in rows)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([*lines, "", *(f"* {_protocol(row)}" for row in rows), ""]).encode()


def _latex(rows: Rows) -> bytes:
    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(_LATEX.get(each, each) for each in cell) for cell in cells) + r" \\"

    body = [line(printed(row)) for row in rows]
    table = [r"\begin{tabular}{llrrlll}", r"\toprule", line(HEADER), r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*(f"% {_protocol(row)}" for row in rows), *table, r"\end{tabular}", ""]).encode()


def _protocol(row: Mapping[str, Any]) -> str:
    return f"{row['metric']}: {row['protocol']}; interval {100 * row['level']:g} %, {row['method']}"


FORMS: dict[str, Callable[[Rows], bytes]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".md": _markdown,
    ".tex": _latex,
}
