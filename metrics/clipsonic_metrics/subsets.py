"""Sets as the items they are made of, and Fréchet distances of many subsets of items from one reference.

An item is given by its frames, or by its moments (an EmbeddingStats): frames of a long sound may be many times as many
as dimensions (EnCodec: 750 of 128 in ten seconds), and take as many times the memory.

The reference is factored once. A subset costs one product of (rows, dim) frames and one symmetric eigenvalue problem,
on whichever side is smaller. Eigenvalues of the Gram matrix are good to 1e-8 relative here: enough for an interval or a
fit, not for a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.arrays import Array, Embeddings, frames_of_items, same_dim
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.frechet import covariance_factor
from clipsonic_metrics.stats import EmbeddingStats

Items = Embeddings | Sequence[EmbeddingStats]


@dataclass(frozen=True, eq=False)
class FramesOfItems:
    """All frames in `rows` (frames, dim), of which each item has so many as `frames` (items,) says."""

    rows: Array
    frames: NDArray[np.int64]

    def pooled(self, protocol: str) -> EmbeddingStats:
        """Moments of all frames."""
        return EmbeddingStats.of(self.rows, protocol)

    def distances(self, reference: EmbeddingStats) -> SubsetDistances:
        """For distances of subsets of the items."""
        return SubsetDistances.of_frames(reference, self.rows, self.frames)


@dataclass(frozen=True, eq=False)
class MomentsOfItems:
    """Moments of each item."""

    items: Sequence[EmbeddingStats]

    @property
    def frames(self) -> NDArray[np.int64]:
        """How many frames each has, (items,)."""
        return np.array([item.count for item in self.items], dtype=np.int64)

    def pooled(self, protocol: str) -> EmbeddingStats:
        """Moments of all frames; those given carry their own protocol."""
        return EmbeddingStats.joined(self.items)

    def distances(self, reference: EmbeddingStats) -> SubsetDistances:
        """For distances of subsets of the items."""
        return SubsetDistances.of_moments(reference, self.items)


def read_items(generated: Items, name: str) -> FramesOfItems | MomentsOfItems:
    """Items as they are given: as arrays (arrays.py), or as moments of each.

    Raises:
        MetricsError: neither moments nor arrays of embeddings.
    """
    if is_moments(generated):
        return MomentsOfItems(generated)
    return FramesOfItems(*frames_of_items(cast(Embeddings, generated), name))


def is_moments(generated: Any) -> TypeGuard[Sequence[EmbeddingStats]]:
    """Whether these are moments of each item."""
    several = isinstance(generated, Sequence) and len(generated) > 0
    return several and all(isinstance(item, EmbeddingStats) for item in generated)


@dataclass(frozen=True, eq=False)
class SubsetDistances:
    """Distances from one reference of subsets of items.

    An item is kept as rows r with weights w: of its frames f, sum r r^T = sum f f^T and sum w r = sum f. The frames
    themselves, each of weight 1, are such rows. So are, and they are no more than about dim however long a sound is,
    those of its scatter's factor, of weight 0, and its mean times the root of its count, of that root's weight.

    `rows` (items,) counts them; `projected` (all rows, rank) has them less the centre of all items, so that subsets are
    nearly centred and no digits are lost, times the reference's factor. `sums` (items, dim) and `projected_sums` are of
    frames, `squares` (items,) of their squares, all less the centre; `offset` is the centre less the reference's mean,
    and `trace` that of the reference's covariance.
    """

    frames: NDArray[np.int64]
    rows: NDArray[np.int64]
    weights: Array
    projected: Array
    sums: Array
    projected_sums: Array
    squares: Array
    offset: Array
    trace: float

    @classmethod
    def of_frames(cls, reference: EmbeddingStats, rows: Array, frames: NDArray[np.int64]) -> SubsetDistances:
        """Of items whose frames are `rows`, `frames` of them per item.

        Raises:
            MetricsError: different dimensions.
        """
        same_dim(reference.mean[None], rows)
        factor, centre = covariance_factor(reference), rows.mean(axis=0)
        centred = rows - centre
        projected = centred @ factor.T
        starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
        return cls(
            frames,
            frames,
            np.ones(len(rows)),
            projected,
            np.add.reduceat(centred, starts, axis=0),  # items do not change: each is added up once
            np.add.reduceat(projected, starts, axis=0),
            np.add.reduceat(np.sum(centred**2, axis=1), starts),
            centre - reference.mean,
            float(np.sum(factor**2)),
        )

    @classmethod
    def of_moments(cls, reference: EmbeddingStats, items: Sequence[EmbeddingStats]) -> SubsetDistances:
        """Of items whose moments are given.

        Raises:
            MetricsError: different dimensions.
        """
        counts = np.array([item.count for item in items], dtype=np.int64)
        means = np.stack([item.mean for item in items])
        same_dim(reference.mean[None], means)
        factor, centre = covariance_factor(reference), np.asarray(counts @ means / counts.sum())
        ranks = [len(item.mean) if item.factor is None else len(item.factor) for item in items]
        sizes = np.array(ranks, dtype=np.int64) + 1
        ends, roots, squares = np.cumsum(sizes), np.sqrt(counts), np.empty(len(items))
        projected, weights = np.empty((ends[-1], len(factor))), np.zeros(ends[-1])  # the bulk of it all: held once
        for index, (item, end) in enumerate(zip(items, ends, strict=True)):
            rows = np.concatenate([item.scatter_factor(), roots[index] * (means[index] - centre)[None]])
            projected[end - len(rows) : end] = rows @ factor.T
            weights[end - 1] = roots[index]
            squares[index] = np.sum(rows**2)
        sums = counts[:, None] * (means - centre)
        return cls(
            counts,
            sizes,
            weights,
            projected,
            sums,
            sums @ factor.T,
            squares,
            centre - reference.mean,
            float(np.sum(factor**2)),
        )

    def of(self, chosen: NDArray[np.bool_]) -> Array:
        """One distance for each row of `chosen`, shape (subsets, items).

        Raises:
            MetricsError: a subset has fewer than two frames.
        """
        counts = chosen @ self.frames
        if counts.min() < 2:
            raise MetricsError(f"half of the items has {counts.min()} frame; at least 2 are needed for an interval")
        taken = chosen.astype(np.float64)
        means = taken @ self.sums / counts[:, None]
        projected_means = taken @ self.projected_sums / counts[:, None]
        shifts = np.sum((means + self.offset) ** 2, axis=1)
        traces = (taken @ self.squares - counts * np.sum(means**2, axis=1)) / (counts - 1)
        norms = [
            self._nuclear_norm(row, mean) / np.sqrt(count - 1)
            for row, mean, count in zip(chosen, projected_means, counts, strict=True)
        ]
        return np.asarray(shifts + self.trace + traces - 2 * np.array(norms))

    def _nuclear_norm(self, row: NDArray[np.bool_], mean: Array) -> float:
        """Of the subset's projected frames less their mean."""
        taken = np.flatnonzero(np.repeat(row, self.rows))
        rows = self.projected[taken]
        if len(rows) < rows.shape[1]:
            rows -= self.weights[taken, None] * mean
            gram = rows @ rows.T
        else:
            gram = rows.T @ rows - (row @ self.frames) * np.outer(mean, mean)
        return float(np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0)).sum())
