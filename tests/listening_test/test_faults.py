"""What must survive: the server killed in mid-load, again and again; a disk that is full; a file that may not grow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listening_real import Connection, RealServer
from listening_rig import Here, answer_to, rating_study
from sqlalchemy import event, select, text

from clipsonic_listening_test.server.answer import read_answer
from clipsonic_listening_test.store.database import database_url, open_engine
from clipsonic_listening_test.store.tables import answer, rating, session

SYSTEMS = 4
PAGES = 200


class Killed:
    """Raters who go on answering while their server is killed and started again, and what was acknowledged to them."""

    def __init__(self, server: RealServer, raters: list[Connection]) -> None:
        self.server = server
        self.raters = raters
        self.acknowledged: dict[tuple[str, int], str] = {}
        self.up = asyncio.Event()
        self.stop = False
        self.resent = 0

    async def one(self, rater: Connection) -> None:
        """As the browser does: the same answer is sent until it is acknowledged."""
        state: dict[str, Any] | None = None
        luck = random.Random(rater.tab)
        while not self.stop and (state is None or state["finished"] is None):
            await self.up.wait()
            try:
                state = await rater.start() if state is None else await self.save(rater, state, luck)
            except (OSError, EOFError):
                await asyncio.sleep(0.02)

    async def save(self, rater: Connection, state: dict[str, Any], luck: random.Random) -> dict[str, Any]:
        body = answer_to(state["page"], score=lambda _: luck.randrange(101))
        while True:
            try:
                status, _, found = await rater.request("PUT", "/api/answer", body)
            except (OSError, EOFError):
                self.resent += 1
                if self.stop:
                    return state
                await self.up.wait()
                await asyncio.sleep(0.02)
                continue
            assert status == 200, found
            self.acknowledged[state["participant"], state["progress"]["done"]] = read_answer(body).digest
            following: dict[str, Any] = found["state"]
            return following

    async def run(self, kills: int, luck: random.Random) -> None:
        tasks = [asyncio.create_task(self.one(rater)) for rater in self.raters]
        for _ in range(kills):
            await asyncio.to_thread(self.server.start)
            self.up.set()
            before = len(self.acknowledged)
            while len(self.acknowledged) < before + 20:  # in mid-load: answers are coming in
                await asyncio.sleep(0.01)
                for task in tasks:
                    if task.done():
                        task.result()
            await asyncio.sleep(luck.uniform(0.0, 0.4))
            self.up.clear()
            await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.start)
        self.stop = True
        self.up.set()
        await asyncio.gather(*tasks)


def lost(acknowledged: dict[tuple[str, int], str], stored: dict[tuple[str, int], str]) -> list[tuple[str, int]]:
    """Answers (participant and position) that were acknowledged and are not stored as they were sent."""
    return [key for key, digest in acknowledged.items() if stored.get(key) != digest]


def kill_and_compare(study: Path, database: str, kills: int, capsys: pytest.CaptureFixture[str]) -> None:

    async def run(server: RealServer) -> Killed:
        async with server.raters(30) as raters:
            killed = Killed(server, raters)
            await killed.run(kills, random.Random(kills))
            return killed

    with RealServer(study, database) as server:
        killed = asyncio.run(run(server))
        code, _ = server.stop()
    assert code == 0
    engine = open_engine(database_url(database, study), read_only=True)
    with engine.connect() as connection:
        columns = (session.c.participant, answer.c.position, answer.c.digest)
        rows = connection.execute(select(*columns).join(session, session.c.id == answer.c.session)).all()
        done_rows = connection.execute(select(session.c.participant, session.c.position)).all()
        positions = {participant: done for participant, done in done_rows}
        ratings = connection.execute(select(rating.c.session)).all()
        if connection.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA integrity_check")).scalars().all() == ["ok"]
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
    engine.dispose()
    stored = {(participant, position): digest for participant, position, digest in rows}
    missing = lost(killed.acknowledged, stored)
    with capsys.disabled():
        print(
            f"\nkill -9 in mid-load, {kills} times: {len(killed.acknowledged)} answers acknowledged, {len(missing)} of "
            f"them missing, {len(stored)} stored, {killed.resent} sent again, {len(rows) - len(stored)} doubled"
        )
    assert missing == [] and len(killed.acknowledged) >= 20 * kills
    assert len(rows) == len(stored)
    assert all(sum(each == participant for each, _ in stored) == done for participant, done in positions.items())
    assert len(ratings) == SYSTEMS * sum(position > 0 for _, position in stored)  # no page is there in part


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rating_study(tmp_path_factory.mktemp("made") / "study", PAGES, SYSTEMS)


def test_killed_in_mid_load(study: Path, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    kill_and_compare(study, database, 5 if database.startswith("sqlite") else 2, capsys)


@pytest.mark.large
def test_killed_in_mid_load_twenty_times(study: Path, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    kill_and_compare(study, database, 20, capsys)


def test_an_acknowledgement_without_a_commit_would_be_noticed(study: Path, tmp_path: Path) -> None:
    """The comparison can fail: a store that acknowledges and then rolls back has lost what it acknowledged."""
    here = Here(study, str(tmp_path / "ratings.sqlite"))
    rater = here.rater()
    rater.start(201)

    def forgetful(jobs: Any) -> None:
        with here.store.engine.connect() as connection, connection.begin() as transaction:
            for job in jobs:
                job.result = job.work(connection)
            transaction.rollback()

    here.store.writer._transact = forgetful  # type: ignore[method-assign]
    key = (rater.state["participant"], 0)
    body = answer_to(rater.view)
    rater.save(body)
    stored = {(row["session"], row["position"]): row["digest"] for row in here.rows("answer")}
    assert lost({key: read_answer(body).digest}, stored) == [key]
    here.close()


# A full disk


def save_until_refused(rater: Any, most: int = PAGES) -> tuple[dict[str, Any], Any]:
    """Answer pages until the server cannot store one. Returns that answer and the reply."""
    for _ in range(most):
        body = answer_to(rater.view)
        found = rater.request("PUT", "/api/answer", body)
        if found.status_code != 200:
            return body, found
        rater.state = found.json()["state"]
    raise AssertionError(f"{most} pages were stored; nothing was full")


def consistent(here: Here, rater: Any) -> int:
    """Everything that was acknowledged is there and nothing in part; the number of answers."""
    answers, ratings = here.rows("answer"), here.rows("rating")
    assert len(answers) == rater.state["progress"]["done"]
    assert len(ratings) == SYSTEMS * (len(answers) - 1)
    return len(answers)


def test_a_database_that_is_full(study: Path, tmp_path: Path) -> None:
    """503 and when to come back, nothing partial, the owner told; and the same answer is taken when there is room."""
    here = Here(study, str(tmp_path / "ratings.sqlite"))
    rater = here.rater()
    rater.start(201)
    rater.next()
    pages = {"most": 0}

    def limit(connection: Any) -> None:
        if pages["most"]:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages['most']}")

    event.listen(here.store.engine, "begin", limit)
    with here.store.readers.connect() as connection:
        pages["most"] = int(connection.execute(text("PRAGMA page_count")).scalar_one()) + 4
    body, refused = save_until_refused(rater)
    assert refused.status_code == 503 and refused.json()["error"] == "unavailable"
    assert int(refused.headers["retry-after"]) >= 1
    before = consistent(here, rater)
    assert (
        rater.request("PUT", "/api/draft", {"key": rater.view["key"], "draft": {"x": "y" * 60_000}}).status_code == 503
    )
    assert here.client().get("/health").status_code == 503
    assert [each["kind"] for each in here.service.recent_alerts] == ["database"]
    assert "full" in here.service.recent_alerts[0]["detail"]
    assert here.rater().start().status_code == 503
    pages["most"] = 1_000_000
    rater.save(body)
    assert consistent(here, rater) == before + 1
    assert here.client().get("/health").status_code == 200
    here.close()
    check = sqlite3.connect(tmp_path / "ratings.sqlite")
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


async def fill(rater: Connection, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Answer until it is refused: the state before, the answer, the reply."""
    while True:
        body = answer_to(state["page"])
        status, headers, found = await rater.request("PUT", "/api/answer", body)
        if status != 200:
            assert status == 503 and found["error"] == "unavailable" and int(headers["retry-after"]) >= 1
            return state, body, found
        state = found["state"]


async def full_and_free_again(server: RealServer, make_room: Any) -> int:
    """Fill the place, see that it is said, make room, go on. Returns how many answers were acknowledged."""
    async with server.raters(1) as (rater,):
        state = await rater.start()
        state, body, _ = await fill(rater, state)
        for _ in range(3):
            status, _, _ = await rater.request("PUT", "/api/answer", body)
            assert status == 503
        status, _, _ = await rater.request("GET", "/api/session")
        assert status == 200  # reading goes on
        make_room()
        status, _, found = await rater.request("PUT", "/api/answer", body)
        assert status == 200, found
        done: int = found["state"]["progress"]["done"]
        assert done == state["progress"]["done"] + 1
        return done


def whole(path: Path, answers: int) -> None:
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert check.execute("SELECT count(*) FROM answer").fetchone() == (answers,)
    assert check.execute("SELECT count(*) FROM rating").fetchone() == (SYSTEMS * (answers - 1),)
    check.close()


def test_a_file_that_may_not_grow(study: Path, tmp_path: Path) -> None:
    """A quota on the server's process, without privileges: writes fail in the middle of the log."""
    path = tmp_path / "ratings.sqlite"
    with RealServer(study, str(path)) as server:
        server.start()
        assert server.process is not None
        pid = server.process.pid
        size = max(each.stat().st_size for each in tmp_path.glob("ratings.sqlite*"))
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 300_000, hard))
        answers = asyncio.run(
            full_and_free_again(server, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard)))
        )
        code, errors = server.stop()
    assert code == 0 and "the database did not take a write" in errors
    whole(path, answers)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of eight megabytes."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root alone; the quota's test covers a full disk too")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full(study: Path, tiny_disk: Path) -> None:
    ballast = tiny_disk / "ballast"
    with RealServer(study, str(tiny_disk / "ratings.sqlite")) as server:
        server.start()
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_bsize > 200_000:
                file.write(b"x" * 4096)
                file.flush()
        answers = asyncio.run(full_and_free_again(server, ballast.unlink))
        code, errors = server.stop()
    assert code == 0 and "full" in errors
    whole(tiny_disk / "ratings.sqlite", answers)
