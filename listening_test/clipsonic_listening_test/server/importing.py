"""Answers that reach the server as a file: what a browser saves when it cannot reach the server any more.

    {"schema": 1, "kind": "answers", "study": id, "participant": public code, "answers": [ANSWER, …]}

Each is held to the same rules as one that came by HTTP, except that no tab has to own the session. A page's key is
known to its participant alone, so nobody can make such a file for somebody else. Importing a file twice stores nothing
twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.server.answer import read_answer
from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.saving import prepare, save
from clipsonic_listening_test.server.service import Service
from clipsonic_listening_test.server.shape import items, members, parse, token
from clipsonic_listening_test.store.answers import stored_digest
from clipsonic_listening_test.store.sessions import by_participant

_MOST: Final = 1000
_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Imported:
    """What became of a file: answers stored now, stored before, and refused (with why)."""

    participant: str
    stored: int
    known: int
    refused: tuple[str, ...]


def import_answers(service: Service, path: Path) -> Imported:
    """Take a file's answers, oldest first.

    Raises:
        ListeningTestError: no such file, of another shape, or of nobody in this database.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ListeningTestError(
                f"{path} is larger than {_MOST_BYTES >> 20} MiB; expected a file of one participant"
            )
        raw = members(parse(path.read_bytes()), "file", ("schema", "kind", "study", "participant", "answers"))
        participant = token(raw["participant"], "participant")
        answers = items(raw["answers"], "answers", _MOST)
    except FileNotFoundError:
        raise ListeningTestError(f"{path} does not exist; expected the file that a participant saved") from None
    except Refusal as refusal:
        raise ListeningTestError(f"{path}: {refusal.message}; expected the file that a participant saved") from None
    if raw["schema"] != 1 or raw["kind"] != "answers" or raw["study"] != service.study.id:
        found = f"schema {raw['schema']}, kind {raw['kind']!r}, study {raw['study']!r}"
        raise ListeningTestError(f"{path} has {found}; expected 1, 'answers' and {service.study.id!r}")

    stored = known = 0
    refused = []
    for number, each in enumerate(answers, start=1):
        what = service.store.write_now(partial(_take, service=service, participant=participant, raw=each))
        if isinstance(what, str):
            refused.append(f"answer {number}: {what}")
        elif what:
            stored += 1
        else:
            known += 1
    return Imported(participant, stored, known, tuple(refused))


def _take(connection: Connection, service: Service, participant: str, raw: Any) -> bool | str:
    """True if it was stored, False if it had been before, else why not."""
    session = by_participant(connection, participant)
    if session is None:
        raise ListeningTestError(f"nobody in this database has the code {participant}; see --db")
    live = service.load(connection, session)
    try:
        answer = read_answer(raw)
        shown, record = prepare(live, answer, "file", service.clock())
    except Refusal as refusal:
        return refusal.message
    before = stored_digest(connection, record.place)
    found = save(connection, live, answer, shown, record, None)
    return found.message if isinstance(found, Refusal) else before is None
