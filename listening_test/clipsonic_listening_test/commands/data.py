"""`export`, `codes`, `import-answers`, `backup`, `erase`: what was collected, and what may be kept of it."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipsonic_listening_test.commands.options import Database, Json, StudyFolder, write_json
from clipsonic_listening_test.errors import CheckFailed, ListeningTestError

if TYPE_CHECKING:
    from clipsonic_listening_test.store.people import Erased


class FormatName(StrEnum):
    """Formats of exported tables."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"
    spreadsheet_csv = "spreadsheet-csv"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(no_args_is_help=True)(export)
    app.command(no_args_is_help=True)(codes)
    app.command("import-answers", no_args_is_help=True)(import_answers)
    app.command(no_args_is_help=True)(backup)
    app.command(no_args_is_help=True)(erase)


def export(
    study: StudyFolder,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the tables; made if it is not there.")],
    database: Database = None,
    format: Annotated[FormatName, typer.Option(help="spreadsheet-csv keeps texts from running as formulas.")] = (
        FormatName.csv
    ),
    json_file: Json = None,
) -> None:
    """Write everything collected as tidy tables, without panel ids, and each version of the study beside them.

    clipsonic-listen export study --out tables
    """
    from clipsonic_listening_test.atomic import write_whole
    from clipsonic_listening_test.columns import COLUMNS
    from clipsonic_listening_test.export import Exporter
    from clipsonic_listening_test.formats import SUFFIX, write_table
    from clipsonic_listening_test.store.open import reading

    out.mkdir(parents=True, exist_ok=True)
    with reading(database, study) as connection:
        exporter = Exporter(connection)
        for digest, content in exporter.contents.items():
            write_whole(out / f"study-{digest[:12]}.json", content.encode())
        rows = {
            name: write_table(out / f"{name}{SUFFIX[format.value]}", exporter.table(name), format.value, list(columns))
            for name, columns in COLUMNS.items()
        }
        outcomes = exporter.outcomes()
    studies = sorted(exporter.contents)
    write_json(json_file, {"schema": 1, "folder": str(out), "rows": rows, "outcomes": outcomes, "studies": studies})
    if json_file != "-":
        sys.stdout.write("".join(f"{out / name}{SUFFIX[format.value]}: {count} rows\n" for name, count in rows.items()))


def codes(study: StudyFolder, database: Database = None, json_file: Json = None) -> None:
    """Who is to be paid for what: panel ids with outcome, code and minutes, as CSV. Keep it apart from the ratings."""
    import csv

    from clipsonic_listening_test.payment import people_to_pay
    from clipsonic_listening_test.store.open import reading
    from clipsonic_listening_test.study import load_study

    loaded = load_study(study)
    with reading(database, study) as connection:
        rows = list(people_to_pay(connection, loaded))
    write_json(json_file, {"schema": 1, "people": rows})
    if json_file != "-":
        columns = ("panel", "panel_id", "visit", "participant", "outcome", "code", "pages_answered", "minutes", "begun")
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([row[name] for name in columns] for row in rows)


def import_answers(
    study: StudyFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What a participant saved with “download my answers”.")],
    database: Database = None,
    json_file: Json = None,
) -> None:
    """Take answers that a browser could not deliver. Nothing is stored twice. Exit code 1: some were refused."""
    from clipsonic_listening_test.server.importing import import_answers
    from clipsonic_listening_test.server.service import Service
    from clipsonic_listening_test.store.open import writing
    from clipsonic_listening_test.study import load_study

    loaded = load_study(study)
    with writing(database, study) as store:
        found = import_answers(Service(loaded, store), file)
    refused = list(found.refused)
    record = {"participant": found.participant, "stored": found.stored, "known": found.known, "refused": refused}
    write_json(json_file, {"schema": 1} | record)
    if json_file != "-":
        sys.stdout.write(
            f"{found.participant}: {found.stored} stored, {found.known} known before, {len(refused)} refused\n"
        )
    if refused:
        raise CheckFailed("; ".join(refused))


def backup(
    study: StudyFolder,
    out: Annotated[str, typer.Argument(metavar="OUT", help="An SQLite file, or the URL of an empty database.")],
    database: Database = None,
    json_file: Json = None,
) -> None:
    """Copy the database while the server runs. The copy is an SQLite file, which --db takes as it is."""
    from clipsonic_listening_test.store.copy import backup as copy
    from clipsonic_listening_test.store.copy import copy_into
    from clipsonic_listening_test.store.open import opened, writing

    record: dict[str, object] = {"schema": 1, "copy": out}
    if "://" in out:
        with opened(database, study) as source, writing(out, study) as target:
            rows = copy_into(source, target.engine)
        message, record = f"{rows} rows copied", {"schema": 1, "rows": rows}
    else:
        with opened(database, study) as source:
            size = copy(source, Path(out))
        message, record = f"{out}: {size} bytes", record | {"bytes": size}
    write_json(json_file, record)
    if json_file != "-":
        sys.stdout.write(message + "\n")


def erase(
    study: StudyFolder,
    participant: Annotated[str, typer.Argument(help="Public code, panel id or invitation code.")],
    database: Database = None,
    keep_ratings: Annotated[
        bool, typer.Option("--keep-ratings", help="Keep ratings and choices, as of nobody.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_file: Json = None,
) -> None:
    """Erase a participant: panel id, answers, drafts, event logs. Copies that you made are yours to mend."""
    from clipsonic_listening_test.store.open import writing
    from clipsonic_listening_test.store.people import erase as erase_now
    from clipsonic_listening_test.store.people import find

    with writing(database, study) as store:
        found = store.read_now(lambda connection: find(connection, store.key, participant))
        if not found.sessions and not found.panel_id:
            raise ListeningTestError(f"nobody here is {participant!r}; see clipsonic-listen codes {study}")
        if not yes:
            _confirm(found, participant, keep_ratings)
        store.write_now(lambda connection: erase_now(connection, store.key, participant, keep_ratings=keep_ratings))
        store.scrub()
    record = {"sessions": len(found.sessions), "answers": found.answers, "panel_id": found.panel_id}
    write_json(json_file, {"schema": 1, "ratings_kept": keep_ratings} | record)
    if json_file != "-":
        sys.stdout.write(f"erased: {json.dumps(record)}{'; ratings kept, of nobody' if keep_ratings else ''}\n")


def _confirm(found: Erased, participant: str, keep_ratings: bool) -> None:
    what = f"{len(found.sessions)} session(s) with {found.answers} answer(s)"
    how = "everything but ratings and choices" if keep_ratings else "everything"
    if not sys.stdin.isatty():
        raise ListeningTestError(f"{participant}: {what}; nobody is there to confirm it: add --yes")
    typer.confirm(f"Erase {how} of {participant}: {what}?", abort=True, err=True)
