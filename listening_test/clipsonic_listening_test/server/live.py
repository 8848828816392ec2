"""A session as the server works with it: what never changes is kept in memory, all else read from the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Connection

from clipsonic_listening_test.assign import AssignedPage
from clipsonic_listening_test.server.tokens import Shown, page_key
from clipsonic_listening_test.server.views import finish_view, may_preload_after, page_view, preload, study_view
from clipsonic_listening_test.store.answers import Place, draft_of
from clipsonic_listening_test.store.people import visit_of
from clipsonic_listening_test.store.sessions import Session
from clipsonic_listening_test.study import Study

_RECENT: Final = 4  # the page, the one before and the one after it are asked for again and again


@dataclass(frozen=True)
class Live:
    """What of a session never changes: its version of the study, its pages in order, its secret."""

    id: str
    participant: str
    secret: str
    study: Study
    pages: tuple[AssignedPage, ...]
    created_ms: int
    _recent: dict[tuple[int, int], Shown] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def total(self) -> int:
        """Pages to be answered: all before the first `finish` page."""
        kinds = [self.study.pages[each.page].type for each in self.pages]
        return kinds.index("finish") if "finish" in kinds else len(kinds)

    def shown(self, position: int, attempt: int) -> Shown:
        """The page at a position, in an attempt."""
        place = (position, attempt)
        if place not in self._recent:
            shown = Shown(self.study, self.pages[position], self.secret, position, attempt)
            while len(self._recent) >= _RECENT:
                self._recent.pop(next(iter(self._recent)), None)
            self._recent[place] = shown
            return shown
        return self._recent[place]

    def find(self, key: str, attempt: int) -> Shown | None:
        """The page with this key, if the session has it."""
        position = self._positions.get(key)
        return None if position is None else self.shown(position, attempt)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {page_key(self.secret, position): position for position in range(self.total)}

    def too_old(self, now_ms: int) -> bool:
        """Whether the session may no longer be continued."""
        return now_ms - self.created_ms > self.study.assignment.maximum_age_hours * 3_600_000


@dataclass(frozen=True)
class Moment:
    """What of a session changes, at one moment, with what only some states need."""

    session: Session
    draft: str | None = None
    visit: Mapping[str, str] = field(default_factory=dict)


def moment(connection: Connection, session: Session, cookie: str | None) -> Moment:
    """The session's moment as a cookie (by its hash) may see it: a draft is shown to the cookie that saved it."""
    if session.outcome is not None:
        visit = visit_of(connection, session.person) if session.panel == "mturk" and session.person else {}
        return Moment(session, visit=visit)
    if cookie is None:
        return Moment(session)
    return Moment(session, draft_of(connection, Place(session.id, session.position, session.attempt), cookie))


def state(live: Live, now: Moment, tab: str) -> dict[str, Any]:
    """STATE: where the session stands, for one of its tabs."""
    session, study = now.session, live.study
    owned = session.owner == tab
    page: dict[str, Any] | None = None
    following: dict[str, Any] | None = None
    if session.outcome is None and owned:
        shown = live.shown(session.position, session.attempt)
        draft = None if now.draft is None else json.loads(now.draft)
        page = page_view(shown, session.language, draft)
        if session.position + 1 < live.total and may_preload_after(shown.page):
            following = preload(live.shown(session.position + 1, 1))
    elif session.outcome == "complete" and live.total < len(live.pages):
        page = page_view(live.shown(live.total, 1), session.language, None)
    return {
        "participant": session.participant,
        "version": session.version,
        "finished": session.outcome,
        "progress": {"done": session.position, "total": live.total},
        "page": page,
        "next": following,
        "owned": owned,
        "study": study_view(study, session.language),
        "volume": session.volume,
        "finish": None if session.outcome is None else finish_view(study, session.outcome, now.visit),
    }
