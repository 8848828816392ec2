"""Worker processes: the same sounds as in one process, and none left behind when the command is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.generate import Batch, generate_batch
from clipsonic_benchmarks.registry import SYSTEMS
from clipsonic_benchmarks.suite import load_suite
from clipsonic_benchmarks.system import Context
from clipsonic_benchmarks.work import WorkerLost, as_done, storage_error, worker_processes


def test_two_processes_make_the_same_sounds_as_one(fake: ModuleType, tmp_path: Path) -> None:
    split = fake.write_world(tmp_path / "split", 8)
    context = Context(split.folder, None, "micro", load_suite("quickstart").encoders)
    units = tuple((item.id, item.id, f"sounds/{item.id}.wav") for item in split.items)

    def batch(name: str, where: str, some: tuple[tuple[str, str, str], ...]) -> Batch:
        return Batch(SYSTEMS[name].target, name, None, context, tmp_path / where, 0, some)

    halves = [batch(name, f"two-{name}", half) for name in ("noise", "reference") for half in (units[:3], units[3:])]
    with worker_processes(2) as executor:
        lines = [
            line | {"name": task.name} for task, made in as_done(executor, generate_batch, halves) for line in made
        ]
    found = {(line["name"], line["item"]): line["sound_sha256"] for line in lines}
    for name in ("noise", "reference"):
        for line in generate_batch(batch(name, f"one-{name}", units)):
            assert found[name, line["item"]] == line["sound_sha256"]
    assert len(found) == 16


def test_a_lost_worker_is_one_line() -> None:
    with worker_processes(1) as executor, pytest.raises(WorkerLost, match="the command, with --workers 1"):
        list(as_done(executor, os._exit, [9]))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to /dev/full, which this system has not")
def test_a_full_disk_in_a_worker_is_one_line_and_the_workers_live_on() -> None:
    write = partial(Path.write_bytes, data=b"more than fits")
    with worker_processes(1) as executor:
        with pytest.raises(BenchmarkError, match="no space left on the device"):
            list(as_done(executor, write, [Path("/dev/full")]))
        assert [result for _, result in as_done(executor, abs, [-3])] == [3]


def test_other_refusals_name_the_file() -> None:
    assert str(storage_error(PermissionError(13, "Permission denied", "/x"))).startswith("/x: Permission denied")


_SCRIPT = """
import os, sys, time
from clipsonic_benchmarks.work import worker_processes
def linger(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    os.rename(path, path + ".pid")
    time.sleep(600)
if __name__ == "__main__":
    with worker_processes(1) as executor:
        executor.submit(linger, sys.argv[1]).result()
"""


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc, which this system has not")
def test_no_worker_outlives_a_killed_command(tmp_path: Path) -> None:
    script = tmp_path / "linger.py"
    script.write_text(_SCRIPT)
    running = subprocess.Popen([sys.executable, str(script), str(tmp_path / "worker")], stderr=subprocess.DEVNULL)
    mark, deadline = tmp_path / "worker.pid", time.monotonic() + 60
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    worker = int(mark.read_text())
    assert _alive(worker)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(worker)
