"""A folder is held by one process at a time, and whatever ends that process frees it."""

from __future__ import annotations

import errno
import fcntl
import os
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


def test_a_folder_that_is_removed_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old mistake: a process that shared the work removed the folder between a look at the lock and its removal."""
    look, removed = os.path.samestat, list[bool]()

    def late(*stats: os.stat_result) -> bool:
        found = look(*stats)
        if removed:
            (tmp_path / "part" / "lock-1").unlink()
            (tmp_path / "part").rmdir()
        return found

    monkeypatch.setattr("clipsonic.claim.os.path.samestat", late)
    with claimed(tmp_path / "part", "lock-1"):
        removed.append(True)
    assert not any(tmp_path.iterdir())


def test_a_file_system_that_knows_no_file_again_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old mistake: the lock was taken anew for ever."""
    tries = list[int]()

    def never(*_: object) -> bool:
        tries.append(1)
        assert len(tries) < 1000
        return False

    monkeypatch.setattr("clipsonic.claim.os.path.samestat", never)
    with claimed(tmp_path), pytest.raises(ValueError, match="another process"), claimed(tmp_path):
        pass


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("place", ["there", "new/run"])
def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, place: str
) -> None:
    """Old mistake: told as a lock that cannot be opened, which is hidden."""
    (tmp_path / "there").mkdir()

    def refuse(path: object, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr("clipsonic.claim.Path.open" if place == "there" else "clipsonic.claim.Path.mkdir", refuse)
    named = tmp_path / "there" if place == "there" else tmp_path  # the one to look at
    with pytest.raises(OSError) as told, claimed(tmp_path / place):
        pass
    assert str(told.value) == f"{named} cannot be written to ({os.strerror(code)}): choose another --out"
