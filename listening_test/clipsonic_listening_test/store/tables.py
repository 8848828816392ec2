"""Every table. Times are milliseconds since 1970 (UTC) by the server's clock; ids are text; JSON is text.

Three kinds of rows: what never changes once it is committed (`study`, `page`, `answer`, `listening`, `rating`,
`choice`, `audit`), the one row a session changes (`session`), and what may be thrown away (`draft`). Nobody's panel id
is in any of them: `person` alone has it, under the keyed hash that `session.person` refers to.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

setting = Table(  # `key`: secret of this database, under which panel ids are hashed
    "setting",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

study = Table(  # each version of a study that was ever served, whole; next_number: of its next session
    "study",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("first_served_ms", BigInteger, nullable=False),
    Column("next_number", Integer, nullable=False, server_default="0"),
)

person = Table(  # the only place of panel ids, visits as JSON (SESSION_ID, assignmentId, …)
    "person",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("panel", Text, nullable=False),
    Column("panel_id", Text, nullable=False),
    Column("visit", Text, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
)

invite = Table(  # one-time links, by the keyed hash of their code
    "invite",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("study", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

session = Table(
    # participant: public code. secret: what the session's tokens are derived from. visit: keyed hash of the panel's
    # SESSION_ID. owner: tab that may save; version counts its changes. position, attempt: of the page whose turn it is.
    "session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("study", Text, nullable=False),
    Column("digest", Text, ForeignKey("study.digest"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("participant", Text, nullable=False, unique=True),
    Column("secret", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("panel", Text, nullable=False),
    Column("person", Text),
    Column("visit", Text),
    Column("language", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("volume", Double),
    Column("outcome", Text),
    Column("finished_ms", BigInteger),
    UniqueConstraint("digest", "number"),
    UniqueConstraint("study", "person"),
)

cookie = Table(  # SHA-256 of each cookie that opens a session; one per browser
    "cookie",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("session", Text, ForeignKey("session.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
)

page = Table(
    # What was assigned, in the session's order. arrangement: JSON of the rest of `assign.AssignedPage`.
    "page",
    metadata,
    Column("session", Text, ForeignKey("session.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("page", Text, nullable=False),
    Column("block", Text, nullable=False),
    Column("row", Integer, nullable=False),
    Column("arrangement", Text, nullable=False),
    PrimaryKeyConstraint("session", "position"),
)

answer = Table(
    # One row per page and attempt. content: what the browser sent, canonical JSON without events. digest: SHA-256 of
    # all of it. passed: verdict on a headphone, instructed or ABX page. late: after its session had grown too old.
    "answer",
    metadata,
    Column("session", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("page_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("passed", Boolean),
    Column("late", Boolean, nullable=False),
    PrimaryKeyConstraint("session", "position", "attempt"),
    ForeignKeyConstraint(["session", "position"], ["page.session", "page.position"], ondelete="CASCADE"),
)


def _of_answer() -> tuple[Column[str], Column[int], Column[int], ForeignKeyConstraint]:
    return (
        Column("session", Text, nullable=False),
        Column("position", Integer, nullable=False),
        Column("attempt", Integer, nullable=False),
        ForeignKeyConstraint(
            ["session", "position", "attempt"],
            ["answer.session", "answer.position", "answer.attempt"],
            ondelete="CASCADE",
        ),
    )


listening = Table(  # label: under which the stimulus stood on the page, `A`, `B`, …, `X`; or `reference`
    "listening",
    metadata,
    *_of_answer(),
    Column("label", Text, nullable=False),
    Column("stimulus", Text, nullable=False),
    Column("plays", Integer, nullable=False),
    Column("seconds_heard", Double, nullable=False),
    Column("coverage", Double, nullable=False),
    Column("first_play_ms", BigInteger),
    Column("last_move_ms", BigInteger),
    PrimaryKeyConstraint("session", "position", "attempt", "label"),
)

rating = Table(  # score is NULL where `missing` says why, or where an optional one was left unset
    "rating",
    metadata,
    *_of_answer(),
    Column("label", Text, nullable=False),
    Column("attribute", Text, nullable=False),
    Column("stimulus", Text, nullable=False),
    Column("score", Double),
    Column("missing", Text),
    PrimaryKeyConstraint("session", "position", "attempt", "label", "attribute"),
)

choice = Table(  # chosen: stimulus id, and label its label; NULL for a tie or a missing answer. correct: of ABX
    "choice",
    metadata,
    *_of_answer(),
    Column("question", Text, nullable=False),
    Column("chosen", Text),
    Column("label", Text),
    Column("tie", Boolean, nullable=False),
    Column("missing", Text),
    Column("correct", Boolean),
    PrimaryKeyConstraint("session", "position", "attempt", "question"),
)

draft = Table(  # of the unfinished page; shown again only to the cookie that saved it
    "draft",
    metadata,
    Column("session", Text, ForeignKey("session.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("cookie", Text, nullable=False),
    Column("saved_ms", BigInteger, nullable=False),
)

audit = Table(  # answers that differed from one already stored, and were refused
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("session", Text, ForeignKey("session.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

alert = Table(  # what the owner should see
    "alert",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("session", Text, ForeignKey("session.id", ondelete="CASCADE"), index=True),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

Index("ix_session_digest_seen", session.c.digest, session.c.seen_ms)
