"""What the parts of the server share: study, store, limits and caches. Nothing here is the only copy of anything."""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from clipsonic_listening_test.server.limits import Limits, Rates
from clipsonic_listening_test.server.live import Live
from clipsonic_listening_test.server.logins import Logins
from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.web import WebFolder
from clipsonic_listening_test.store.answers import add_alert
from clipsonic_listening_test.store.open import Store
from clipsonic_listening_test.store.sessions import Session, assigned_pages, by_cookie, store_study, study_content
from clipsonic_listening_test.store.writer import StoreUnavailable
from clipsonic_listening_test.study import Study, study_from_json

MOST_LIVE: Final = 2000
LIVE_S: Final = 300.0  # an erased session is forgotten after so long at the latest
_RETRY_S: Final = 5
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How a study is served. https_cookies: cookies for https alone. proxied: a proxy's word on addresses is taken."""

    https_cookies: bool = False
    proxied: bool = False
    rates: Rates = field(default_factory=Rates)


class Service:
    """The server's parts. `clock` gives milliseconds since 1970."""

    def __init__(
        self,
        study: Study,
        store: Store,
        options: Options | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.study = study
        self.store = store
        self.options = Options() if options is None else options
        self.clock = clock
        self.limits = Limits(self.options.rates)
        self.logins = Logins()
        self.web = WebFolder(study)
        self.recent_alerts: deque[dict[str, Any]] = deque(maxlen=50)  # for when the database takes none
        self._studies: dict[str, Study] = {study.digest: study}
        self._live: OrderedDict[str, tuple[float, Live]] = OrderedDict()
        content = (study.folder / "study.json").read_text(encoding="utf-8")
        store.writer.submit(lambda connection: store_study(connection, study, content, self.clock())).result()

    @property
    def cookie_name(self) -> str:
        """One cookie per study: browsers send cookies of one port to another."""
        return f"listening-{self.study.id}"

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Commit, and return what `work` returned. Raises Refusal `unavailable` if the database does not take it."""
        try:
            return await self.store.write(work)
        except StoreUnavailable as error:
            raise self._unavailable(error) from error
        except IntegrityError as error:  # two servers on one database did the same at once
            raise Refusal("unavailable", "somebody else was faster; try again", retry_after=1) from error

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read beside the writer."""
        try:
            return await self.store.read(work)
        except StoreUnavailable as error:
            raise self._unavailable(error) from error

    async def live(self, cookie: str) -> Live:
        """The session a cookie (by its hash) opens.

        Raises:
            Refusal: none.
        """
        known = self._live.get(cookie)
        if known is not None and time.monotonic() - known[0] < LIVE_S:
            self._live.move_to_end(cookie)
            return known[1]

        def load(connection: Connection) -> Live | None:
            session = by_cookie(connection, cookie)
            return None if session is None else self.load(connection, session)

        found = await self.read(load)
        if found is None:
            self._live.pop(cookie, None)
            raise Refusal("session", "no session belongs to this browser; open the study's link")
        self.remember(cookie, found)
        return found

    def load(self, connection: Connection, session: Session) -> Live:
        """A session's unchanging part, from the database."""
        return Live(
            session.id,
            session.participant,
            session.secret,
            self._version(connection, session.digest),
            assigned_pages(connection, session.id),
            session.created_ms,
        )

    def remember(self, cookie: str, live: Live) -> None:
        """Keep a session in memory, and not too many."""
        self._live[cookie] = (time.monotonic(), live)
        self._live.move_to_end(cookie)
        while len(self._live) > MOST_LIVE:
            self._live.popitem(last=False)

    def forget(self, cookie: str) -> None:
        """Do not keep a session in memory."""
        self._live.pop(cookie, None)

    async def alert(self, session: str | None, kind: str, detail: str) -> None:
        """Tell the owner: in the log, on the monitor and in the database, if it takes it."""
        now = self.clock()
        self.note(kind, detail)
        try:
            await self.store.write(lambda connection: add_alert(connection, session, kind, detail, now))
        except StoreUnavailable:
            log.debug("an alert was not stored", exc_info=True)

    def note(self, kind: str, detail: str) -> None:
        """Tell the owner, without the database."""
        log.warning("%s: %s", kind, json.dumps(detail, ensure_ascii=False))  # one line, whatever a participant wrote
        self.recent_alerts.append({"at_ms": self.clock(), "kind": kind, "detail": detail})

    def _version(self, connection: Connection, digest: str) -> Study:
        """A session goes on with the version of the study that it began with; sounds are found by their hash."""
        if digest not in self._studies:
            study = study_from_json(study_content(connection, digest))
            self._studies[digest] = replace(study, folder=self.study.folder, digest=digest)
        return self._studies[digest]

    def _unavailable(self, error: StoreUnavailable) -> Refusal:
        last = self.recent_alerts[-1] if self.recent_alerts else None
        if last is None or last["kind"] != "database" or self.clock() - last["at_ms"] > 60_000:
            self.note("database", str(error))
        return Refusal("unavailable", "the server cannot store anything just now; try again", retry_after=_RETRY_S)
