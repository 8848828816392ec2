"""Checking and reshaping of embedding arrays; every metric reads its input through these functions.

Conventions: an embedding array is (items, dim), or (items, frames, dim), or a sequence of (frames, dim), one per item.
Everything is computed in float64. A row that is not finite is an error that counts such rows: it is never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clipsonic_metrics.errors import MetricsError

Array = NDArray[np.float64]
Embeddings = ArrayLike | Sequence[ArrayLike]


def matrix(x: ArrayLike, name: str) -> Array:
    """`x` as float64 (rows, dim).

    Raises:
        MetricsError: not two-dimensional, empty, or with rows that are not finite.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "fiu":
        raise MetricsError(f"{name} holds {array.dtype}; expected real numbers")
    if array.ndim != 2 or 0 in array.shape:
        raise MetricsError(f"{name} has shape {array.shape}; expected (rows, dim) with at least one row")
    array = array.astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(array).all(axis=1)))
    if bad:
        raise MetricsError(f"{name} has {bad} of {len(array)} rows with NaN or infinity; mend or leave out those items")
    return array


def frames_of_items(x: Embeddings, name: str) -> tuple[Array, NDArray[np.int64]]:
    """All frames in one (frames, dim) array, and how many frames each item has, shape (items,)."""
    if not isinstance(x, np.ndarray):
        x = [np.asarray(item) for item in x] if isinstance(x, Sequence) else np.asarray(x)
    if isinstance(x, list) and any(item.ndim == 2 for item in x):
        parts = [matrix(item, f"{name}[{index}]") for index, item in enumerate(x)]
        dims = sorted({part.shape[1] for part in parts})
        if len(dims) > 1:
            raise MetricsError(f"{name} mixes dimensions {dims}; embed all items with one embedder")
        return np.concatenate(parts), np.array([len(part) for part in parts])
    array = np.asarray(x)
    if array.ndim == 3:
        items, frames, dim = array.shape
        return matrix(array.reshape(items * frames, dim), name), np.full(items, frames)
    rows = matrix(array, name)
    return rows, np.ones(len(rows), dtype=np.int64)


def unit_rows(x: Array, name: str) -> Array:
    """Rows divided by their length.

    Raises:
        MetricsError: rows of length zero, which have no direction.
    """
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    zero = int(np.count_nonzero(lengths == 0))
    if zero:
        raise MetricsError(f"{name} has {zero} of {len(x)} rows that are zero; a cosine is not defined for them")
    return np.asarray(x / lengths)


def cosines_of(a: Array, b: Array) -> Array:
    """Cosine of row i of both, which are unit vectors, shape (rows,); -1 to 1, where rounding may go beyond."""
    return np.asarray(np.clip((a * b).sum(axis=1), -1.0, 1.0))


def unit_items(x: Embeddings, name: str) -> Array:
    """One unit vector per item: the normalised mean of the item's unit frames, shape (items, dim)."""
    rows, frames = frames_of_items(x, name)
    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    return unit_rows(np.add.reduceat(unit_rows(rows, name), starts, axis=0), name)


def item_means(x: Embeddings, name: str) -> Array:
    """One vector per item: the mean of its frames as they are, shape (items, dim)."""
    rows, frames = frames_of_items(x, name)
    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    return np.asarray(np.add.reduceat(rows, starts, axis=0) / frames[:, None])


def same_length(a: Array, b: Array, names: tuple[str, str]) -> None:
    """Raise MetricsError unless both hold as many items, of one dimension."""
    if len(a) != len(b):
        raise MetricsError(f"{names[0]} has {len(a)} items and {names[1]} {len(b)}; pair them by id first")
    if a.shape[1] != b.shape[1]:
        raise MetricsError(f"{names[0]} has dim {a.shape[1]}, {names[1]} {b.shape[1]}; use the embedder of one space")


def same_dim(reference: Array, generated: Array) -> None:
    """Raise MetricsError unless both are of one dimension."""
    if reference.shape[1] != generated.shape[1]:
        raise MetricsError(f"reference has dim {reference.shape[1]}, generated {generated.shape[1]}; use one embedder")
