"""The ASGI application: routes, and what happens to what goes wrong."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clipsonic_listening_test.server import answers, media, monitor, sessions, shell
from clipsonic_listening_test.server.refusal import STATUS, Refusal
from clipsonic_listening_test.server.security import Security
from clipsonic_listening_test.server.service import Service

log = logging.getLogger(__name__)
_KINDS = {status: kind for kind, status in reversed(STATUS.items())}


def create_app(service: Service) -> Starlette:
    """The application of a service. It closes the service's store when it ends, if its server has lifespans."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        service.store.close()

    app = Starlette(
        routes=[
            Route("/", shell.index, methods=["GET"]),
            Route("/health", shell.health, methods=["GET"]),
            Route("/static/{version}/{name:path}", shell.static, methods=["GET"]),
            Route("/media/{token}", media.get_media, methods=["GET"]),
            Route("/api/session", sessions.open_session, methods=["POST"]),
            Route("/api/session", sessions.get_session, methods=["GET"]),
            Route("/api/session/take-over", sessions.take_over, methods=["POST"]),
            Route("/api/draft", sessions.put_draft, methods=["PUT"]),
            Route("/api/answer", answers.put_answer, methods=["PUT"]),
            Route("/api/withdraw", sessions.withdraw, methods=["POST"]),
            Route("/api/problem", sessions.report_problem, methods=["POST"]),
            Route("/monitor", shell.monitor_page, methods=["GET"]),
            Route("/monitor/login", monitor.login, methods=["POST"]),
            Route("/monitor/logout", monitor.logout, methods=["POST"]),
            Route("/monitor/data", monitor.data, methods=["GET"]),
        ],
        middleware=[Middleware(Security, service=service)],
        exception_handlers={Refusal: _refused, HTTPException: _http, Exception: _fault},
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.media = media.MediaIndex()
    return app


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _KINDS.get(error.status_code, "invalid")
    response = Refusal(kind, error.detail, status=error.status_code).response()
    response.headers.update(error.headers or {})
    return response


async def _fault(_: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return Refusal("unavailable", "the server made a mistake; try again", retry_after=5, status=500).response()
