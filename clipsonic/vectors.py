"""Condition vectors that were made elsewhere, by id, in a `.npz` file: CLAP's for CLAP-TTA, or any other encoder's.

The file is what `clipsonic-metrics embed` writes: `ids` (items,), `frames` (items,) how many vectors each item has, and
`embeddings` (all frames, dim), the frames of the first id, then those of the second, and so on. It may name the `space`
they lie in, a text; whatever else it holds is passed over. An item with several vectors, such as a long sound or
several frames of a video, becomes the mean of their directions.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROWS: Final = 4096
"""Vectors that are made unit vectors together: float64 of a whole file would be several times its size."""
_NAMED: Final = 5
"""How many missing ids an error names before it only counts."""


@dataclass(frozen=True)
class StoredVectors:
    """ids, and float32 unit vectors (items, dim) in their order; the space they lie in, where their maker names it."""

    ids: list[str]
    vectors: NDArray[np.float32]
    space: str | None = None

    def of(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of these ids, (ids, dim).

        Raises:
            ValueError: naming ids that are not there.
        """
        rows = {name: row for row, name in enumerate(self.ids)}
        if missing := [name for name in ids if name not in rows]:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            named = ", ".join(missing[:_NAMED]) + more
            raise ValueError(f"no vector for {named}: expected one for each of {len(ids)} ids")
        return np.asarray(self.vectors[[rows[name] for name in ids]])


def read_vectors(path: str | Path) -> StoredVectors:
    """Read a file of vectors.

    Raises:
        ValueError: not such a file, arrays that do not fit one another, or a vector that has no direction.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, frames, rows = [str(name) for name in file["ids"]], file["frames"], file["embeddings"]
            space = str(file["space"]) if "space" in file else None
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:  # a .npy is an array, and no file
        raise ValueError(f"{path} is no .npz with ids, frames and embeddings: {error}") from error
    if not ids:
        raise ValueError(f"{path} holds no vector")
    if frames.dtype.kind not in "iu" or rows.dtype.kind not in "fiu":
        raise ValueError(f"{path}: frames are {frames.dtype} and embeddings {rows.dtype}; expected numbers")
    if rows.ndim != 2 or frames.shape != (len(ids),) or frames.min() < 1 or frames.sum() != len(rows):
        raise ValueError(
            f"{path}: {len(ids)} ids, {frames.shape} frames and embeddings of shape {rows.shape} do not fit one another"
        )
    if len(set(ids)) != len(ids):
        raise ValueError(f"{path}: an id is there twice")
    ends = np.cumsum(frames, dtype=np.int64)
    starts = ends - frames.astype(np.int64)
    vectors = np.empty((len(ids), rows.shape[1]), np.float32)
    firsts = np.flatnonzero(np.diff(starts // ROWS, prepend=-1))  # of blocks of whole items
    for first, last in zip(firsts, [*firsts[1:], len(ids)], strict=True):
        block = directions(rows[starts[first] : ends[last - 1]], path)
        means = block if len(block) == last - first else np.add.reduceat(block, starts[first:last] - starts[first])
        vectors[first:last] = directions(means, path)
    return StoredVectors(ids, vectors, space)


def write_vectors(path: str | Path, ids: Sequence[str], vectors: NDArray[np.float32], space: str | None = None) -> None:
    """Write one vector for each id, (ids, dim), and the space they lie in, whole or not at all."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            named = {} if space is None else {"space": np.array(space)}
            np.savez(file, ids=np.array(ids), frames=np.ones(len(ids), np.int64), embeddings=vectors, **named)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the directions of several vectors (count, dim), a unit vector (dim,); of one unit vector, itself."""
    if len(vectors) == 1:
        return np.asarray(vectors[0])
    mean = vectors.astype(np.float64).mean(0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def directions(vectors: NDArray[Any], path: str | Path) -> NDArray[np.float64]:
    """Unit vectors of vectors (count, dim) of any length.

    Raises:
        ValueError: naming the file that they are of, if one is zero or not finite.
    """
    exact = vectors.astype(np.float64, copy=False)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError(f"{path}: a vector is zero or not finite")
    return np.asarray(exact / lengths)
