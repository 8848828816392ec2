"""Reading weights as their makers publish them: `.pt`, `.pth`, `.th`, `.ckpt`, `.bin` and `.safetensors`.

Nothing but tensors, numbers and containers of them is ever unpickled: `torch.load(weights_only=True)`, with numpy's
scalars let in because training scripts write their losses so. Official files differ in wrapping alone: the state may
lie under "state_dict", "model" or "model_state_dict", and every name may begin with "module.". Both are taken off. What
is left must fit the network name by name and shape by shape.
"""

from __future__ import annotations

import functools
import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from torch import Tensor, nn

PICKLED: Final = frozenset({".pt", ".pth", ".th", ".ckpt", ".bin"})
SUFFIXES: Final = PICKLED | {".safetensors"}
_WRAPPERS: Final = ("state_dict", "model", "model_state_dict")
_NAMED: Final = 3


def kept_random_state() -> AbstractContextManager[None]:
    """Within it networks may be built, which draws random weights: the caller's random numbers go on as if not."""
    import torch

    return torch.random.fork_rng(devices=[])


def digest(path: str | Path) -> str:
    """SHA-256 of a file, in hex; computed once while the file's size and time of change stay.

    Raises:
        MetricsError: the file cannot be read.
    """
    path = Path(path)
    try:
        facts = path.stat()
        return _digest(path.resolve(), facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise _unreadable(path, error.strerror) from error


def joint_digest(paths: Sequence[Path]) -> str:
    """SHA-256, in hex, of what several files that decide one network hold, in their order.

    Raises:
        MetricsError: one of them cannot be read.
    """
    return hashlib.sha256("".join(digest(path) for path in paths).encode()).hexdigest()


@functools.lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The state of a network, by name, on the CPU, without wrapper and without "module.".

    Raises:
        MetricsError: not there, of another suffix, unreadable, holding more than tensors and numbers, or no state.
    """
    path = Path(path)
    if not path.is_file():
        raise MetricsError(f"{path} is not a file; expected weights ({' '.join(sorted(SUFFIXES))})")
    if path.suffix not in SUFFIXES:
        known = " ".join(sorted(SUFFIXES))
        raise MetricsError(f"{path} has suffix {path.suffix!r}; weights have one of {known}")
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    state = _unwrapped(found)
    if not state:
        raise MetricsError(f"{path} holds no state of a network; expected tensors by name")
    return state


def load_state(network: nn.Module, state: Mapping[str, Tensor], path: str | Path, left_out: Iterable[str] = ()) -> None:
    """Put a state into a network, which is then in evaluation mode and without gradients.

    Every name must be there with its shape, and no other, but for those that begin with one of `left_out`: official
    files hold some that the network has no use for or computes itself (a spectrogram's window, say). `path` is named
    in errors.

    Raises:
        MetricsError: names are missing or unexpected, a shape differs, or a tensor holds NaN or infinity.
    """
    import torch

    beginnings = tuple(left_out)
    state = {name: part for name, part in state.items() if not (beginnings and name.startswith(beginnings))}
    own = {
        name: part for name, part in network.state_dict().items() if not (beginnings and name.startswith(beginnings))
    }
    missing, unexpected = [each for each in own if each not in state], [each for each in state if each not in own]
    shaped = [
        f"{name} {tuple(part.shape)} for {tuple(own[name].shape)}"
        for name, part in state.items()
        if name in own and part.shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {fault} ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})"
        for fault, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shaped))
        if names
    ]
    if faults:
        raise MetricsError(f"{path} does not fit the network: {'; '.join(faults)}; give the official file by --weights")
    sick = [name for name, part in state.items() if part.is_floating_point() and not torch.isfinite(part).all()]
    if sick:
        named = ", ".join(sick[:_NAMED])
        raise MetricsError(f"{path} holds NaN or infinity in {len(sick)} tensors ({named}); get the file again")
    network.load_state_dict(dict(state), strict=False)
    network.eval().requires_grad_(False)


def _read_safetensors(path: Path) -> Any:
    import safetensors.torch
    from safetensors import SafetensorError

    try:
        return safetensors.torch.load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, str(error).splitlines()[0]) from error


def _read_pickled(path: Path) -> Any:
    import torch

    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            # Mapped, a file's optimizer, often twice the network, is never read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # the unpickler takes any bytes for commands: whatever they do may go wrong
        lines = str(error).splitlines() or ["it is empty"]
        blamed = next((line.strip() for line in lines if "GLOBAL" in line), "")
        if blamed:
            found = f"{path} holds more than tensors ({blamed.split('. ')[0]})"
            raise MetricsError(f"{found}, which is not run; expected a state") from error
        refused = type(error).__name__ == "UnpicklingError"  # says at length that loading it otherwise is dangerous
        raise _unreadable(path, "not a file that torch.save wrote" if refused else lines[0]) from error


def _numpy_scalars() -> list[Any]:
    """What numpy's scalars are pickled with, under the names of numpy 1 and of numpy 2."""
    scalar = np.float64(0).__reduce__()[0]
    named = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    kinds = {type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)}
    return [*named, np.dtype, *kinds]


def _unwrapped(found: Any) -> dict[str, Tensor]:
    import torch

    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(isinstance(part, torch.Tensor) for part in found.values()):
        return {}
    prefix = "module." if all(name.startswith("module.") for name in found) else ""
    return {name.removeprefix(prefix): part for name, part in found.items()}


def _unreadable(path: Path, reason: str | None) -> MetricsError:
    remedy = "get the file again, or give another by --weights"
    return MetricsError(f"{path} cannot be read as weights ({reason}); {remedy}")
