"""(image, text) vectors that a prior is trained on: in two arrays, as of a `.npz`, or in prepared data.

A `.npz` holds `image` and `text`, both (pairs, dim), and may hold the strings `clip` and `clip_sha256`. The pairs of a
CSV are `clipsonic.pair_encoding`'s.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clipsonic.clip import FrozenClip
from clipsonic.prepared import PreparedData
from clipsonic.vectors import ROWS, directions

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


class Pairs(Protocol):
    """Matched image and text vectors of one CLIP, unit length, by row number.

    digest: SHA-256 over all vectors. clip_sha256: of the CLIP, None where it is not known.
    """

    @property
    def clip(self) -> str: ...

    @property
    def clip_sha256(self) -> str | None: ...

    @property
    def dim(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    @property
    def groups(self) -> Rows:
        """(rows,): rows of one number show the same thing; counted from 0 in the order in which they first come."""

    def name(self, row: int) -> str:
        """What a user knows the pair by."""

    def images(self, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        """(rows, dim); where a row has several images, `choices` in [0, 1) says which."""

    def texts(self, rows: Rows) -> Vectors:
        """(rows, dim)."""


@dataclass(frozen=True)
class ArrayPairs:
    """Pairs in two arrays, in memory or mapped, of which the rows `kept` count.

    pictures: of the rows that count, where that is known. cut_texts: names of the pairs whose text is longer
    than what CLIP reads, where that is known.
    """

    image: Vectors
    text: Vectors
    kept: Rows
    clip: str
    clip_sha256: str | None
    digest: str
    pictures: tuple[Path, ...] = ()
    cut_texts: tuple[str, ...] = ()

    @property
    def dim(self) -> int:
        return int(self.image.shape[1])

    @cached_property
    def groups(self) -> Rows:
        return _numbered(self.pictures) if self.pictures else np.arange(len(self.kept))

    def __len__(self) -> int:
        return len(self.kept)

    def name(self, row: int) -> str:
        return name_of(int(self.kept[row]))

    def images(self, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        return np.asarray(self.image[self.kept[rows]])

    def texts(self, rows: Rows) -> Vectors:
        return np.asarray(self.text[self.kept[rows]])


class PreparedPairs:
    """Any frame of a prepared clip, and the vector of its caption or label; clips of one video are one group."""

    def __init__(self, data: PreparedData) -> None:
        """Raises ValueError if the data were prepared without texts."""
        data.vectors("clip_text", np.arange(1))
        self._data = data
        self.clip: str = data.clip
        self.clip_sha256: str | None = data.clip_sha256
        self.dim, self.digest = data.dim, data.digest

    def __len__(self) -> int:
        return len(self._data)

    @cached_property
    def groups(self) -> Rows:
        return _numbered(self._data.videos())

    def name(self, row: int) -> str:
        return self._data.ids[row]

    def images(self, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        return self._data.frame_of(rows, choices)

    def texts(self, rows: Rows) -> Vectors:
        return self._data.vectors("clip_text", rows)


def _numbered(names: Sequence[Hashable]) -> Rows:
    """A number for each name, counted from 0 in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def name_of(row: int) -> str:
    """What a user knows the pair of an array's row by."""
    return f"pair {row + 1}"


def read_pairs(path: Path, clip: FrozenClip | None) -> ArrayPairs:
    """Pairs of a `.npz`. `clip` says whose they are, where the file does not.

    Raises:
        ValueError: not such a file, arrays that do not fit, vectors without direction, or of another space than `clip`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            image, text = (file[name].astype(np.float32, copy=False) for name in ("image", "text"))
            told, digest = (str(file[name]) if name in file else None for name in ("clip", "clip_sha256"))
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:  # a .npy is an array, and no file
        raise ValueError(f"{path} is no .npz with image and text vectors: {error}") from error
    if image.ndim != 2 or image.shape != text.shape:
        raise ValueError(f"{path}: image vectors {image.shape}, text vectors {text.shape}; expected both (pairs, dim)")
    if clip is not None:
        clip.expect(f"{path}", image.shape[1], digest)
        told, digest = clip.name, clip.digest
    if told is None:
        raise ValueError(f"{path} does not say which CLIP its vectors are of: give --clip")
    total = hashlib.sha256()
    for vectors in (image, text):
        for start in range(0, len(vectors), ROWS):
            block = vectors[start : start + ROWS]
            block[:] = directions(block, path)
            total.update(block.tobytes())
    return ArrayPairs(image, text, np.arange(len(image)), told, digest, total.hexdigest())
