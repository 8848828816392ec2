"""A browser and the kit's web folder over HTTP.

`browser` is Debian's Chromium driven by Playwright, one for each test module (its event loop would stand in the way of
tests elsewhere that run their own). `browser_page` is a page of a fresh context; an uncaught error or a breach of the
content policy on it fails the test, whatever else it asserts. `web_url` serves the web folder as it is, for tests
of single modules, and `blank` is an empty page that can import them. `chromium` (tests/conftest.py) skips aloud where
there is no browser, and fails under CI.

The helpers beside this file are loaded by their path and named `listening_fake_server` and `listening_robot`.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import clipsonic_listening_test

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

WEB = Path(clipsonic_listening_test.__file__).parent / "web"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _load(name: str) -> None:
    path = Path(__file__).with_name(f"{name.removeprefix('listening_')}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


_load("listening_fake_server")
_load("listening_robot")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A running Chromium without contexts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, each of its own context unless `beside` another.

    At the test's end every error on their consoles, every uncaught error and every request to another host is a
    failure. Replies with an error status are not: tests of faults ask for them.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def listen(page: Page) -> None:
        def said(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith("Failed to load resource"):
                faults.append(message.text)

        page.on("console", said)
        page.on("pageerror", lambda error: faults.append(f"{error}\n{error.stack}"))
        page.on("request", lambda request: faults.append(request.url) if _foreign(request.url) else None)

    def open_page(beside: Page | None = None, **options: Any) -> Page:
        if beside is None:
            contexts.append(browser.new_context(**options))
            context = contexts[-1]
        else:
            context = beside.context
        page = context.new_page()
        listen(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def _foreign(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Page]:
    """A page of its own context; uncaught errors and policy breaches on it are failures."""
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"{error}\n{error.stack}"))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert faults == []


class _Files(SimpleHTTPRequestHandler):
    """The web folder, at `/` and, as the server has it, at `/static/<version>/`. Says nothing of requests."""

    def translate_path(self, path: str) -> str:
        parts = path.split("/")
        return super().translate_path("/" + "/".join(parts[3:]) if parts[1:2] == ["static"] else path)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def web_url() -> Iterator[str]:
    """Base URL of the web folder, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(WEB)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def blank(browser_page: Page, web_url: str) -> Page:
    """An empty page that can import the kit's modules."""
    browser_page.route("**/blank", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    browser_page.goto(f"{web_url}/blank")
    return browser_page
