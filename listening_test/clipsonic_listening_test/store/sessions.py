"""Sessions: one sitting of one participant, its pages, and the browsers that may open it.

Pages are answered in their order, so `session.position` says what is answered: every position below it. Whether a
session still holds the pages above it is a question of time alone (`Assignment.lease_minutes` since `seen_ms`); nothing
needs to be written for a lease to end.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, text, update

from clipsonic_listening_test.assign import AssignedPage, Filled, StudyFull, choose_group, deal
from clipsonic_listening_test.store.tables import cookie, page, session, study
from clipsonic_listening_test.study import Study

NOT_COUNTED: Final = ("no_consent", "withdraw", "screened_out", "failed_checks")  # outcomes whose ratings fill no page
_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that is misread on the telephone
_LOCK: Final = 7_046_302_115


@dataclass(frozen=True)
class Session:
    """A row of `session`, whose columns are described in `store.tables`."""

    id: str
    study: str
    digest: str
    number: int
    participant: str
    secret: str
    group: str
    panel: str
    person: str | None
    visit: str | None
    language: str
    client: str
    created_ms: int
    seen_ms: int
    owner: str
    version: int
    position: int
    attempt: int
    volume: float | None
    outcome: str | None
    finished_ms: int | None


@dataclass(frozen=True)
class Arrival:
    """What is known of somebody who begins: panel, keyed hashes of who and of which visit, language, browser, tab."""

    panel: str
    person: str | None
    visit: str | None
    language: str
    client: str
    tab: str


# Statements of the path that every answer takes, built once: building them costs more than running them.
_COLUMNS: Final = [session.c[field.name] for field in fields(Session)]
_BY_ID: Final = select(*_COLUMNS).where(session.c.id == bindparam("wanted"))
_CHANGE: Final = update(session).where(session.c.id == bindparam("wanted"))


def by_id(connection: Connection, id: str) -> Session | None:
    """The session, or None if it was erased."""
    row = connection.execute(_BY_ID, {"wanted": id}).first()
    return None if row is None else Session(*row)


def by_cookie(connection: Connection, hash: str) -> Session | None:
    """The session that a cookie (by its SHA-256) opens."""
    return _session(connection, session.c.id == select(cookie.c.session).where(cookie.c.hash == hash).scalar_subquery())


def by_person(connection: Connection, study_id: str, person: str) -> Session | None:
    """The session of a person (by keyed hash) in any version of a study."""
    return _session(connection, and_(session.c.study == study_id, session.c.person == person))


def by_participant(connection: Connection, participant: str) -> Session | None:
    """The session of a public code."""
    return _session(connection, session.c.participant == participant)


def assigned_pages(connection: Connection, id: str) -> tuple[AssignedPage, ...]:
    """The session's pages in its order."""
    rows = connection.execute(select(page).where(page.c.session == id).order_by(page.c.position)).mappings()
    return tuple(assigned_page(row["page"], row["block"], row["row"], json.loads(row["arrangement"])) for row in rows)


def begin(connection: Connection, served: Study, arrival: Arrival, now_ms: int) -> Session:
    """Deal pages to somebody new and store the session.

    Raises:
        StudyFull: every page has its ratings.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    where = study.c.digest == served.digest
    number = connection.execute(select(study.c.next_number).where(where)).scalar_one()
    filled = already_filled(connection, served, now_ms)
    group = choose_group(served, number, filled)
    pages = deal(served, number, group, filled)
    if not pages:
        raise StudyFull
    begun = Session(
        id=secrets.token_hex(16),
        study=served.id,
        digest=served.digest,
        number=number,
        participant="".join(secrets.choice(_ALPHABET) for _ in range(10)),
        secret=secrets.token_hex(16),
        group=group,
        panel=arrival.panel,
        person=arrival.person,
        visit=arrival.visit,
        language=arrival.language,
        client=arrival.client,
        created_ms=now_ms,
        seen_ms=now_ms,
        owner=arrival.tab,
        version=1,
        position=0,
        attempt=1,
        volume=None,
        outcome=None,
        finished_ms=None,
    )
    connection.execute(update(study).where(where).values(next_number=number + 1))
    connection.execute(insert(session), {field.name: getattr(begun, field.name) for field in fields(begun)})
    connection.execute(insert(page), [_page_row(begun.id, at, each) for at, each in enumerate(pages)])
    return begun


def add_cookie(connection: Connection, id: str, hash: str, now_ms: int) -> None:
    """Let one more browser open the session."""
    connection.execute(insert(cookie), {"hash": hash, "session": id, "created_ms": now_ms})


def remove_cookie(connection: Connection, hash: str) -> None:
    """Let a browser go."""
    connection.execute(delete(cookie).where(cookie.c.hash == hash))


def change(connection: Connection, id: str, **values: Any) -> None:
    """Set columns of the session's row."""
    connection.execute(_CHANGE, {"wanted": id} | values)


def already_filled(connection: Connection, served: Study, now_ms: int) -> Filled:
    """What sessions of this version of the study have answered, or hold a lease on."""
    leased = and_(session.c.outcome.is_(None), session.c.seen_ms > now_ms - lease_ms(served))
    counts = or_(session.c.outcome.is_(None), session.c.outcome.not_in(NOT_COUNTED))
    groups = connection.execute(
        select(session.c.group, func.count())
        .where(session.c.digest == served.digest, or_(session.c.outcome == "complete", leased))
        .group_by(session.c.group)
    ).all()
    rows = connection.execute(
        select(page.c.page, page.c.row, func.count())
        .select_from(session.join(page, page.c.session == session.c.id))
        .where(session.c.digest == served.digest, counts, or_(page.c.position < session.c.position, leased))
        .group_by(page.c.page, page.c.row)
    ).all()
    return Filled({group: count for group, count in groups}, {(name, row): count for name, row, count in rows})


def lease_ms(served: Study) -> int:
    """How long a session keeps its pages after it was last heard of."""
    return round(served.assignment.lease_minutes * 60_000)


def store_study(connection: Connection, served: Study, content: str, now_ms: int) -> None:
    """Keep this version of the study, whole, if it is new."""
    if connection.execute(select(study.c.digest).where(study.c.digest == served.digest)).first() is None:
        values = {"digest": served.digest, "id": served.id, "content": content, "first_served_ms": now_ms}
        connection.execute(insert(study), values | {"next_number": 0})


def study_content(connection: Connection, digest: str) -> str:
    """study.json of a version."""
    found: str = connection.execute(select(study.c.content).where(study.c.digest == digest)).scalar_one()
    return found


def _session(connection: Connection, where: Any) -> Session | None:
    row = connection.execute(select(*_COLUMNS).where(where)).first()
    return None if row is None else Session(*row)


def _page_row(id: str, position: int, assigned: AssignedPage) -> dict[str, Any]:
    arrangement = {"stimuli": assigned.stimuli, "x": assigned.x, "headphones": assigned.headphones}
    return {
        "session": id,
        "position": position,
        "page": assigned.page,
        "block": assigned.block,
        "row": assigned.row,
        "arrangement": json.dumps(arrangement, separators=(",", ":")),
    }


def assigned_page(name: str, block: str, row: int, arrangement: dict[str, Any]) -> AssignedPage:
    """A page as it was assigned, from its row; `arrangement` parsed."""
    tries: Sequence[Sequence[Sequence[int]]] = arrangement["headphones"]
    headphones = tuple(tuple(tuple(order) for order in attempt) for attempt in tries)
    return AssignedPage(name, block, row, tuple(arrangement["stimuli"]), arrangement["x"], headphones)
