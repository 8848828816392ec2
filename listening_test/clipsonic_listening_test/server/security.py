"""What holds for every request: headers, foreign sites, the size of bodies, and how often an address may ask.

A policy without inline script or style and without any other origin: nothing on a page comes from elsewhere or goes
elsewhere, and what a participant typed cannot run. Panel ids stand in addresses, so no address is passed on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clipsonic_listening_test.server.limits import is_loopback
from clipsonic_listening_test.server.refusal import Refusal

if TYPE_CHECKING:
    from clipsonic_listening_test.server.service import Service

MOST_BYTES: Final = 256 * 1024
_SAFE: Final = ("GET", "HEAD")
_MTURK: Final = ("https://www.mturk.com", "https://workersandbox.mturk.com")
_MTURK_FRAMES: Final = ("https://worker.mturk.com", "https://workersandbox.mturk.com")
log = logging.getLogger(__name__)


def policy(*, mturk: bool) -> str:
    """The content security policy. Studies on MTurk stand in its frame and post back to it; no others do."""
    submit = " ".join(("'self'", *_MTURK)) if mturk else "'self'"
    frames = " ".join(_MTURK_FRAMES) if mturk else "'none'"
    return (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
        "connect-src 'self'; font-src 'self'; object-src 'none'; base-uri 'none'; worker-src 'none'; "
        f"form-action {submit}; frame-ancestors {frames}"
    )


class Security:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service
        mturk = service.study.panel.kind == "mturk"
        self.headers = {
            "Content-Security-Policy": policy(mturk=mturk),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        } | ({} if mturk else {"X-Frame-Options": "DENY"})
        if service.options.https_cookies:
            self.headers["Strict-Transport-Security"] = "max-age=31536000"
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        client = scope.get("client")
        address = client[0] if client else None
        self._warn_of_proxy(headers, address)
        self.service.limits.address(address)
        if scope["method"] in _SAFE:
            return
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refusal("foreign_site", "this request comes from another site")
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise Refusal("media_type", "the body must be application/json")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            raise Refusal("too_large", f"the body is larger than {MOST_BYTES} bytes")

    def _warn_of_proxy(self, headers: Headers, address: str | None) -> None:
        if not self._warned and not self.service.options.proxied and "x-forwarded-for" in headers:
            self._warned = True
            if address is not None and is_loopback(address):
                self.service.note("proxy", "requests come through a proxy; start with --trusted-proxy 127.0.0.1")


async def read_body(receive: Receive) -> bytes:
    """The body, refused as soon as it grows too large, whatever its length was said to be."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal("json", "the body was cut off")
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BYTES:
            raise Refusal("too_large", f"the body is larger than {MOST_BYTES} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
