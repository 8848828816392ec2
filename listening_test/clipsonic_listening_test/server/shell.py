"""The pages of the kit itself. None of these requests changes anything."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.requests import service_of

_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


async def index(request: Request) -> Response:
    """GET /: the shell, whatever the panel put into the address."""
    return _page(request, "index.html")


async def monitor_page(request: Request) -> Response:
    """GET /monitor: the page, which holds nothing before the login."""
    return _page(request, "monitor.html")


async def static(request: Request) -> Response:
    """GET /static/<version>/<file>."""
    found = service_of(request).web.file(request.path_params["version"], request.path_params["name"])
    if found is None:
        raise Refusal("not_found", "there is nothing of this name")
    data, kind = found
    return Response(data, headers=_FOREVER, media_type=kind)


async def health(request: Request) -> Response:
    """GET /health: 200 while answers can be stored, as far as is known."""
    service = service_of(request)
    await service.read(lambda connection: connection.execute(text("SELECT 1")))
    writer = service.store.writer
    well = writer.alive and writer.failure is None
    return JSONResponse({"schema": 1, "status": "ok" if well else "failing"}, 200 if well else 503)


def _page(request: Request, name: str) -> Response:
    found = service_of(request).web.page(name)
    if found is None:
        raise Refusal("not_found", f"this installation lacks {name}")
    return HTMLResponse(found)
