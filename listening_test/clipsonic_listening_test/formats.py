"""Tables as files: CSV for machines, CSV for spreadsheets, JSON lines, Parquet.

A spreadsheet runs what begins with = + - @ as a formula, also when a participant typed it. The CSV for spreadsheets
puts a ' before such texts (and before tab and carriage return) and a byte-order mark before all; the CSV for
machines has every text as it was given.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final, Literal

from clipsonic_listening_test.errors import ListeningTestError

Format = Literal["csv", "jsonl", "parquet", "spreadsheet-csv"]
SUFFIX: Final[Mapping[str, str]] = {
    "csv": ".csv",
    "jsonl": ".jsonl",
    "parquet": ".parquet",
    "spreadsheet-csv": ".csv",
}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_PART: Final = 5000
Row = Mapping[str, Any]


def write_table(path: Path, rows: Iterable[Row], format: Format, columns: list[str]) -> int:
    """Write a table, whole or not at all, and return its number of rows. `columns` are written where there is no row.

    Raises:
        ListeningTestError: Parquet without pyarrow.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        count = _WRITERS[format](partial, rows, columns)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def escape_formula(value: Any) -> Any:
    """A text that a spreadsheet shows instead of running it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _csv(path: Path, rows: Iterable[Row], columns: list[str]) -> int:
    with path.open("w", encoding="utf-8", newline="") as file:
        return _write_csv(file, rows, columns, lambda value: value)


def _spreadsheet(path: Path, rows: Iterable[Row], columns: list[str]) -> int:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        return _write_csv(file, rows, columns, escape_formula)


def _write_csv(file: IO[str], rows: Iterable[Row], columns: list[str], change: Callable[[Any], Any]) -> int:
    writer = csv.writer(file)
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_cell(change(row[name])) for name in columns])
        count += 1
    return count


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _jsonl(path: Path, rows: Iterable[Row], columns: list[str]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def _parquet(path: Path, rows: Iterable[Row], columns: list[str]) -> int:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ListeningTestError("Parquet needs pyarrow: pip install pyarrow, or choose --format csv") from None
    schema = pyarrow.schema([(name, getattr(pyarrow, _arrow_type(name))()) for name in columns])
    count = 0
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:  # type: ignore[no-untyped-call]
        part: list[Row] = []
        for row in rows:
            part.append({name: _typed(name, row[name]) for name in columns})
            count += 1
            if len(part) == _PART:
                writer.write_table(pyarrow.Table.from_pylist(part, schema))
                part = []
        writer.write_table(pyarrow.Table.from_pylist(part, schema))
    return count


def _arrow_type(name: str) -> str:
    if name in _INTEGERS:
        return "int64"
    if name in _FLAGS:
        return "bool_"
    return "float64" if name in _NUMBERS else "string"


def _typed(name: str, value: Any) -> Any:
    """Text columns may hold numbers (a questionnaire's values); they are text in Parquet, whose columns have a type."""
    if value is None or _arrow_type(name) != "string":
        return value
    return value if isinstance(value, str) else json.dumps(value)


_INTEGERS: Final = frozenset({
    "session_number", "page_index", "attempt", "position", "n_plays", "first_play_ms", "last_move_ms", "page_ms",
    "schema_version", "pages_answered", "n_events",
})  # fmt: skip
_NUMBERS: Final = frozenset({
    "score", "seconds_heard", "coverage", "volume", "hidden_ms", "drift_ms", "rate_hz", "gain", "at_ms", "minutes",
    "client_rate_hz", "client_output_latency_s", "client_max_channels",
})  # fmt: skip
_FLAGS: Final = frozenset({"training", "unset", "tie", "correct", "passed", "consent"})
_WRITERS: Final[Mapping[str, Callable[[Path, Iterable[Row], list[str]], int]]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "spreadsheet-csv": _spreadsheet,
}
