"""Opening a session, continuing it, taking it over, ending it; its drafts and the problems it reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from clipsonic_listening_test.assign import StudyFull
from clipsonic_listening_test.server.answer import canonical
from clipsonic_listening_test.server.arrival import Visitor, may_begin, read_client, read_parameters, visitor
from clipsonic_listening_test.server.live import Moment, moment, state
from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.requests import Asking, asking, body_of, reply, service_of, set_cookie
from clipsonic_listening_test.server.service import Service
from clipsonic_listening_test.server.shape import TOKEN, invalid, members, one_of, token, words
from clipsonic_listening_test.server.tokens import cookie_hash, csrf_token, new_cookie
from clipsonic_listening_test.store import people
from clipsonic_listening_test.store.answers import Place, add_alert, save_draft
from clipsonic_listening_test.store.sessions import (
    Arrival,
    Session,
    add_cookie,
    begin,
    by_cookie,
    by_id,
    by_person,
    change,
    remove_cookie,
)

MOST_DRAFT = 64 * 1024
REASONS = ("no_consent", "technical", "withdraw")


@dataclass(frozen=True)
class _Opened:
    session: Session
    resumed: bool
    cookie: str  # hash
    is_new: bool  # the cookie


async def open_session(request: Request) -> Response:
    """POST /api/session: begin, or go on where the session was left."""
    service = service_of(request)
    given = members(await body_of(request), "body", ("tab",), ("parameters", "language", "client"))
    tab = token(given["tab"], "tab")
    parameters = read_parameters(given.get("parameters") or {})
    client = json.dumps(read_client(given.get("client") or {}))
    language = _language(service, words(given.get("language") or "", "language", 40))
    who = visitor(service.study, service.store.key, parameters)
    arrival = Arrival(who.panel, who.person, who.visit_hash, language, client, tab)
    sent = request.cookies.get(service.cookie_name, "")
    known = cookie_hash(sent) if TOKEN.fullmatch(sent) else None
    new = new_cookie()
    if await service.read(lambda connection: _found(connection, service, who, known)[0]) is None:
        service.limits.opening(request.client.host if request.client else None)
    now = service.clock()

    def work(connection: Connection) -> tuple[_Opened, Moment] | Refusal:
        opened = _open(connection, service, who, arrival, known, cookie_hash(new), now)
        if isinstance(opened, Refusal):
            return opened
        return opened, moment(connection, opened.session, opened.cookie)

    try:
        found = await service.write(work)
    except StudyFull:
        raise Refusal("full", "every page of this study has its ratings; nothing is left to do") from None
    if isinstance(found, Refusal):
        raise found
    opened, current = found
    service.forget(opened.cookie)
    live = await service.live(opened.cookie)
    cookie = new if opened.is_new else sent
    body = {
        "csrf": csrf_token(service.store.key, cookie),
        "resumed": opened.resumed,
        "state": state(live, current, tab),
    }
    response = reply(body, 200 if opened.resumed else 201)
    set_cookie(request, response, service.cookie_name, cookie)
    return response


def _open(
    connection: Connection, service: Service, who: Visitor, arrival: Arrival, known: str | None, new: str, now: int
) -> _Opened | Refusal:
    mine, by_browser = _found(connection, service, who, known)
    if mine is not None:
        if who.person is not None and mine.visit != who.visit_hash:
            return Refusal("repeat_participation", "you have taken part in this study before")
        if mine.outcome is None and service.load(connection, mine).too_old(now):
            return _expired()
        if by_browser:
            return _Opened(_go_on(connection, mine, arrival, now, owner=mine.owner), True, str(known), False)
        add_cookie(connection, mine.id, new, now)
        return _Opened(_go_on(connection, mine, arrival, now, owner=arrival.tab), True, new, True)
    stranger = may_begin(service.study, who)
    if stranger is not None:
        return stranger
    if who.panel == "invite" and not people.is_invited(connection, str(who.person), service.study.id):
        return Refusal("panel_id", "this invitation is not known")
    begun = begin(connection, service.study, arrival, now)
    if who.person is not None and who.panel_id is not None and who.panel != "invite":
        visit = {name: value for name, value in who.parameters.items() if name != "invite"}
        people.remember(connection, who.person, who.panel, who.panel_id, visit, now)
    if known is not None:
        remove_cookie(connection, known)
    add_cookie(connection, begun.id, new, now)
    return _Opened(begun, False, new, True)


def _found(connection: Connection, service: Service, who: Visitor, known: str | None) -> tuple[Session | None, bool]:
    """The session of whoever arrives, if there is one; and whether it is this browser that opens it."""
    mine = None if known is None else by_cookie(connection, known)
    if mine is not None and who.person in (None, mine.person):
        return mine, True
    if who.person is None:
        return None, False
    return by_person(connection, service.study.id, who.person), False  # another person at the same browser, or device


def _go_on(connection: Connection, mine: Session, arrival: Arrival, now: int, owner: str) -> Session:
    changes: dict[str, Any] = {"seen_ms": now, "language": arrival.language}
    if owner != mine.owner:
        changes |= {"owner": owner, "version": mine.version + 1}
    change(connection, mine.id, **changes)
    return replace(mine, **changes)


async def get_session(request: Request) -> Response:
    """GET /api/session: where the session stands."""
    service = service_of(request)
    ask = await asking(request, changes=False)
    found = await service.read(lambda connection: _moment(connection, ask))
    _not_too_old(service, ask, found)
    return reply({"state": state(ask.live, found, ask.tab)})


async def take_over(request: Request) -> Response:
    """POST /api/session/take-over: this tab may save from now on, and no other."""
    service = service_of(request)
    ask = await asking(request, changes=True)
    members(await body_of(request), "body", ())
    now = service.clock()

    def work(connection: Connection) -> Moment:
        found = _moment(connection, ask)
        if found.session.owner == ask.tab:
            return found
        changes: dict[str, Any] = {"owner": ask.tab, "version": found.session.version + 1, "seen_ms": now}
        change(connection, ask.live.id, **changes)
        return replace(found, session=replace(found.session, **changes))

    found = await service.write(work)
    _not_too_old(service, ask, found)
    return reply({"state": state(ask.live, found, ask.tab)})


async def put_draft(request: Request) -> Response:
    """PUT /api/draft: keep what is on the page so far. A draft of a page that is answered is forgotten."""
    service = service_of(request)
    ask = await asking(request, changes=True)
    given = members(await body_of(request), "body", ("key", "draft"))
    key = token(given["key"], "key")
    if not isinstance(given["draft"], dict):
        raise invalid("draft is no object")
    content = canonical(given["draft"])
    if len(content.encode()) > MOST_DRAFT:
        raise Refusal("too_large", f"the draft is larger than {MOST_DRAFT} bytes")
    now = service.clock()

    def work(connection: Connection) -> Refusal | None:
        session = by_id(connection, ask.live.id)
        if session is None:
            return Refusal("session", "this session was erased")
        if session.owner != ask.tab:
            return Refusal("open_elsewhere", "another tab has taken this session over")
        if session.outcome is None and ask.live.shown(session.position, 1).key == key:
            place = Place(session.id, session.position, session.attempt)
            save_draft(connection, place, content, ask.cookie, now)
            change(connection, session.id, seen_ms=now)
        return None

    refusal = await service.write(work)
    if refusal is not None:
        raise refusal
    return Response(status_code=204)


async def withdraw(request: Request) -> Response:
    """POST /api/withdraw: the participant ends the session, now."""
    service = service_of(request)
    ask = await asking(request, changes=True)
    given = members(await body_of(request), "body", ("reason",))
    reason = one_of(given["reason"], "reason", REASONS)
    now = service.clock()

    def work(connection: Connection) -> Moment:
        found = _moment(connection, ask)
        if found.session.outcome is None:
            changes: dict[str, Any] = {"outcome": reason, "finished_ms": now, "seen_ms": now}
            change(connection, ask.live.id, **changes)
            if reason == "technical":
                add_alert(connection, ask.live.id, "technical", "a session was ended for technical reasons", now)
            found = moment(connection, replace(found.session, **changes), ask.cookie)
        return found

    found = await service.write(work)
    return reply({"state": state(ask.live, found, ask.tab)})


async def report_problem(request: Request) -> Response:
    """POST /api/problem: something does not work at the participant's; the owner is told what it was about."""
    service = service_of(request)
    ask = await asking(request, changes=True)
    given = members(await body_of(request), "body", ("kind",), ("token", "detail"))
    kind = token(given["kind"], "kind")
    detail = words(given.get("detail") or "", "detail", 1000)
    if given.get("token") is not None:
        detail = f"{_thing(ask, token(given['token'], 'token'))}: {detail}"
    await service.alert(ask.live.id, kind, detail)
    return Response(status_code=204)


def _thing(ask: Asking, sent: str) -> str:
    """What a token stands for, in the owner's words."""
    for position in range(len(ask.live.pages)):
        for attempt in range(1, max(1, len(ask.live.pages[position].headphones)) + 1):
            shown = ask.live.shown(position, attempt)
            if sent in shown.slots:
                slot = shown.slots[sent]
                return f"page {shown.page.id}, {slot.label} ({slot.thing})"
    return "a token that the session does not have"


def _moment(connection: Connection, ask: Asking) -> Moment:
    session = by_id(connection, ask.live.id)
    if session is None:
        raise Refusal("session", "this session was erased")
    return moment(connection, session, ask.cookie)


def _not_too_old(service: Service, ask: Asking, found: Moment) -> None:
    if found.session.outcome is None and ask.live.too_old(service.clock()):
        raise _expired()


def _expired() -> Refusal:
    return Refusal("expired", "this session began too long ago to be continued")


def _language(service: Service, wanted: str) -> str:
    """The study's language that fits best, by its primary tag; else the study's first."""
    base = wanted.lower().replace("_", "-").split("-")[0]
    fitting = [tag for tag in service.study.languages if tag.lower().split("-")[0] == base]
    return fitting[0] if fitting else service.study.languages[0]
