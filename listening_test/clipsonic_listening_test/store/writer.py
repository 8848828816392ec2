"""One thread writes. Queued jobs are run in one transaction and acknowledged together, after its commit.

A job is a function of a connection. It runs inside a savepoint, so a job that raises undoes itself alone. Where the
database fails (disk full, connection lost), the whole transaction is undone and its jobs are tried once more, one by
one; a job that fails again raises `StoreUnavailable`, and nothing of it is stored.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

MOST_TOGETHER: Final = 64
log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[Connection], T]


class StoreUnavailable(Exception):
    """The database did not take a write. Nothing of it is stored; it may be tried again."""


@dataclass
class _Job:
    work: Work[Any]
    done: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: BaseException | None = None

    def resolve(self) -> None:
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)


class Writer:
    """The thread. `failure` is what the database last said, or None since a commit succeeded."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs not yet begun."""
        return self._jobs.qsize()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, work: Work[T]) -> Future[T]:
        """Queue a job. The future is done once the job is committed, or has failed.

        Raises:
            StoreUnavailable: the writer is closed.
        """
        job = _Job(work)
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._jobs.put(job)
        return job.done

    def close(self) -> None:
        """Commit what is queued, then stop. May be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        last = False
        while not last:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while True:
                if job is None:
                    last = True
                    break
                if job.done.set_running_or_notify_cancel():
                    jobs.append(job)
                if len(jobs) >= MOST_TOGETHER or self._jobs.empty():
                    break
                job = self._jobs.get()
            if jobs:
                self._commit(jobs)

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            self._transact(jobs)
        except Exception:
            log.debug("a transaction of %d jobs failed; trying them alone", len(jobs), exc_info=True)
            for job in jobs:
                self._commit_alone(job)
        for job in jobs:
            job.resolve()

    def _commit_alone(self, job: _Job) -> None:
        job.result, job.error = None, None
        try:
            self._transact([job])
        except Exception as error:
            cause = getattr(error, "orig", None) or error
            self.failure = f"{type(cause).__name__}: {cause}"
            log.error("the database did not take a write: %s", self.failure)
            job.error = StoreUnavailable(self.failure)

    def _transact(self, jobs: list[_Job]) -> None:
        connection = self._engine.connect()
        try:
            with connection.begin():
                for job in jobs:
                    _attempt(connection, job)
        except BaseException:
            _forget(connection)
            raise
        else:
            self.failure = None
        finally:
            connection.close()


def _attempt(connection: Connection, job: _Job) -> None:
    """Run a job in a savepoint. What the database cannot do is raised; what the job itself raises is its result."""
    savepoint = connection.begin_nested()
    try:
        job.result = job.work(connection)
    except IntegrityError as error:
        savepoint.rollback()
        job.error = error
    except SQLAlchemyError:
        raise
    except Exception as error:
        savepoint.rollback()
        job.error = error
    else:
        savepoint.commit()


def _forget(connection: Connection) -> None:
    """Do not use this connection again: after a full disk it may hold a transaction that is no more."""
    try:
        connection.invalidate()
    except DBAPIError:
        log.debug("a broken connection could not be given back", exc_info=True)
