"""The owner's page: how the study goes, to whoever has exchanged the token that was printed at the start."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.requests import body_of, reply, service_of, set_cookie
from clipsonic_listening_test.server.shape import members, words
from clipsonic_listening_test.store.progress import progress


async def login(request: Request) -> Response:
    """POST /monitor/login: the token, once, for a cookie."""
    service = service_of(request)
    service.limits.login(request.client.host if request.client else None)
    given = members(await body_of(request), "body", ("token",))
    cookie = service.logins.exchange(words(given["token"], "token", 200))
    if cookie is None:
        raise Refusal("login", "this token is wrong or used; restart the server for a new one", status=403)
    response = Response(status_code=204)
    set_cookie(request, response, _cookie_name(request), cookie, strict=True)
    return response


async def logout(request: Request) -> Response:
    """POST /monitor/logout."""
    service = service_of(request)
    service.logins.leave(_admitted(request))
    return Response(status_code=204)


async def data(request: Request) -> Response:
    """GET /monitor/data: see `store.progress`."""
    service = service_of(request)
    _admitted(request)
    now = service.clock()
    found: dict[str, Any] = await service.read(lambda connection: progress(connection, service.study, now))
    stored = {(each["kind"], each["detail"]) for each in found["alerts"]}
    unstored = [each | {"participant": None} for each in reversed(service.recent_alerts)]
    found["alerts"] = [*(each for each in unstored if (each["kind"], each["detail"]) not in stored), *found["alerts"]]
    study = service.study
    title = study.title.get(study.languages[0]) or next(iter(study.title.values()))
    facts = {"id": study.id, "title": title, "name": study.name, "digest": study.digest, "departures": study.departures}
    writer = service.store.writer
    database = {"waiting": writer.waiting, "failure": writer.failure}
    return reply({"study": facts, "now_ms": now, "database": database} | found)


def _cookie_name(request: Request) -> str:
    return f"monitor-{service_of(request).study.id}"


def _admitted(request: Request) -> str:
    cookie = request.cookies.get(_cookie_name(request), "")
    if not service_of(request).logins.knows(cookie):
        raise Refusal("login", "log in with the token that was printed at the start")
    return cookie
