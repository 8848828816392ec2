"""Who asks: the session behind a cookie, the tab, the CSRF token; and the JSON of a body."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from clipsonic_listening_test.server.live import Live
from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.security import read_body
from clipsonic_listening_test.server.service import Service
from clipsonic_listening_test.server.shape import TOKEN, parse
from clipsonic_listening_test.server.tokens import cookie_hash, csrf_token


@dataclass(frozen=True)
class Asking:
    """A request of a session: its unchanging part, the hash of its cookie, its tab."""

    live: Live
    cookie: str
    tab: str


def service_of(request: Request) -> Service:
    """The service of the application that a request came to."""
    return cast(Service, request.app.state.service)


async def asking(request: Request, *, changes: bool) -> Asking:
    """Who asks. With `changes`, the CSRF token is wanted as well.

    Raises:
        Refusal: no session, another site's request, no tab, or too many requests.
    """
    service = service_of(request)
    cookie = request.cookies.get(service.cookie_name, "")
    if not TOKEN.fullmatch(cookie):
        raise Refusal("session", "no session belongs to this browser; open the study's link")
    hash = cookie_hash(cookie)
    live = await service.live(hash)
    service.limits.session(live.id)
    sent = request.headers.get("x-csrf-token", "")
    if changes and not hmac.compare_digest(sent.encode(), csrf_token(service.store.key, cookie).encode()):
        raise Refusal("csrf", "the request lacks the session's token; reload the page")
    tab = request.headers.get("x-tab", "")
    if not TOKEN.fullmatch(tab):
        raise Refusal("invalid", "X-Tab names no tab")
    return Asking(live, hash, tab)


async def body_of(request: Request) -> Any:
    """The JSON of the body. Raises Refusal."""
    return parse(await read_body(request.receive))


def reply(content: dict[str, Any], status: int = 200) -> JSONResponse:
    """JSON that nobody keeps."""
    return JSONResponse({"schema": 1} | content, status, {"Cache-Control": "no-store"})


def set_cookie(request: Request, response: Response, name: str, value: str, *, strict: bool = False) -> None:
    """Set a cookie that scripts cannot read and other sites do not send."""
    service = service_of(request)
    response.set_cookie(
        name,
        value,
        path=request.scope.get("root_path", "").rstrip("/") + "/",
        secure=service.options.https_cookies or request.url.scheme == "https",
        httponly=True,
        samesite="strict" if strict else "lax",
        max_age=None if strict else 30 * 86_400,
    )
