"""Many raters at once, against a real server on loopback, with figures printed (pytest -s, or in the report of a pass).

Nothing is asserted about time in a normal run, when a machine may be doing anything; the long runs (`-m large`) hold
the kit to its promises and belong on a machine that has nothing else to do.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listening_real import Connection, RealServer
from listening_rig import answer_to, rating_study
from sqlalchemy import func, select

from clipsonic_listening_test.store.database import database_url, open_engine
from clipsonic_listening_test.store.tables import answer, page, rating, session

SYSTEMS = 5


@pytest.fixture
def server(tmp_path: Path, database: str) -> Iterator[RealServer]:
    """A server of a study with forty trials of five systems, on a database of each kind."""
    with RealServer(rating_study(tmp_path / "study", 40, SYSTEMS), database) as served:
        served.start()
        yield served
        assert served.stop() == (0, "")


def counts(database: str, tmp_path: Path) -> dict[str, int]:
    engine = open_engine(database_url(database, tmp_path), read_only=True)
    with engine.connect() as connection:
        found = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (session, page, answer, rating)
        }
    engine.dispose()
    return found


def figures(what: str, seconds: list[float], elapsed: float, capsys: pytest.CaptureFixture[str]) -> float:
    """Print and return the 99th percentile in seconds."""
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    with capsys.disabled():
        print(
            f"\n{what}: {len(seconds)} pages in {elapsed:.2f} s = {len(seconds) / elapsed:.0f} pages/s; reply p50 "
            f"{1000 * statistics.median(seconds):.0f} ms, p99 {1000 * p99:.0f} ms, max {1000 * max(seconds):.0f} ms"
        )
    return p99


async def timed_save(rater: Connection, view: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    body = answer_to(view)
    began = time.perf_counter()
    status, _, found = await rater.request("PUT", "/api/answer", body)
    assert status == 200 and found["stored"] is True, found
    return time.perf_counter() - began, found["state"]


async def open_all(raters: list[Connection], together: int = 50) -> list[dict[str, Any]]:
    """Sessions for all, a few at a time, at their first trial."""
    limit = asyncio.Semaphore(together)

    async def one(rater: Connection) -> dict[str, Any]:
        async with limit:
            state = await rater.start()
            _, state = await timed_save(rater, state["page"])
            return state

    return await asyncio.gather(*(one(rater) for rater in raters))


async def press_next_together(raters: list[Connection], states: list[dict[str, Any]]) -> tuple[list[float], float]:
    began = time.perf_counter()
    saved = await asyncio.gather(*(timed_save(*each) for each in zip(raters, (s["page"] for s in states), strict=True)))
    elapsed = time.perf_counter() - began
    states[:] = [state for _, state in saved]
    return [seconds for seconds, _ in saved], elapsed


def test_everybody_presses_next_at_once(
    server: RealServer, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """500 raters, twice: no error, nothing lost, nothing doubled."""
    people, rounds = 500, 2

    async def run() -> None:
        async with server.raters(people) as raters:
            states = await open_all(raters)
            for number in range(rounds):
                seconds, elapsed = await press_next_together(raters, states)
                figures(f"500 raters press Next at once, round {number + 1}", seconds, elapsed, capsys)
            assert Counter(state["progress"]["done"] for state in states) == {1 + rounds: people}

    asyncio.run(run())
    found = counts(database, tmp_path)
    assert found == {
        "session": people,
        "page": people * 41,
        "answer": people * (1 + rounds),
        "rating": people * rounds * SYSTEMS,
    }


def test_every_page_sent_twice(server: RealServer, database: str, tmp_path: Path) -> None:
    """Both copies at once from two connections, as a proxy that replays would: each page is stored once."""
    people, pages = 25, 20

    async def run() -> None:
        async def one() -> None:
            async with server.raters(2) as (rater, twin):
                state = await rater.start()
                twin.cookie, twin.csrf, twin.tab = rater.cookie, rater.csrf, rater.tab
                for _ in range(pages):
                    view = state["page"]
                    (_, state), (_, again) = await asyncio.gather(timed_save(rater, view), timed_save(twin, view))
                    assert again["progress"] == state["progress"]

        await asyncio.gather(*(one() for _ in range(people)))

    asyncio.run(run())
    found = counts(database, tmp_path)
    assert (found["answer"], found["rating"]) == (people * pages, people * (pages - 1) * SYSTEMS)


async def sustain(server: RealServer, per_second: float, seconds: float) -> tuple[list[float], float]:
    """Pages at a fixed rate, whether replies have come or not; each with the draft that a browser sends before it."""
    pages = round(per_second * seconds)
    async with server.raters(max(20, pages // 38 + 1)) as raters:
        return await sustained(raters, per_second, pages)


async def sustained(raters: list[Connection], per_second: float, pages: int) -> tuple[list[float], float]:
    states = dict(zip(raters, await open_all(raters, 10), strict=True))
    idle = asyncio.Queue[Connection]()
    for rater in raters:
        idle.put_nowait(rater)
    taken: list[float] = []

    async def one(rater: Connection) -> None:
        view = states[rater]["page"]
        status, _, _ = await rater.request("PUT", "/api/draft", {"key": view["key"], "draft": {"page": {}}})
        assert status == 204
        elapsed, states[rater] = await timed_save(rater, view)
        taken.append(elapsed)
        if states[rater]["finished"] is None:
            idle.put_nowait(rater)

    began = time.perf_counter()
    tasks = []
    for number in range(pages):
        await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
        tasks.append(asyncio.create_task(one(await idle.get())))
    await asyncio.gather(*tasks)
    return taken, time.perf_counter() - began


def test_ten_seconds_of_twenty_pages_a_second(server: RealServer, capsys: pytest.CaptureFixture[str]) -> None:
    taken, elapsed = asyncio.run(sustain(server, 20, 10))
    figures("20 pages/s for 10 s", taken, elapsed, capsys)
    assert len(taken) == 200


@pytest.mark.large
def test_three_minutes_of_twenty_pages_a_second(server: RealServer, capsys: pytest.CaptureFixture[str]) -> None:
    taken, elapsed = asyncio.run(sustain(server, 20, 180))
    p99 = figures("20 pages/s for 3 min", taken, elapsed, capsys)
    assert len(taken) == 3600
    assert p99 < 0.25
