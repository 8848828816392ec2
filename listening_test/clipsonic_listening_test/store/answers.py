"""Saving what was answered: once per page and attempt, with what it says in rows that can be queried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, func, insert, select

from clipsonic_listening_test.store.tables import alert, answer, audit, choice, draft, listening, rating


def _is_at(table: Table) -> ColumnElement[bool]:
    return and_(*(table.c[name] == bindparam(f"at_{name}") for name in ("session", "position", "attempt")))


MOST_KEPT: Final = 50
# Built once: building a statement costs more than running it.
_DIGEST: Final = select(answer.c.digest).where(_is_at(answer))
_DRAFT: Final = select(draft.c.content).where(_is_at(draft), draft.c.cookie == bindparam("at_cookie"))
_DROP_DRAFT: Final = delete(draft).where(draft.c.session == bindparam("at_session"))
_REFUSED: Final = select(audit.c.id).where(_is_at(audit), audit.c.content == bindparam("at_content"))
_INSERT: Final = {table: insert(table) for table in (answer, listening, rating, choice, draft)}


@dataclass(frozen=True)
class Place:
    """Which answer: session, position of the page in it, attempt."""

    session: str
    position: int
    attempt: int


@dataclass(frozen=True)
class Record:
    """An answer as it is stored; the columns are described in `store.tables`."""

    place: Place
    digest: str
    content: str
    events: str
    page_ms: int
    received_ms: int
    source: str
    passed: bool | None
    late: bool
    listening: Sequence[Mapping[str, Any]]
    ratings: Sequence[Mapping[str, Any]]
    choices: Sequence[Mapping[str, Any]]


def stored_digest(connection: Connection, place: Place) -> str | None:
    """Digest of the answer that is stored at a place, or None."""
    return connection.execute(_DIGEST, _at(place)).scalar()


def store(connection: Connection, record: Record) -> None:
    """Store an answer and its rows, and drop the draft of the page."""
    place = vars(record.place)
    columns = ("digest", "content", "events", "page_ms", "received_ms", "source", "passed", "late")
    connection.execute(_INSERT[answer], place | {name: getattr(record, name) for name in columns})
    for table, rows in ((listening, record.listening), (rating, record.ratings), (choice, record.choices)):
        if rows:
            connection.execute(_INSERT[table], [place | dict(row) for row in rows])
    connection.execute(_DROP_DRAFT, {"at_session": record.place.session})


def refuse(connection: Connection, place: Place, content: str, now_ms: int) -> None:
    """Keep an answer that differs from the one stored at its place: once, and no more than `MOST_KEPT` of a session."""
    kept = connection.execute(select(func.count()).where(audit.c.session == place.session)).scalar_one()
    if kept >= MOST_KEPT or connection.execute(_REFUSED, _at(place) | {"at_content": content}).first() is not None:
        return
    connection.execute(insert(audit), vars(place) | {"content": content, "received_ms": now_ms})


def failed_positions(connection: Connection, session: str) -> list[int]:
    """Positions whose last attempt was judged wrong."""
    rows = connection.execute(
        select(answer.c.position, answer.c.passed).where(answer.c.session == session).order_by(answer.c.attempt)
    ).all()
    last = {position: passed for position, passed in rows}
    return [position for position, passed in last.items() if passed is False]


def save_draft(connection: Connection, place: Place, content: str, cookie: str, now_ms: int) -> None:
    """Keep the draft of the page whose turn it is, in place of an older one."""
    connection.execute(_DROP_DRAFT, {"at_session": place.session})
    connection.execute(_INSERT[draft], vars(place) | {"content": content, "cookie": cookie, "saved_ms": now_ms})


def draft_of(connection: Connection, place: Place, cookie: str) -> str | None:
    """The draft that this cookie saved of a page, or None."""
    return connection.execute(_DRAFT, _at(place) | {"at_cookie": cookie}).scalar()


def add_alert(connection: Connection, session: str | None, kind: str, detail: str, now_ms: int) -> None:
    """Tell the owner, up to `MOST_KEPT` times of a session: nobody can fill the disk with complaints."""
    if session is not None:
        kept = connection.execute(select(func.count()).where(alert.c.session == session)).scalar_one()
        if kept >= MOST_KEPT:
            return
    connection.execute(insert(alert), {"session": session, "kind": kind, "detail": detail, "at_ms": now_ms})


def _at(place: Place) -> dict[str, Any]:
    return {f"at_{name}": value for name, value in vars(place).items()}
