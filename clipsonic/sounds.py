"""Write sounds and small texts so that a file is whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

_GAIN: Final = "gain "


def write_wav(path: Path, samples: NDArray[np.float32], rate_hz: int, gain: float) -> None:
    """Write mono samples in [-1, 1] as 16-bit WAV, atomically; parent folders are made.

    Args:
        gain: by which they were turned down, 1 where they were not. It is the comment of the file, so that none is
            there without it, wherever a command was killed.

    Raises:
        OSError: naming the file, if it cannot be written (full disk, no permission).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    try:
        with soundfile.SoundFile(partial, "w", rate_hz, channels=1, format="WAV", subtype="PCM_16") as file:
            file.comment = f"{_GAIN}{np.float32(gain)!s}"  # the shortest decimal that is this float32
            file.write(samples)
        os.replace(partial, path)
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path} cannot be written ({error.error_string}): make room, or write elsewhere") from error
    finally:
        partial.unlink(missing_ok=True)


def read_gain(path: Path) -> float | None:
    """By what the sound of a `write_wav` was turned down, 1 where it was not; None of a file that does not say it.

    Raises:
        ValueError: naming a file that cannot be read.
    """
    try:
        with soundfile.SoundFile(path) as file:
            comment = file.comment
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} is not a sound that can be read: move it away, and repeat the command") from error
    return float(comment.removeprefix(_GAIN)) if comment.startswith(_GAIN) else None


def replace_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
