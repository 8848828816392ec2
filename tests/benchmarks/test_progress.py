"""Progress where stderr is no terminal: a line now and then, with the time left."""

from __future__ import annotations

import pytest

from clipsonic_benchmarks import progress


def test_lines_tell_the_time_left_from_the_pace_of_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stages = progress.Progress()
    with stages.stage("work", "working", 50) as advance:
        now[0] = 100.0  # starting up
        advance(10)
        for _ in range(4):
            now[0] += 11.0
            advance(10)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "working …",
        "  20 of 50, about 33 s left",
        "  30 of 50, about 22 s left",
        "  40 of 50, about 11 s left",
    ]
    assert stages.seconds == {"work": 144.0}


def test_stages_of_one_name_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stages = progress.Progress()
    for seconds in (2.0, 3.0):
        with stages.stage("work", "working", 0):
            now[0] += seconds
    assert stages.seconds == {"work": 5.0}
