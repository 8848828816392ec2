"""Saving an answer: once, in its turn, by the tab that owns the session, in one transaction with what follows from it.

The answer of a page that is already stored is acknowledged again if it says the same, and kept beside it and refused
if it does not. Neither the age of a session nor a browser's clock ever loses an answer: a late one is marked. What was
not judged, the owner is told.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from clipsonic_listening_test.server.acceptance import accept
from clipsonic_listening_test.server.answer import Answer, Listening, Rating
from clipsonic_listening_test.server.judge import final_outcome, judge
from clipsonic_listening_test.server.live import Live
from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.tokens import Shown
from clipsonic_listening_test.store import answers
from clipsonic_listening_test.store.answers import Place, Record
from clipsonic_listening_test.store.sessions import Session, by_id, change


def prepare(live: Live, answer: Answer, source: str, now_ms: int) -> tuple[Shown, Record]:
    """Find the page an answer is for, hold the answer against it, and make its rows.

    source: `browser` or `file`.

    Raises:
        Refusal: the session has no such page, or the page does not allow the answer.
    """
    shown = live.find(answer.key, answer.attempt)
    if shown is None or answer.attempt > max(1, len(shown.assigned.headphones)):
        raise Refusal("invalid", "the session has no such page or attempt")
    accept(shown, answer)
    record = Record(
        place=Place(live.id, shown.position, shown.attempt),
        digest=answer.digest,
        content=answer.content,
        events=answer.events,
        page_ms=answer.page_ms,
        received_ms=now_ms,
        source=source,
        passed=judge(shown, answer).passed,
        late=live.too_old(now_ms),
        listening=_listening(shown, answer),
        ratings=_ratings(shown, answer),
        choices=_choices(shown, answer),
    )
    return shown, record


def save(
    connection: Connection, live: Live, answer: Answer, shown: Shown, record: Record, tab: str | None
) -> Session | Refusal:
    """Store a prepared answer and move the session on. `tab` is None for answers that come from a file.

    Returns:
        The session as it stands then, or why the answer was refused (returned, so that what is kept of a refused
        answer is committed).
    """
    session = by_id(connection, live.id)
    if session is None:
        return Refusal("session", "this session was erased")
    stored = answers.stored_digest(connection, record.place)
    if stored == record.digest:
        return session
    if stored is not None:
        answers.refuse(connection, record.place, record.content, record.received_ms)
        return Refusal("locked", "another answer to this page is stored already")
    if session.outcome is not None:
        return Refusal("finished", f"the session has ended ({session.outcome})")
    if (session.position, session.attempt) != (record.place.position, record.place.attempt):
        return Refusal("not_current", "it is another page's turn")
    if tab is not None and session.owner != tab:
        return Refusal("open_elsewhere", "another tab has taken this session over")
    answers.store(connection, record)
    for reason, what in _not_judged(shown, answer):
        answers.add_alert(connection, live.id, reason, f"page {shown.page.id}, {what}", record.received_ms)
    changes = _what_follows(connection, live, session, answer, shown) | {"seen_ms": record.received_ms}
    client = json.loads(session.client)
    if client | answer.device != client:  # a browser knows its device once it has played
        changes["client"] = json.dumps(client | answer.device)
    if changes.get("outcome") is not None:
        changes["finished_ms"] = record.received_ms
    change(connection, session.id, **changes)
    return replace(session, **changes)


def _what_follows(connection: Connection, live: Live, session: Session, answer: Answer, shown: Shown) -> dict[str, Any]:
    verdict = judge(shown, answer)
    changes: dict[str, Any] = {} if answer.volume is None else {"volume": answer.volume}
    if verdict.again:
        return changes | {"attempt": session.attempt + 1}
    changes |= {"position": session.position + 1, "attempt": 1}
    if verdict.outcome is not None:
        return changes | {"outcome": verdict.outcome}
    if changes["position"] >= live.total:
        failed = answers.failed_positions(connection, session.id)
        return changes | {"outcome": final_outcome(live.study, live.pages, failed)}
    return changes


def _not_judged(shown: Shown, answer: Answer) -> list[tuple[str, str]]:
    """Why something was not judged, and what; once for all attributes."""
    found = []
    for rating in answer.ratings:
        if rating.missing is not None:
            slot = shown.slots[rating.token]
            found.append((rating.missing, f"{slot.label} ({slot.thing})"))
    pair = " and ".join(slot.thing for slot in shown.stimuli.values() if slot.label != "X")
    found += [(choice.missing, pair) for choice in answer.choices if choice.missing is not None]
    return list(dict.fromkeys(found))


def _listening(shown: Shown, answer: Answer) -> list[dict[str, Any]]:
    return [_of_slot(shown, each) for each in answer.listening]


def _ratings(shown: Shown, answer: Answer) -> list[dict[str, Any]]:
    return [_of_slot(shown, each) for each in answer.ratings]


def _of_slot(shown: Shown, each: Listening | Rating) -> dict[str, Any]:
    slot = shown.slots[each.token]
    row = vars(each) | {"label": slot.label, "stimulus": slot.thing}
    del row["token"]
    return row


def _choices(shown: Shown, answer: Answer) -> list[dict[str, Any]]:
    rows = []
    for each in answer.choices:
        slot = shown.slots.get(each.choice or "")
        row = {"question": each.question, "tie": each.choice == "tie", "missing": each.missing}
        row |= {"chosen": None if slot is None else slot.thing, "label": None if slot is None else slot.label}
        rows.append(row | {"correct": judge(shown, answer).passed if shown.page.type == "abx" else None})
    return rows
