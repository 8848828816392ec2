"""The time left, by a clock that the tests set."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from clipsonic.commands.console import start_progress
from clipsonic.commands.progress import resumed


class Clock:
    """Seconds, as rich asks for them."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    """The bar of all commands."""
    progress = start_progress()
    progress.get_time = clock
    return progress


def left(progress: Progress) -> str:
    """What stands in the column of the time left."""
    return str(progress.columns[-1](progress.tasks[0]))


def test_items_of_minutes_have_a_time_left(progress: Progress, clock: Clock) -> None:
    """Old mistake: rich forgets what is older than 30 s, so that of these nothing was known."""
    task = progress.add_task("films", total=24)
    assert left(progress) == "-:--:--"
    shown = []
    for minute in range(1, 25):
        clock.now = 60.0 * minute
        progress.update(task, completed=minute)
        shown.append(left(progress))
    assert shown[:2] == ["0:23:00", "0:22:00"] and shown[-2:] == ["0:01:00", "0:00:00"]


def test_it_counts_down_between_items(progress: Progress, clock: Clock) -> None:
    task = progress.add_task("films", total=3)
    clock.now = 60.0
    progress.update(task, completed=1)
    shown = [left(progress)]
    for clock.now in (80.0, 119.0, 500.0):
        shown.append(left(progress))
    assert shown == ["0:02:00", "0:01:40", "0:01:01", "0:00:00"]


def test_what_is_found_done_is_no_speed(progress: Progress, clock: Clock) -> None:
    """Old mistake: of 2000 pairs with 1000 found, the rest was to take a second."""
    advance = resumed(progress, progress.add_task("pairs", total=2000))
    clock.now = 5.0  # until what is there was found
    advance(1000)
    assert left(progress) == "-:--:--" and progress.tasks[0].completed == 1000
    clock.now = 25.0
    advance(100)
    assert left(progress) == "0:03:00"
    clock.now = 65.0
    advance(200)
    assert left(progress) == "0:02:20"


def test_what_is_found_of_several_seeds_is_no_speed(progress: Progress, clock: Clock) -> None:
    """Old mistake: two seeds found, and an hour's work was to take 2 s, then 13 s, then 35 s."""
    task = progress.add_task("sounds", total=40)
    for seed, there in enumerate((10, 10, 5, 2)):
        advance = resumed(progress, task)
        clock.now += 30.0  # drawing vectors
        advance(there)
        for _ in range(there, 10):
            clock.now += 100.0
            advance(1)
            shown = left(progress)
        if seed < 2:
            assert left(progress) == "-:--:--"
        if seed == 2:
            assert shown == "0:16:40"  # 10 at 100 s
    assert shown == "0:00:00" and progress.tasks[0].finished


def test_without_a_total_nothing_is_known(progress: Progress, clock: Clock) -> None:
    task = progress.add_task("videos", total=None)
    clock.now = 1.0
    progress.update(task, completed=3)
    assert left(progress) == "-:--:--"
