"""Fréchet audio distance: how far two sets of sounds are apart, each seen as a Gaussian of embeddings.

Conventions: reference and generated are (items, dim), (items, frames, dim), or a sequence of (frames, dim); all frames
of a set are pooled. Lower is better; 0 iff means and covariances agree; unit: squared embedding units. Biased upward
for few frames by an amount of order dim / frames: compare systems at equal numbers of items only.
Source: Kilgour et al. 2019, "Fréchet Audio Distance", arXiv:1812.08466, eq. 1; the distance itself is frechet.py.

Interval: over generated items, the reference held fixed; delete-half jackknife (uncertainty.py), because a bootstrap's
duplicates raise FAD. It covers the expected FAD of this many items, which is what `value` estimates.

Extra: `bias` is the part of value that comes from having this many generated items (mean over halves minus value);
`extrapolated`, with `extrapolated_low` and `extrapolated_high`, is value minus bias: the distance of infinitely many
items of this system from this reference. The three are given where a half has at least 2 dim frames, since below that
the bias does not yet fall as 1/n.
"""

from __future__ import annotations

import numpy as np

from clipsonic_metrics.arrays import Array, Embeddings, frames_of_items
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.frechet import covariance_factor, frechet_distance
from clipsonic_metrics.score import Difference, Direction, Score, protocol_id
from clipsonic_metrics.stats import EmbeddingStats
from clipsonic_metrics.uncertainty import (
    FEWEST_ITEMS,
    HALF_REPLICATES,
    LEVEL,
    half_sample_interval,
    half_samples,
    no_interval,
)

NAME = "fad"
VERSION = 1
UNIT = "squared distance"
DIRECTION: Direction = "lower"


def fad(
    reference: Embeddings | EmbeddingStats,
    generated: Embeddings,
    *,
    seed: int = 0,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Score:
    """Fréchet audio distance of generated sounds from reference sounds.

    Raises:
        MetricsError: different dimensions, rows that are not finite, or fewer than two frames on a side.
    """
    target = _reference(reference)
    rows, frames = frames_of_items(generated, "generated")
    value = frechet_distance(target, EmbeddingStats.of(rows, target.protocol))
    items = len(frames)
    extra: dict[str, float | int | str] = {"frames": len(rows), "reference_frames": target.count}
    interval = no_interval(items, level)
    if items >= FEWEST_ITEMS:
        chosen = half_samples(items, seed=seed, replicates=replicates)
        halves = _Replicates(target, rows, frames).distances(chosen)
        interval = half_sample_interval(value, halves, items, level=level)
        assert interval.low is not None and interval.high is not None
        if chosen[0] @ frames >= 2 * target.dim:
            bias = float(halves.mean()) - value
            extra |= {"bias": bias, "extrapolated": value - bias}
            extra |= {"extrapolated_low": interval.low - bias, "extrapolated_high": interval.high - bias}
    low = None if interval.low is None else max(interval.low, 0.0)
    return Score(
        NAME,
        VERSION,
        value,
        low,
        interval.high,
        level,
        items,
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, protocol),
        interval.method,
        extra,
    )


def paired_bootstrap_fad(
    reference: Embeddings | EmbeddingStats,
    a: Embeddings,
    b: Embeddings,
    *,
    seed: int,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
) -> Difference:
    """FAD of a minus FAD of b, where item i of both answers the same query; interval over items.

    Both are resampled with the same halves, so what they share, finite-sample bias included, cancels to first order.

    Raises:
        MetricsError: different numbers of items, fewer than four, or what `fad` raises.
    """
    target = _reference(reference)
    left, left_frames = frames_of_items(a, "a")
    right, right_frames = frames_of_items(b, "b")
    items = len(left_frames)
    if len(right_frames) != items:
        raise MetricsError(f"a has {items} items and b {len(right_frames)}; pair them by id first")
    chosen = half_samples(items, seed=seed, replicates=replicates)
    value = frechet_distance(target, EmbeddingStats.of(left, target.protocol)) - frechet_distance(
        target, EmbeddingStats.of(right, target.protocol)
    )
    halves = _Replicates(target, left, left_frames).distances(chosen) - _Replicates(
        target, right, right_frames
    ).distances(chosen)
    interval = half_sample_interval(value, halves, items, level=level)
    assert interval.low is not None and interval.high is not None
    return Difference(NAME, value, interval.low, interval.high, level, items, interval.method)


def _reference(reference: Embeddings | EmbeddingStats) -> EmbeddingStats:
    if isinstance(reference, EmbeddingStats):
        return reference
    return EmbeddingStats.of(frames_of_items(reference, "reference")[0])


class _Replicates:
    """Fréchet distances of many subsets of items from one reference, which is factored once.

    A subset costs one product of (rows, dim) frames and one symmetric eigenvalue problem, on whichever side is
    smaller. Eigenvalues of the Gram matrix are good to 1e-8 relative here: enough for an interval, not for a value.
    """

    def __init__(
        self, reference: EmbeddingStats, rows: Array, frames: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> None:
        if rows.shape[1] != reference.dim:
            raise MetricsError(f"reference has dim {reference.dim}, generated {rows.shape[1]}; use one embedder")
        factor = covariance_factor(reference)
        centre = rows.mean(axis=0)  # of all items: subsets are then nearly centred, and no digits are lost
        self._offset = centre - reference.mean
        self._rows = rows - centre
        self._projected = self._rows @ factor.T
        self._squares = np.sum(self._rows**2, axis=1)
        self._frames = frames
        self._trace = float(np.sum(factor**2))

    def distances(self, chosen: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Array:
        """One distance for each row of `chosen`, shape (replicates, items)."""
        return np.array([self._distance(np.repeat(row, self._frames)) for row in chosen])

    def _distance(self, taken: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
        n = int(np.count_nonzero(taken))
        if n < 2:
            raise MetricsError(f"half of the items has {n} frame; at least 2 are needed for an interval")
        share = taken / n
        mean = share @ self._rows
        shift = float(np.sum((mean + self._offset) ** 2))
        trace = float(self._squares[taken].sum() - n * (mean @ mean)) / (n - 1)
        projected = self._projected[taken]
        centred = (projected - projected.mean(axis=0)) / np.sqrt(n - 1)
        gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
        return shift + self._trace + trace - 2 * float(roots.sum())
