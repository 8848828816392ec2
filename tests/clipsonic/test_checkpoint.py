"""Checkpoints come back whole, hold no pickle, and never replace a good file by half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from clipsonic.checkpoint import load_checkpoint, named_if_unwritten, save_checkpoint
from clipsonic.training.state import load_optimizer_state, optimizer_state

STATE: dict[str, Any] = {
    "model": {"weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(3, dtype=torch.float16)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0), "moment": torch.zeros(0)}, 17: {"step": torch.tensor(4.0)}}},
    "ema": {"decay": 0.1 + 0.2, "shadow": [torch.eye(2), torch.zeros(1)], "warm": True, "none": None},
    "step": 7,
    "name": "run",
}


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(equal(*pair) for pair in zip(left, right, strict=True))
    return bool(left == right) and type(left) is type(right)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run" / "checkpoint.safetensors"
    save_checkpoint(path, STATE)
    assert equal(load_checkpoint(path), STATE)
    assert [each.name for each in path.parent.iterdir()] == ["checkpoint.safetensors"]


def test_the_file_is_a_json_header_and_tensor_bytes_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, STATE)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert json.loads(header.pop("__metadata__")["tree"])
    stretches = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    assert stretches[0][0] == 0 and stretches[-1][1] == len(data) - 8 - length
    assert all(before[1] == after[0] for before, after in pairwise(stretches))
    assert not zipfile.is_zipfile(path)  # which is what torch.save writes, with a pickle in it


def test_keys_that_look_like_paths_stay_apart(tmp_path: Path) -> None:
    state = {"a/b": torch.zeros(1), "a": {"b": torch.ones(1)}}

    def keys_as_they_were(value: Any, path: str) -> list[str]:
        if isinstance(value, torch.Tensor):
            return [path]
        return [key for name, item in value.items() for key in keys_as_they_were(item, f"{path}/{name}")]

    assert len(set(keys_as_they_were(state, ""))) == 1  # one tensor was lost
    save_checkpoint(tmp_path / "c.safetensors", state)
    assert equal(load_checkpoint(tmp_path / "c.safetensors"), state)


def test_tensors_that_share_memory_come_back_apart(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    save_checkpoint(tmp_path / "c.safetensors", {"one": shared, "part": shared[1:3], "turned": torch.ones(2, 3).T})
    back = load_checkpoint(tmp_path / "c.safetensors")
    assert equal(back["part"], torch.tensor([1.0, 2.0])) and back["turned"].shape == (3, 2)


def test_a_checkpoint_can_be_read_by_whoever_reads_other_files(tmp_path: Path) -> None:
    """Old mistake: safetensors' temporary file has mode 0600, and keeps it."""
    path = tmp_path / "c.safetensors"
    for mask, mode in ((0o022, 0o644), (0o027, 0o640)):
        before = os.umask(mask)
        try:
            save_checkpoint(path, STATE)
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == mode


def test_what_a_kill_leaves_is_cleared_by_the_next_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old mistake: safetensors' own `.tmp…` beside the checkpoint stayed for ever."""
    path = tmp_path / "c.safetensors"

    class Killed(BaseException):
        pass

    def killed(tensors: object, partial: Path, metadata: object) -> None:
        (partial.parent / ".tmpAbC").write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("clipsonic.checkpoint.save_file", killed)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # which SIGKILL does not wait for
        with pytest.raises(Killed):
            save_checkpoint(path, STATE)
    assert len(list(tmp_path.rglob(".tmp*"))) == 1
    save_checkpoint(path, STATE)
    assert [each.name for each in tmp_path.rglob("*")] == ["c.safetensors"]


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    path, previous = tmp_path / "c.safetensors", tmp_path / "c.previous.safetensors"
    for step in (1, 2, 3):
        save_checkpoint(path, {"step": step}, previous)
    assert (load_checkpoint(path), load_checkpoint(previous)) == ({"step": 3}, {"step": 2})


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"step": 1})

    def fails(tensors: object, partial: Path, metadata: object) -> None:
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clipsonic.checkpoint.save_file", fails)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["c.safetensors"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", bytes(100)])
def test_another_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (SafetensorError("Error while serializing: I/O error: Permission denied (os error 13)"), False),
        (shutil.Error([("a", "b", "[Errno 13] Permission denied: 'b'")]), False),
    ],
)
def test_room_is_asked_for_where_it_would_help(error: Exception, is_full: bool) -> None:
    """Old mistake: whatever could not be written, the user was told to make room."""
    with pytest.raises(OSError, match=r"^run/model cannot be written \(.*") as told:  # noqa: SIM117
        with named_if_unwritten(Path("run/model")), named_if_unwritten(Path("run/.model.part")):
            raise error
    assert str(told.value).count("make room, and repeat the command") == is_full
    assert ".part" not in str(told.value)


def test_other_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(1)}, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match="is not a checkpoint of schema 1"):
        load_checkpoint(tmp_path / "c.safetensors")


def test_an_optimiser_goes_on_where_it_was(tmp_path: Path) -> None:
    def steps(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            optimizer.zero_grad()
            ((weight - step) ** 2).sum().backward()
            optimizer.step()

    unbroken = torch.nn.Parameter(torch.ones(3))
    steps(unbroken, torch.optim.AdamW([unbroken], lr=0.1), 0, 6)

    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    steps(weight, optimizer, 0, 3)
    save_checkpoint(tmp_path / "c.safetensors", {"weight": weight, "optimizer": optimizer_state(optimizer)})
    back = load_checkpoint(tmp_path / "c.safetensors")
    continued = torch.nn.Parameter(back["weight"])
    fresh = torch.optim.AdamW([continued], lr=0.1)
    forgetful = torch.nn.Parameter(back["weight"].clone())
    steps(forgetful, torch.optim.AdamW([forgetful], lr=0.1), 3, 6)
    load_optimizer_state(fresh, back["optimizer"])
    steps(continued, fresh, 3, 6)
    assert torch.equal(continued, unbroken)
    assert not torch.equal(forgetful, unbroken)  # without its moments it would not
