"""An engine for a database URL. SQLite and PostgreSQL behave alike from here on.

SQLite: WAL so that reading never waits for writing, `synchronous=FULL` so that a commit is on the disk before it is
acknowledged, `BEGIN IMMEDIATE` so that a writer queues instead of failing half-way, `secure_delete` so that erased
ids do not stay in free pages. PostgreSQL: `synchronous_commit=on`, whatever the server's default is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import QueuePool

from clipsonic_listening_test.errors import ListeningTestError

BUSY_MS = 15_000
_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA journal_size_limit=67108864",
)


def database_url(given: str | None, study: Path) -> URL:
    """The URL of `--db`: as given, a file's path as SQLite, or `ratings.sqlite` in the study's folder.

    Raises:
        ListeningTestError: neither SQLite nor PostgreSQL with psycopg.
    """
    if given is None:
        return sqlite_url(study / "ratings.sqlite")
    if not re.match(r"[a-z0-9+]+://", given):
        return sqlite_url(Path(given))
    try:
        url = make_url(given)
    except ArgumentError:
        raise _unknown(given.split(":")[0]) from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if not url.database or url.database == ":memory:":
            raise ListeningTestError("a database in memory would lose every answer; name a file: sqlite:///FILE")
        return url
    if url.drivername == "postgresql+psycopg":
        return url
    raise _unknown(url.drivername)


def sqlite_url(path: Path) -> URL:
    """The URL of an SQLite file."""
    return URL.create("sqlite", database=str(path))


def open_engine(url: URL, *, read_only: bool = False) -> Engine:
    """An engine whose every connection is set up as the module says.

    read_only: connections that refuse to write, for exports and monitors beside the writer.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=QueuePool, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _set_up_sqlite_reader if read_only else _set_up_sqlite)
        event.listen(engine, "begin", _begin if read_only else _begin_immediate)
        return engine
    engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    event.listen(engine, "connect", _set_up_postgresql)
    return (
        engine.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ") if read_only else engine
    )


def empty_log(engine: Engine) -> None:
    """Move all of SQLite's write-ahead log into the database and empty it, as far as readers let it."""
    connection = engine.raw_connection()  # outside of any transaction
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    finally:
        connection.close()


def shown(url: URL) -> str:
    """The URL without its password."""
    return url.render_as_string(hide_password=True)


def must_exist(url: URL) -> None:
    """Refuse an SQLite file that is absent, instead of making an empty one.

    Raises:
        ListeningTestError: no such file.
    """
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise ListeningTestError(f"{url.database} does not exist; start the study with: clipsonic-listen serve STUDY")


def unreachable(url: URL, error: OperationalError) -> ListeningTestError:
    """What to say of a database that cannot be opened."""
    reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    return ListeningTestError(f"the database {shown(url)} cannot be opened ({reason}); see --db")


def _unknown(driver: str) -> ListeningTestError:
    return ListeningTestError(
        f"--db names {driver!r}; expected a file, sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    )


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin`, not by the driver's guess
    for pragma in _PRAGMAS:
        connection.execute(pragma).close()


def _set_up_sqlite_reader(connection: Any, _: object) -> None:
    _set_up_sqlite(connection, _)
    connection.execute("PRAGMA query_only=ON").close()


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")


def _set_up_postgresql(connection: Any, _: object) -> None:
    connection.autocommit = True
    connection.execute("SET synchronous_commit = on")
    connection.execute("SET lock_timeout = '15s'")
    connection.autocommit = False
