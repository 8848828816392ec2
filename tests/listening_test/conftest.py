"""Fixtures of the kit's tests: databases of both kinds, and the helpers rig.py and real_server.py, loaded by path.

PostgreSQL is started from Debian's server binaries on a free port, once for all tests. Without them its tests are
skipped, aloud; under CI that is a failure.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

for _name, _file in (("listening_rig", "rig.py"), ("listening_real", "real_server.py")):
    if _name not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(_file))
        assert _spec is not None and _spec.loader is not None
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_name])


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _as_other_user() -> list[str]:
    """How to run what refuses to be run by root."""
    if os.getuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a running PostgreSQL server, without a database's name."""
    binaries = _binaries()
    if binaries is None and os.environ.get("CI"):
        pytest.fail("no PostgreSQL on this machine: apt-get install postgresql")
    if binaries is None:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="listening-postgresql-"))
    if os.getuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
    data, log = folder / "data", folder / "log"
    become = _as_other_user()
    subprocess.run(
        [
            *become,
            str(binaries / "initdb"),
            "-D",
            str(data),
            "-U",
            "test",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ("listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}", "fsync=off")
    options = " ".join(f"-c {setting}" for setting in settings)
    control = [*become, str(binaries / "pg_ctl"), "-D", str(data), "-w", "-t", "60"]
    started = subprocess.run(
        [*control, "-l", str(log), "-o", options, "start"], capture_output=True, text=True, cwd=folder, check=False
    )
    if started.returncode:
        pytest.fail(
            f"PostgreSQL does not start: {started.stdout}{started.stderr}{log.read_text() if log.exists() else ''}"
        )
    url = f"postgresql+psycopg://test@127.0.0.1:{port}"
    _make_template(url, folder)
    yield url
    subprocess.run([*control, "-m", "immediate", "stop"], capture_output=True, cwd=folder, check=True)
    shutil.rmtree(folder, ignore_errors=True)


def _make_template(url: str, folder: Path) -> None:
    """A database with the schema in it, so that each test's is a copy of it."""
    import psycopg
    from sqlalchemy import make_url

    from clipsonic_listening_test.store.database import open_engine
    from clipsonic_listening_test.store.migrate import upgrade

    with psycopg.connect(url.replace("+psycopg", "") + "/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_listening")
    engine = open_engine(make_url(f"{url}/template_listening"))
    upgrade(engine, folder)
    engine.dispose()


@pytest.fixture
def postgresql_database(postgresql: str) -> Iterator[str]:
    """URL of a new, empty PostgreSQL database."""
    import psycopg

    name = f"t{secrets.token_hex(6)}"
    admin = postgresql.replace("+psycopg", "") + "/postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template_listening')
    yield f"{postgresql}/{name}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ratings.sqlite'}"
    url: str = request.getfixturevalue("postgresql_database")
    return url


@pytest.fixture
def serve_here(database: str) -> Iterator[Callable[..., Any]]:
    """Serve a study folder in this process, on a database of each kind."""
    with contextlib.ExitStack() as open_ones:

        def serve(folder: Path, **options: Any) -> Any:
            Here = sys.modules["listening_rig"].Here
            return open_ones.enter_context(contextlib.closing(Here(folder, database, **options)))

        yield serve
