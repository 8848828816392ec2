"""A folder is held by one process at a time, and whatever ends that process frees it."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from clipsonic.claim import LOCK, claimed

HOLD = """
import sys, time
from pathlib import Path
from clipsonic.claim import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path / "run"):
        told = "another process is at work in .*run: wait for it, or stop it"
        with pytest.raises(ValueError, match=told), claimed(tmp_path / "run"):
            pass
        with claimed(tmp_path / "run", "lock-1"):  # of another that shares the work
            assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [LOCK, "lock-1"]
        (tmp_path / "run" / "made").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["made"]


def test_a_new_folder_in_which_nothing_was_made_is_removed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        with pytest.raises(RuntimeError), claimed(tmp_path / name):
            raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["old"] and not any((tmp_path / "old").iterdir())


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another process"), claimed(tmp_path):
            pass
        other.kill()
    assert (tmp_path / LOCK).exists()
    with claimed(tmp_path):
        pass
    assert not any(tmp_path.iterdir())


def test_a_lock_that_is_removed_as_it_is_taken_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or two would hold the folder: one a file that has no name any more, the other its successor."""
    lock, removed = fcntl.flock, list[int]()

    def late(file: object, how: int) -> None:
        lock(file, how)  # type: ignore[arg-type]
        if not removed:
            removed.append(1)
            (tmp_path / LOCK).unlink()

    monkeypatch.setattr("clipsonic.claim.fcntl.flock", late)
    with claimed(tmp_path), pytest.raises(ValueError, match="another process"), claimed(tmp_path):
        pass


def test_a_file_system_without_locks_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("clipsonic.claim.fcntl.flock", without)
    with claimed(tmp_path):
        pass
    assert not any(tmp_path.iterdir())
