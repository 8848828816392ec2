"""Who took part, kept apart from what they answered.

A panel's id (PROLIFIC_PID, workerId) is stored once, in `person`, because people have to be paid. Everything else
knows its keyed hash: HMAC-SHA256 under a random key of this database, so that a list of ids cannot be tried against
an export. An invitation's code is stored only as such a hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from clipsonic_listening_test.store.tables import alert, answer, audit, cookie, draft, invite, person, session, setting


def database_key(connection: Connection) -> str:
    """The key of this database, made the first time."""
    found: str | None = connection.execute(select(setting.c.value).where(setting.c.name == "key")).scalar()
    if found is None:
        found = secrets.token_hex(32)
        connection.execute(insert(setting), {"name": "key", "value": found})
    return found


def keyed_hash(key: str, *parts: str) -> str:
    """HMAC-SHA256 of the parts, in hexadecimal."""
    return hmac.new(bytes.fromhex(key), json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def remember(
    connection: Connection, hash: str, panel: str, panel_id: str, visit: Mapping[str, str], now_ms: int
) -> None:
    """Keep a panel id and what came with it, unless it is known."""
    if connection.execute(select(person.c.hash).where(person.c.hash == hash)).first() is None:
        values = {"hash": hash, "panel": panel, "panel_id": panel_id, "visit": json.dumps(visit)}
        connection.execute(insert(person), values | {"first_seen_ms": now_ms})


def visit_of(connection: Connection, hash: str) -> dict[str, str]:
    """What came with a panel id; empty if unknown."""
    found: str | None = connection.execute(select(person.c.visit).where(person.c.hash == hash)).scalar()
    return {} if found is None else json.loads(found)


def make_invites(connection: Connection, key: str, study_id: str, count: int, now_ms: int) -> list[str]:
    """Codes of `count` new one-time links; only their hashes are stored."""
    codes = [secrets.token_urlsafe(12) for _ in range(count)]
    rows = [{"hash": keyed_hash(key, "invite", code), "study": study_id, "created_ms": now_ms} for code in codes]
    connection.execute(insert(invite), rows)
    return codes


def is_invited(connection: Connection, hash: str, study_id: str) -> bool:
    """Whether this hash is of a link to the study."""
    where = (invite.c.hash == hash) & (invite.c.study == study_id)
    return connection.execute(select(invite.c.hash).where(where)).first() is not None


@dataclass(frozen=True)
class Erased:
    """What `erase` found: sessions, answers in them, and whether a panel id was among it."""

    sessions: tuple[str, ...]
    answers: int
    panel_id: bool


def find(connection: Connection, key: str, participant: str) -> Erased:
    """What is stored of a participant, by public code, panel id or invitation code."""
    return _find(connection, *_where(connection, key, participant))


def erase(connection: Connection, key: str, participant: str, *, keep_ratings: bool) -> Erased:
    """Erase a participant, by public code, panel id or invitation code.

    keep_ratings: ratings and choices stay, as of nobody: panel id, cookies, drafts, questionnaires, event logs, refused
    answers, alerts and the description of the browser go. Otherwise nothing stays.
    """
    hashes, sessions = _where(connection, key, participant)
    found = _find(connection, hashes, sessions)
    connection.execute(delete(person).where(person.c.hash.in_(hashes)))
    connection.execute(delete(invite).where(invite.c.hash.in_(hashes)))
    mine = session.c.id.in_(sessions)
    if not keep_ratings:
        connection.execute(delete(session).where(mine))
        return found
    for table in (draft, audit, alert, cookie):
        connection.execute(delete(table).where(table.c.session.in_(sessions)))
    connection.execute(update(answer).where(answer.c.session.in_(sessions)).values(content="{}", events="[]"))
    connection.execute(
        update(session).where(mine).values(person=None, visit=None, client="{}", participant="erased-" + session.c.id)
    )
    return found


def _where(connection: Connection, key: str, participant: str) -> tuple[list[str], list[str]]:
    hashes = [keyed_hash(key, panel, participant) for panel in ("prolific", "mturk", "invite")]
    rows = connection.execute(
        select(session.c.id, session.c.person).where(
            session.c.person.in_(hashes) | (session.c.participant == participant)
        )
    ).all()
    return [*hashes, *(hash for _, hash in rows if hash is not None)], [id for id, _ in rows]


def _find(connection: Connection, hashes: list[str], sessions: list[str]) -> Erased:
    answers = connection.execute(select(func.count()).where(answer.c.session.in_(sessions))).scalar_one()
    known = connection.execute(select(person.c.hash).where(person.c.hash.in_(hashes))).first() is not None
    return Erased(tuple(sessions), answers, known)
