"""Write sounds and small texts so that a file is whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray


def write_wav(path: Path, samples: NDArray[np.float32], rate_hz: int) -> None:
    """Write mono samples in [-1, 1] as 16-bit WAV, atomically; parent folders are made.

    Raises:
        OSError: naming the file, if it cannot be written (full disk, no permission).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    try:
        soundfile.write(partial, samples, rate_hz, format="WAV", subtype="PCM_16")
        os.replace(partial, path)
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path} cannot be written ({error.error_string}): make room, or write elsewhere") from error
    finally:
        partial.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
