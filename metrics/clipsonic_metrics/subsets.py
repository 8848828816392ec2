"""Fréchet distances of many subsets of items from one reference, which is factored once.

A subset costs one product of (rows, dim) frames and one symmetric eigenvalue problem, on whichever side is smaller.
Eigenvalues of the Gram matrix are good to 1e-8 relative here: enough for an interval or a fit, not for a value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.arrays import Array, same_dim
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.frechet import covariance_factor
from clipsonic_metrics.stats import EmbeddingStats


class SubsetDistances:
    """Distances from `reference` of subsets of the items whose frames are `rows`, `frames` of them per item.

    Raises:
        MetricsError: different dimensions.
    """

    def __init__(self, reference: EmbeddingStats, rows: Array, frames: NDArray[np.int64]) -> None:
        same_dim(reference.mean[None], rows)
        factor = covariance_factor(reference)
        centre = rows.mean(axis=0)  # of all items: subsets are then nearly centred, and no digits are lost
        self._offset = centre - reference.mean
        centred = rows - centre
        self._projected = centred @ factor.T
        starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
        self._sums = np.add.reduceat(centred, starts, axis=0)  # items do not change: each is added up once
        self._projected_sums = np.add.reduceat(self._projected, starts, axis=0)
        self._squares = np.add.reduceat(np.sum(centred**2, axis=1), starts)
        self._frames = frames
        self._trace = float(np.sum(factor**2))

    def of(self, chosen: NDArray[np.bool_]) -> Array:
        """One distance for each row of `chosen`, shape (subsets, items).

        Raises:
            MetricsError: a subset has fewer than two frames.
        """
        counts = chosen @ self._frames
        if counts.min() < 2:
            raise MetricsError(f"half of the items has {counts.min()} frame; at least 2 are needed for an interval")
        taken = chosen.astype(np.float64)
        means = taken @ self._sums / counts[:, None]
        projected_means = taken @ self._projected_sums / counts[:, None]
        shifts = np.sum((means + self._offset) ** 2, axis=1)
        traces = (taken @ self._squares - counts * np.sum(means**2, axis=1)) / (counts - 1)
        norms = [
            self._nuclear_norm(row, mean) / np.sqrt(count - 1)
            for row, mean, count in zip(chosen, projected_means, counts, strict=True)
        ]
        return np.asarray(shifts + self._trace + traces - 2 * np.array(norms))

    def _nuclear_norm(self, row: NDArray[np.bool_], mean: Array) -> float:
        """Of the subset's projected frames less their mean."""
        rows = self._projected[np.flatnonzero(np.repeat(row, self._frames))]
        if len(rows) < rows.shape[1]:
            rows -= mean
            gram = rows @ rows.T
        else:
            gram = rows.T @ rows - len(rows) * np.outer(mean, mean)
        return float(np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0)).sum())
