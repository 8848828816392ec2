"""Serving one study with uvicorn until it is told to stop: SIGTERM and Ctrl+C let requests finish first."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.server.app import create_app
from clipsonic_listening_test.server.limits import Rate, Rates, is_loopback
from clipsonic_listening_test.server.service import Options, Service
from clipsonic_listening_test.store.database import database_url, shown
from clipsonic_listening_test.store.open import Store
from clipsonic_listening_test.study import load_study

_GRACE_S = 10
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Serving:
    """What is served, and where.

    database: `--db`, or None for `ratings.sqlite` in the study's folder. port: 0 is any free one. root_path: prefix
    under which a proxy shows the study, without a slash at its end. trusted_proxies: addresses whose X-Forwarded-* are
    believed. sessions_per_hour: new sessions of one address.
    """

    study: Path
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    root_path: str = ""
    https_cookies: bool = False
    trusted_proxies: tuple[str, ...] = ()
    sessions_per_hour: int = 100
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True)
class Addresses:
    """Where a running study is: the address for participants, the owner's with its one-time token, the database."""

    study: str
    monitor: str
    database: str


def serve(serving: Serving, started: Callable[[Addresses], None]) -> None:
    """Serve until a signal says stop. `started` is called once when requests are taken.

    Raises:
        ListeningTestError: no such study, a database that cannot be used, or a port that is taken.
    """
    study = load_study(serving.study)
    listening = _listen(serving.host, serving.port)
    with listening:
        store = Store(database_url(serving.database, study.folder), study.folder)
        try:
            hourly = serving.sessions_per_hour
            rates = Rates(**{**vars(serving.rates), "opening": Rate(hourly, hourly / 3600)})
            options = Options(serving.https_cookies, bool(serving.trusted_proxies), rates)
            service = Service(study, store, options)
            if store.upgraded_from is not None:
                log.warning("the database's schema was upgraded; a copy of before is %s", store.upgraded_from)
            host, port = listening.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            base = f"http://{host}:{port}/"
            monitor = f"{base}monitor#{service.logins.token}"
            addresses = Addresses(base, monitor, shown(store.url))
            if not is_loopback(listening.getsockname()[0]) and not serving.https_cookies:
                log.warning(
                    "others can reach %s without encryption; beyond a lab, serve behind a proxy with https", base
                )
            _run(service, serving, listening, lambda: started(addresses))
        finally:
            store.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches TCP_NODELAY on only where the protocol is named; without it each reply waits for 40 ms
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        reason = error.strerror or error
        option = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise ListeningTestError(f"{host}:{port} cannot be used ({reason}); choose another with {option}") from error
    return listening


def _run(service: Service, serving: Serving, listening: socket.socket, started: Callable[[], None]) -> None:
    config = uvicorn.Config(
        create_app(service),
        root_path=serving.root_path,
        log_config=None,
        access_log=False,  # addresses hold panel ids
        server_header=False,
        proxy_headers=bool(serving.trusted_proxies),
        forwarded_allow_ips=list(serving.trusted_proxies),
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=65,
        backlog=4096,
    )
    server = uvicorn.Server(config)

    async def main() -> None:
        async def tell() -> None:
            while not server.started and not server.should_exit:
                await asyncio.sleep(0.01)
            if server.started:
                started()

        telling = asyncio.create_task(tell())
        await server.serve(sockets=[listening])
        await telling

    # uvicorn raises the signal again once it has stopped; stopping was what was asked for, so that is no failure
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        asyncio.run(main())
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
