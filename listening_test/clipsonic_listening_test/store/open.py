"""A database, opened for serving or for reading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.store.database import database_url, empty_log, must_exist, open_engine, unreachable
from clipsonic_listening_test.store.migrate import must_be_newest, upgrade
from clipsonic_listening_test.store.people import database_key
from clipsonic_listening_test.store.writer import StoreUnavailable, Writer

T = TypeVar("T")


@contextmanager
def reading(database: str | None, study: Path) -> Iterator[Connection]:
    """One moment of an existing database of this version, to read from.

    Raises:
        ListeningTestError: there is none, it cannot be opened, or its schema is of another version.
    """
    with opened(database, study, read_only=True) as engine:
        try:
            with engine.connect() as connection:
                must_be_newest(connection)
                yield connection
        except OperationalError as error:
            raise unreachable(engine.url, error) from error


@contextmanager
def opened(database: str | None, study: Path, *, read_only: bool = False) -> Iterator[Engine]:
    """An engine of an existing database."""
    url = database_url(database, study)
    must_exist(url)
    engine = open_engine(url, read_only=read_only)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def writing(database: str | None, study: Path) -> Iterator[Store]:
    """A store beside the server's, made if it is not there."""
    store = Store(database_url(database, study), study)
    try:
        yield store
    except StoreUnavailable as error:
        raise ListeningTestError(f"the database did not take it ({error}); nothing was changed") from error
    finally:
        store.close()


class Store:
    """A database brought up to date, with its writer, its readers and its key.

    upgraded_from: the copy that was made before the schema was changed, if it was.

    Raises:
        ListeningTestError: the database cannot be opened, or was made by a newer version.
    """

    def __init__(self, url: URL, backups: Path) -> None:
        self.url = url
        self.engine: Engine = open_engine(url)
        self.readers: Engine = open_engine(url, read_only=True)
        try:
            self.upgraded_from = upgrade(self.engine, backups)
            with self.engine.begin() as connection:
                self.key = database_key(connection)
        except OperationalError as error:
            raise unreachable(url, error) from error
        self.writer = Writer(self.engine)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, once it is committed.

        Raises:
            StoreUnavailable: the database did not take it; nothing of it is stored.
        """
        return await asyncio.wrap_future(self.writer.submit(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns from a connection of its own, beside the writer.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        return await asyncio.to_thread(self.read_now, work)

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """The same without an event loop."""
        try:
            with self.readers.connect() as connection:
                return work(connection)
        except OperationalError as error:
            raise StoreUnavailable(str(error.orig)) from error

    def write_now(self, work: Callable[[Connection], T]) -> T:
        """`write` without an event loop."""
        return self.writer.submit(work).result()

    def scrub(self) -> None:
        """See that what was erased is not left in SQLite's log either, as far as readers let it be emptied."""
        if self.engine.dialect.name == "sqlite":
            empty_log(self.engine)

    def close(self) -> None:
        """Commit what is queued and let go of every connection."""
        self.writer.close()
        self.engine.dispose()
        self.readers.dispose()
