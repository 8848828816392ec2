"""Copies of a whole database, made while the server runs: a moment's state, without a half-written page.

The copy is an SQLite file that `serve --db` takes as it is, whichever database it came from. `copy_into` is the way
from there into an empty PostgreSQL database.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Boolean, Connection, Engine, MetaData, Table, func, insert, inspect, select, text

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.store.database import empty_log, open_engine, sqlite_url

_ROWS = 1000


def backup(engine: Engine, out: Path) -> int:
    """Write the database to the SQLite file `out`, which is replaced whole.

    Returns:
        Size of the copy in bytes.

    Raises:
        ListeningTestError: `out` is the database itself, or its folder is absent.
    """
    if not out.parent.is_dir():
        raise ListeningTestError(f"{out.parent} is no folder; make it, or name another file")
    source = engine.url.database if engine.dialect.name == "sqlite" else None
    if source is not None and out.exists() and os.path.samefile(source, out):
        raise ListeningTestError(f"{out} is the database itself; name another file for the copy")
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    partial.unlink(missing_ok=True)
    try:
        if source is not None:
            _vacuum_into(source, partial)
        else:
            _copy_to_sqlite(engine, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, out)
    finally:
        for suffix in ("", "-wal", "-shm"):
            partial.with_name(partial.name + suffix).unlink(missing_ok=True)
    return out.stat().st_size


def copy_into(source: Engine, target: Engine) -> int:
    """Copy every row into a database of the same schema version that holds none.

    Returns:
        Number of rows.

    Raises:
        ListeningTestError: the target is of another schema version, or not empty.
    """
    with source.connect() as read, target.begin() as write:
        tables = _reflect(read)
        there = _reflect(write)
        if {name: sorted(table.columns.keys()) for name, table in tables.tables.items()} != {
            name: sorted(table.columns.keys()) for name, table in there.tables.items()
        }:
            raise ListeningTestError("the two databases have different schemas; open each with this version once")
        rows = 0
        for table in there.sorted_tables:
            if table.name in ("alembic_version", "setting"):
                continue  # the target has its own
            if write.execute(select(func.count()).select_from(table)).scalar_one():
                raise ListeningTestError(f"the database to copy into holds data already (table {table.name})")
        write.execute(there.tables["setting"].delete())
        for table in there.sorted_tables:
            if table.name != "alembic_version":
                rows += _copy_rows(read, tables.tables[table.name], write, table)
        if write.dialect.name == "postgresql":
            _advance_sequences(write, there)
    return rows


def _vacuum_into(source: str, out: Path) -> None:
    connection = sqlite3.connect(source, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=15000")
        connection.execute("VACUUM INTO ?", (str(out),))
    finally:
        connection.close()


def _copy_to_sqlite(engine: Engine, out: Path) -> None:
    target = open_engine(sqlite_url(out))
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as read:
            tables = _reflect(read)
            plain = MetaData()
            for table in tables.tables.values():
                copied = table.to_metadata(plain)
                for column in copied.columns:
                    column.server_default = None  # nextval(...) and the like
                    column.type = column.type.as_generic()
            with target.begin() as write:
                plain.create_all(write)
                for table in plain.sorted_tables:
                    _copy_rows(read, tables.tables[table.name], write, table)
        empty_log(target)
    finally:
        target.dispose()


def _reflect(connection: Connection) -> MetaData:
    tables = MetaData()
    tables.reflect(connection)
    return tables


def _copy_rows(read: Connection, source: Table, write: Connection, target: Table) -> int:
    flags = [column.name for column in target.columns if isinstance(column.type.as_generic(), Boolean)]
    rows = 0
    for part in read.execution_options(yield_per=_ROWS).execute(select(source)).mappings().partitions(_ROWS):
        values = [dict(row) for row in part]
        for row in values:
            row |= {name: bool(row[name]) for name in flags if row[name] is not None}
        write.execute(insert(target), values)
        rows += len(values)
    return rows


def _advance_sequences(write: Connection, tables: MetaData) -> None:
    for table in tables.sorted_tables:
        for column in inspect(write).get_columns(table.name):
            if "nextval" in str(column.get("default")):
                highest = write.execute(select(func.max(table.c[column["name"]]))).scalar_one()
                if highest is not None:
                    sequence = {"table": f'"{table.name}"', "column": column["name"], "value": highest}
                    write.execute(text("SELECT setval(pg_get_serial_sequence(:table, :column), :value)"), sequence)
