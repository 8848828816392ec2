"""Arguments that several commands share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")]
Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="Database: a file, or postgresql+psycopg://USER@HOST/NAME; default STUDY/ratings.sqlite.",
    ),
]
Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the record here; - is stdout.")]


def write_json(target: str | None, record: dict[str, Any]) -> None:
    """Write a command's record where `--json` says."""
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
    elif target is not None:
        from clipsonic_listening_test.atomic import write_whole

        write_whole(Path(target), text.encode())
