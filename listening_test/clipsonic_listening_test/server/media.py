"""GET /media/<token>: sounds and pictures, to the session that they were named to, under headers that tell nothing.

A token is looked up among the session's own; nothing of a request is joined to a path. There is no modification time
and no name, and the entity tag belongs to the token: two stimuli differ in their bytes alone.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from clipsonic_listening_test.server.live import Live
from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.requests import service_of
from clipsonic_listening_test.server.service import Service
from clipsonic_listening_test.server.shape import TOKEN
from clipsonic_listening_test.server.tokens import Slot, cookie_hash

MAX_AGE_S: Final = 86_400
MOST_INDEXES: Final = 1000
_CHUNK: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class MediaIndex:
    """What each token of a session stands for, worked out when its first sound is asked for."""

    def __init__(self) -> None:
        self._slots: OrderedDict[str, dict[str, Slot]] = OrderedDict()

    def slot(self, live: Live, token: str) -> Slot | None:
        """What the token stands for, or None if the session has no such token."""
        if live.id not in self._slots:
            self._slots[live.id] = {
                token: slot
                for position, page in enumerate(live.pages)
                for attempt in range(1, max(1, len(page.headphones)) + 1)
                for token, slot in live.shown(position, attempt).slots.items()
            }
            while len(self._slots) > MOST_INDEXES:
                self._slots.popitem(last=False)
        return self._slots[live.id].get(token)


async def get_media(request: Request) -> Response:
    """A sound or picture, whole or one range of it."""
    service = service_of(request)
    cookie = request.cookies.get(service.cookie_name, "")
    if not TOKEN.fullmatch(cookie):
        raise Refusal("session", "no session belongs to this browser")
    live = await service.live(cookie_hash(cookie))
    service.limits.media(live.id)
    token = request.path_params["token"]
    slot = request.app.state.media.slot(live, token)
    if slot is None:
        raise Refusal("not_found", "there is nothing of this name")
    path, kind = _file(live, slot)
    try:
        size = (await asyncio.to_thread(os.stat, path)).st_size
    except OSError:
        await _missing(service, live, slot)
        raise Refusal("not_found", "this cannot be played; the owner has been told") from None
    etag = f'"{token}"'
    headers = {
        "Cache-Control": f"private, max-age={MAX_AGE_S}, immutable",
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Type": kind,
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    found = _range(wanted, size)
    first, last = (0, size - 1) if found is None else found
    if first > last:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    headers["Content-Length"] = str(last - first + 1)
    if found is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    status = 200 if found is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_read(path, first, last), status, headers)


def _file(live: Live, slot: Slot) -> tuple[Path, str]:
    if slot.kind == "sound":
        return live.study.sound_path(slot.thing), "audio/flac"
    return live.study.media_path(slot.thing), live.study.media[slot.thing].type


async def _missing(service: Service, live: Live, slot: Slot) -> None:
    recent = service.recent_alerts
    if not any(each["kind"] == "file_missing" and slot.thing in each["detail"] for each in recent):
        await service.alert(
            live.id, "file_missing", f"{slot.thing} cannot be read; verify with: clipsonic-listen check"
        )


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a Range header; (1, 0) if it cannot be satisfied, None for no range or several."""
    match = None if header is None else _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        return (max(0, size - int(last)), size - 1) if int(last) else (1, 0)
    if int(first) >= size or (last and int(last) < int(first)):
        return 1, 0
    return int(first), min(size - 1, int(last)) if last else size - 1


async def _read(path: Path, first: int, last: int) -> AsyncIterator[bytes]:
    def read(at: int) -> bytes:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(min(_CHUNK, last - at + 1))

    at = first
    while at <= last:
        part = await asyncio.to_thread(read, at)
        if not part:
            raise OSError(f"{path} is shorter than it was")
        at += len(part)
        yield part
