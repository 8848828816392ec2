"""Checkpoints: everything that resumes a training, as safetensors plus JSON, never as a pickle.

A checkpoint is one `.safetensors` file: tensors under flat keys, everything else (step counts, optimiser groups) as
JSON in the file's metadata. Written beside its final name and moved there, it is whole or absent after `kill -9`.

safetensors writes through a temporary file of its own naming and mode (0600), so every file is made in a folder of our
naming, which the next write clears away, and gets the mode of any other new file.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

State = Mapping[str, Any]
"""Nested mappings with string or integer keys, lists, JSON values, and tensors anywhere among them."""

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors that end when room is made."""
_TENSOR = "__tensor__"


def _flatten(value: Any, path: str, tensors: dict[str, Tensor], memory: set[int]) -> Any:
    if isinstance(value, Tensor):
        key = f"{len(tensors)}{path}"  # numbered: "a/b" may be one key or two
        tensors[key] = _alone(value.detach().cpu().contiguous(), memory)
        return {_TENSOR: key}
    if isinstance(value, Mapping):
        return {"__map__": [[key, _flatten(item, f"{path}/{key}", tensors, memory)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_flatten(item, f"{path}/{index}", tensors, memory) for index, item in enumerate(value)]
    return value


def _alone(tensor: Tensor, memory: set[int]) -> Tensor:
    """The tensor, or a copy if it lies in memory of another, which safetensors refuses."""
    place = tensor.untyped_storage().data_ptr()
    if place in memory:
        return tensor.clone()
    memory.add(place)
    return tensor


def _restore(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict) and _TENSOR in value:
        return tensors[value[_TENSOR]]
    if isinstance(value, dict):
        return {key: _restore(item, tensors) for key, item in value["__map__"]}
    if isinstance(value, list):
        return [_restore(item, tensors) for item in value]
    return value


def give_usual_mode(folder: Path) -> None:
    """Let whoever may read a new file of this user read the safetensors below `folder` too."""
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for file in folder.rglob("*.safetensors"):
        file.chmod(mode)


class _UnwrittenError(OSError):
    """Of `named_if_unwritten`, for one around it: the outermost names what its user knows."""


@contextmanager
def named_if_unwritten(path: Path) -> Iterator[None]:
    """Name what is being written, where the libraries that write it say only that they could not.

    Raises:
        OSError: one line, in the place of any OSError or SafetensorError; of one within, too.
    """
    try:
        yield
    except (SafetensorError, OSError) as error:
        first = error.__cause__ or error if isinstance(error, _UnwrittenError) else error
        why = first.args[0][0][2] if isinstance(first, shutil.Error) else first  # the first of a list of files
        advice = ": make room, and repeat the command" if _lacks_room(first) else ""
        raise _UnwrittenError(f"{path} cannot be written ({why}){advice}") from first


def _lacks_room(error: BaseException) -> bool:
    """Whether room is what an error is about; libraries leave the system's number in their text alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in NO_ROOM
    return any(f"os error {number})" in str(error) or f"[Errno {number}]" in str(error) for number in NO_ROOM)


def save_checkpoint(path: Path, state: State, previous: Path | None = None) -> None:
    """Write `state` to `path`, atomically; parent folders are made.

    Args:
        previous: where what was at `path` goes, in the place of what was there.

    Raises:
        OSError: in one line, if it cannot be written (full disk); what was at `path` is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    tree = _flatten(state, "", tensors, set())
    partial = path.with_name(f".{path.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        save_file(tensors, partial / path.name, metadata={"schema": "1", "tree": json.dumps(tree)})
        give_usual_mode(partial)
        with (partial / path.name).open("rb+") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)  # killed between the two, the run goes on from `previous`
        os.replace(partial / path.name, path)
    except SafetensorError as error:
        kept = "the one before is kept" if path.exists() else "there is none yet"
        raise OSError(f"{path} cannot be written ({error}); {kept}: make room, and repeat the command") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises:
        ValueError: if the file is not such a checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is not a checkpoint: {error}") from error
    if metadata.get("schema") != "1" or "tree" not in metadata:
        raise ValueError(f"{path} is not a checkpoint of schema 1")
    restored = _restore(json.loads(metadata["tree"]), tensors)
    assert isinstance(restored, dict)
    return restored


def read_values(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote that has no tensor in it, by its key at the top; reads no tensor.

    Raises:
        ValueError: if the file is not such a checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            tree = json.loads((file.metadata() or {})["tree"])
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is not a checkpoint: {error}") from error
    return {key: _restore(value, {}) for key, value in tree["__map__"] if _TENSOR not in json.dumps(value)}
