"""A stand-in for the listening server whose faults are set by the test: the shell's half of the contract alone.

One session at a time; pages are PAGEVIEWs given by the test. `answers` is what was acknowledged, `received` every
answer that arrived. `fail` is asked before each request and may give a reply in its place. The real server is tested
with the same browser in test_studies.py.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

import clipsonic_listening_test

WEB = Path(clipsonic_listening_test.__file__).parent / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self' https://www.mturk.com; frame-ancestors 'self'; base-uri 'none'"
)
EMPTY: dict[str, Any] = {
    "pass": None, "training": False, "index": 0, "title": None, "text": None, "prompt": None, "attributes": [],
    "reference": None, "stimuli": [], "switching": None, "loop": None, "waveform": None, "require": None,
    "instructed": None, "fields": None, "headphones": None, "attempt": 1, "pair": None, "draft": None,
}  # fmt: skip


def page(type: str, **members: Any) -> dict[str, Any]:
    """A PAGEVIEW with what the type needs."""
    return {**EMPTY, "type": type, **members}


def sound(token: str) -> dict[str, str]:
    """A sound of the fake; tokens that begin with q are quieter."""
    return {"token": token, "url": f"media/{token}"}


def asked(id: str, type: str, label: str, **members: Any) -> dict[str, Any]:
    """A field of a questionnaire."""
    empty = {"optional": False, "options": None, "min": None, "max": None, "show_if": None}
    return {"id": id, "type": type, "label": label, **empty, **members}


def options(**labels: str) -> list[dict[str, str]]:
    return [{"value": value, "label": label} for value, label in labels.items()]


QUESTIONS = [
    asked("age", "number", "How old are you?", min=18, max=99),
    asked("musician", "choice", "Do you make music?", options=options(yes="Yes", no="No")),
    asked("instrument", "text", "Which instrument?", show_if={"field": "musician", "equals": "yes"}),
    asked("heard", "multiple", "Where?", optional=True, options=options(home="At home", bus="On a bus")),
    asked("effort", "likert", "How hard was it?", min=1, max=5),
    asked("remarks", "long_text", "Remarks", optional=True),
]


def only_age() -> list[dict[str, Any]]:
    """The smallest study with something to lose: one question, and a page after it."""
    return [page("questionnaire", fields=QUESTIONS[:1]), page("pause")]


def refuse(status: int, kind: str, **headers: str) -> Response:
    """An error as the server words it."""
    return JSONResponse({"error": kind, "message": kind}, status, headers)


def _tone(token: str) -> bytes:
    time_s = np.arange(12_000) / 48_000  # a quarter of a second
    level = 0.05 if token.startswith("q") else 0.1
    buffer = io.BytesIO()
    soundfile.write(buffer, level * np.sin(2 * np.pi * 200 * time_s), 48_000, format="FLAC")
    return buffer.getvalue()


@dataclass
class Fake:
    """State of the fake server; the test reads and changes it while the browser runs."""

    pages: list[dict[str, Any]]
    languages: list[str] = field(default_factory=lambda: ["en", "de"])
    finish: dict[str, Any] = field(default_factory=lambda: {"code": "C0DE-42", "return_url": None, "mturk": None})
    fail: Callable[[Request], Response | None] = lambda request: None
    texts: Callable[[str, str], str | None] = lambda key, language: None
    at: int = 0
    attempt: int = 1
    outcome: str | None = None
    owner: str | None = None
    participant: str = "P-7K2M"
    language: str = "en"
    volume: float | None = None
    answers: dict[tuple[str, int], Any] = field(default_factory=dict)
    received: list[Any] = field(default_factory=list)
    drafts: dict[str, Any] = field(default_factory=dict)
    problems: list[Any] = field(default_factory=list)
    sessions: list[Any] = field(default_factory=list)

    def state(self, tab: str) -> dict[str, Any]:
        """STATE for a tab."""
        owned = self.owner == tab
        view = None
        if owned and self.outcome is None and self.at < len(self.pages):
            given = self.pages[self.at]
            key = f"key-{self.at}"
            view = {
                **given,
                "key": key,
                "index": self.at,
                "attempt": self.attempt,
                "draft": self.drafts.get(key) if self.attempt == 1 else None,
            }
            view["text"] = self.texts(key, self.language) or view["text"]
        return {
            "participant": self.participant,
            "version": 1,
            "finished": self.outcome,
            "progress": {"done": self.at, "total": len(self.pages)},
            "page": view,
            "next": {"urls": []},
            "owned": owned,
            "volume": self.volume,
            "study": {
                "id": "fake",
                "title": "Sounds of animals",
                "name": "Multi-stimulus rating",
                "languages": self.languages,
                "language": self.language,
                "rate_hz": 48_000,
                "preset": "gen",
            },
            "finish": None if self.outcome is None else {"outcome": self.outcome, **self.finish},
        }

    async def session(self, request: Request) -> Response:
        tab = request.headers["x-tab"]
        if request.method == "POST":
            body = await request.json()
            self.sessions.append(body)
            self.language = body["language"] if body["language"] in self.languages else self.languages[0]
            self.owner = self.owner or tab
            reply = JSONResponse(
                {"schema": 1, "csrf": "csrf", "resumed": len(self.sessions) > 1, "state": self.state(tab)}
            )
            reply.set_cookie("session", "secret", httponly=True, samesite="lax")
            return reply
        return JSONResponse({"schema": 1, "state": self.state(tab)})

    async def take_over(self, request: Request) -> Response:
        self.owner = request.headers["x-tab"]
        return JSONResponse({"schema": 1, "state": self.state(self.owner)})

    async def draft(self, request: Request) -> Response:
        if request.headers["x-tab"] != self.owner:
            return refuse(409, "open_elsewhere")
        body = await request.json()
        self.drafts[body["key"]] = body["draft"]
        return Response(status_code=204)

    async def answer(self, request: Request) -> Response:
        tab = request.headers["x-tab"]
        body = await request.json()
        self.received.append(body)
        place = (body["key"], body["attempt"])
        if request.headers["x-csrf-token"] != "csrf":
            return refuse(403, "csrf")
        if tab != self.owner:
            return refuse(409, "open_elsewhere")
        if place not in self.answers:
            if body["key"] != f"key-{self.at}":
                return refuse(409, "locked" if int(body["key"].removeprefix("key-")) < self.at else "not_current")
            self.answers[place] = body
            self._judge(body)
        return JSONResponse({"schema": 1, "stored": True, "state": self.state(tab)})

    def _judge(self, body: dict[str, Any]) -> None:
        self.volume = body["volume"] if body["volume"] is not None else self.volume
        if body["consent"] is False:
            self.outcome = "no_consent"
        elif body["headphones"] is not None and sum(each.startswith("q") for each in body["headphones"]) < 5:
            self.attempt += 1
            self.outcome = "screened_out" if self.attempt > 2 else None
        else:
            self.at, self.attempt = self.at + 1, 1
            self.outcome = "complete" if self.at == len(self.pages) else None

    async def withdraw(self, request: Request) -> Response:
        self.outcome = (await request.json())["reason"]
        return JSONResponse({"schema": 1, "state": self.state(request.headers["x-tab"])})

    async def problem(self, request: Request) -> Response:
        self.problems.append(await request.json())
        return Response(status_code=204)

    async def shell(self, request: Request) -> Response:
        text = (WEB / "index.html").read_text(encoding="utf-8")
        for name, value in (("static", "static/x"), ("lang", "en"), ("title", "Sounds of animals")):
            text = text.replace("{{" + name + "}}", value)
        return Response(text, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def static(self, request: Request) -> Response:
        return FileResponse(WEB / request.path_params["path"])

    async def media(self, request: Request) -> Response:
        return Response(_tone(request.path_params["token"]), media_type="audio/flac")

    def app(self) -> Starlette:
        """The fake as an ASGI application."""

        def guarded(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
            async def handle(request: Request) -> Response:
                return self.fail(request) or await handler(request)

            return handle

        return Starlette(
            routes=[
                Route("/", guarded(self.shell)),
                Route("/static/x/{path:path}", guarded(self.static)),
                Route("/media/{token}", guarded(self.media)),
                Route("/api/session", guarded(self.session), methods=["GET", "POST"]),
                Route("/api/session/take-over", guarded(self.take_over), methods=["POST"]),
                Route("/api/draft", guarded(self.draft), methods=["PUT"]),
                Route("/api/answer", guarded(self.answer), methods=["PUT"]),
                Route("/api/withdraw", guarded(self.withdraw), methods=["POST"]),
                Route("/api/problem", guarded(self.problem), methods=["POST"]),
            ]
        )


@contextmanager
def serving(fake: Fake) -> Iterator[str]:
    """Run it on a free port; yields its address, with a slash at its end."""
    config = uvicorn.Config(fake.app(), host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()
