"""Requests that are refused, each with a status and a kind that the browser acts on."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import JSONResponse

STATUS: Final = {
    "invalid": 422,
    "json": 400,
    "media_type": 415,
    "too_large": 413,
    "session": 401,
    "login": 401,
    "csrf": 403,
    "foreign_site": 403,
    "panel_id": 403,
    "not_found": 404,
    "method": 405,
    "open_elsewhere": 409,
    "repeat_participation": 409,
    "preview": 409,
    "full": 409,
    "locked": 409,
    "not_current": 409,
    "finished": 409,
    "expired": 410,
    "too_many": 429,
    "unavailable": 503,
}


class Refusal(Exception):
    """A request that is refused.

    kind: one of `STATUS`. message: one line, for the log and for whoever looks at the reply. retry_after: seconds.
    status: where it is not the kind's own.
    """

    def __init__(self, kind: str, message: str, *, retry_after: int | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after
        self.status = STATUS[kind] if status is None else status

    def response(self) -> JSONResponse:
        """The reply."""
        body: dict[str, Any] = {"error": self.kind, "message": self.message}
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return JSONResponse(body, self.status, headers | {"Cache-Control": "no-store"})
