"""Writes are whole or absent; a log survives a torn last line."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import append_lines, digest, read_json, read_lines, tree_digest, write_bytes, write_json


def test_digest_does_not_depend_on_key_order() -> None:
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.bin"
    write_bytes(path, b"old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        write_bytes(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_lines(path, [{"n": 1}, {"n": 2}])
    with path.open("ab") as file:
        file.write(b'{"n": 3')  # what kill -9 leaves
    assert read_lines(path) == [{"n": 1}, {"n": 2}]
    append_lines(path, [{"n": 4}])
    assert read_lines(path) == [{"n": 1}, {"n": 2}, {"n": 4}]


def test_without_the_cut_the_next_line_would_be_lost(tmp_path: Path) -> None:
    """The bug this guards against: appending after a torn line glues two lines together."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": 2')
    append_lines(path, [{"n": 3}])
    with pytest.raises(BenchmarkError, match="line 2, is not JSON"):
        read_lines(path)


def test_an_append_that_fails_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    append_lines(path, [{"n": 1}])

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        append_lines(path, [{"n": 2}])
    monkeypatch.undo()
    assert read_lines(path) == [{"n": 1}]


def test_records_say_their_schema(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"schema": 1, "x": 2})
    assert read_json(tmp_path / "a.json", 1, "run")["x"] == 2
    with pytest.raises(BenchmarkError, match="has schema 1; this version reads schema 2"):
        read_json(tmp_path / "a.json", 2, "run")
    with pytest.raises(BenchmarkError, match="does not exist; make it with: run"):
        read_json(tmp_path / "b.json", 1, "run")
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(BenchmarkError, match="is not JSON"):
        read_json(tmp_path / "c.json", 1, "run")


def test_tree_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "x", b"1")
    first = tree_digest(tmp_path / "a")
    write_bytes(tmp_path / "a" / "x", b"2")
    second = tree_digest(tmp_path / "a")
    write_bytes(tmp_path / "a" / ".hidden", b"3")
    assert first != second == tree_digest(tmp_path / "a")
    os.rename(tmp_path / "a" / "x", tmp_path / "a" / "y")
    assert tree_digest(tmp_path / "a") != second
