"""The server in its own process, and raters who reach it over HTTP with as little work as possible.

Loaded by its path (conftest.py) under the name `listening_real`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any


class RealServer:
    """`clipsonic-listen serve` in its own process, on a port that stays the same when it is started again."""

    def __init__(self, study: Path, database: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        listen = str(Path(sys.executable).with_name("clipsonic-listen"))
        self.command = [listen, "serve", str(study), "--port", str(self.port), "--db", database]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start, and wait until requests are taken."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise AssertionError(f"the server does not start: {self.process.communicate()[1]}")

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self) -> tuple[int, str]:
        """SIGTERM. Returns exit code and what was written to stderr."""
        assert self.process is not None
        self.process.terminate()
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def __enter__(self) -> RealServer:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind, also where a test has failed."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    @contextlib.asynccontextmanager
    async def raters(self, people: int) -> AsyncIterator[list[Connection]]:
        """So many raters of this server, each with a connection that is closed at the end."""
        connections = [Connection("127.0.0.1", self.port) for _ in range(people)]
        try:
            yield connections
        finally:
            for each in connections:
                await each.close()


class Connection:
    """One kept-open HTTP/1.1 connection of a rater to a real server; as little work as possible per request."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.cookie = ""
        self.csrf = ""
        self.tab = secrets.token_hex(8)

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        """Status, headers (lower case) and JSON (or bytes). Raises OSError or EOFError if the server goes away."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(*self.address)
        assert self.reader is not None
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nCookie: {self.cookie}\r\nX-CSRF-Token: {self.csrf}\r\n"
            f"X-Tab: {self.tab}\r\n\r\n"
        )
        try:
            self.writer.write(head.encode() + data)
            await self.writer.drain()
            raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            headers = {
                name.lower(): value
                for name, value in (line.split(": ", 1) for line in raw.split("\r\n")[1:] if ": " in line)
            }
            if "set-cookie" in headers:
                self.cookie = headers["set-cookie"].split(";")[0]
            content = await self.reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, EOFError):
            await self.close()
            raise
        status = int(raw.split(" ", 2)[1])
        is_json = headers.get("content-type", "").startswith("application/json")
        return status, headers, json.loads(content) if is_json and content else content

    async def start(self, **parameters: str) -> dict[str, Any]:
        """Open or continue the session and return STATE."""
        body = {"parameters": parameters, "language": "en", "client": {}, "tab": self.tab}
        status, _, found = await self.request("POST", "/api/session", body)
        assert status in (200, 201), (status, found)
        self.csrf = found["csrf"]
        state: dict[str, Any] = found["state"]
        return state

    async def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()
        self.reader = self.writer = None
