"""Tables that pair sounds with captions or factors, by id.

Conventions: CSV in UTF-8 with a header. A table has a column `id`, or else `file`, whose path without suffix is the id.
Extra columns are ignored. A file may be saved by a spreadsheet: a byte order mark is passed over.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from clipsonic_metrics.errors import MetricsError

NAMED = 5
"""How many missing ids an error names before it only counts."""


def read_table(path: str | Path, columns: Iterable[str]) -> dict[str, dict[str, str]]:
    """Rows of a CSV by id, each with the given columns.

    Raises:
        MetricsError: unreadable, a column is missing, a cell is empty, or an id occurs twice.
    """
    path, wanted = Path(path), list(columns)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MetricsError(
            f"{path} cannot be read as a CSV ({error}); expected columns id,{','.join(wanted)}"
        ) from error
    key = "id" if "id" in header else "file"
    missing = [name for name in [key, *wanted] if name not in header]
    if missing:
        names = ", ".join("id" if name == "file" and "file" not in wanted else name for name in missing)
        raise MetricsError(f"{path} has columns {', '.join(header) or '(none)'}; {names} is missing")
    table: dict[str, dict[str, str]] = {}
    for line, row in rows:
        cells = {name: (row[name] or "").strip() for name in [key, *wanted]}
        empty = [name for name, cell in cells.items() if not cell]
        if empty:
            raise MetricsError(f"{path}, line {line}: {empty[0]} is empty; expected a value in every row")
        id = cells[key] if key == "id" else PurePosixPath(cells[key]).with_suffix("").as_posix()
        if id in table:
            raise MetricsError(f"{path}, line {line}: id {id!r} occurs a second time; ids must be unique")
        table[id] = {name: cells[name] for name in wanted}
    return table


def require_ids(ids: Iterable[str], table: Mapping[str, object], source: str | Path) -> None:
    """Raise MetricsError that names ids which the table does not have."""
    missing = [id for id in ids if id not in table]
    if missing:
        named = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
        raise MetricsError(
            f"{source} has nothing for {len(missing)} of the sounds: {named}; add them or remove those sounds"
        )
