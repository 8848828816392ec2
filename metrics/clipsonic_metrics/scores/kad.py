"""Kernel audio distance: squared maximum mean discrepancy of two sets of sound embeddings, times 100.

    KAD = 100 (mean k(g, g') + mean k(r, r') - 2 mean k(g, r)),   k(u, v) = exp(-|u - v|^2 / (2 b^2))

Conventions: reference and generated are (items, dim), (items, frames, dim), or a sequence of (frames, dim). Lower is
better. The estimator is unbiased at any number of items, so small negative values are legitimate. Pairs of frames
within one item are left out of the first two means: frames of one sound resemble each other, and with them the
estimate would be biased. With one frame per item this is the U-statistic of the source.
Bandwidth b: the median distance between frames of the *reference*, over a seeded subsample of at most 2000; so
systems scored against one reference share it. It is recorded in `extra`.
Source: Chung et al. 2025, "KAD: No More FAD!", arXiv:2502.15602, eq. 5 to 7; Gretton et al. 2012, eq. 3.
Agrees with scikit-learn's `rbf_kernel` and an explicit U-statistic to 1e-12, see tests/metrics/test_kad.py.

Interval: over generated items, the reference held fixed; delete-half jackknife (uncertainty.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from clipsonic_metrics.arrays import Array, Embeddings, frames_of_items
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import (
    FEWEST_ITEMS,
    HALF_REPLICATES,
    LEVEL,
    half_sample_interval,
    half_samples,
    no_interval,
)

NAME = "kad"
VERSION = 1
UNIT = "100 x squared MMD"
DIRECTION: Direction = "lower"
BANDWIDTH_FRAMES = 2000
_BLOCK = 1024


def kad(
    reference: Embeddings,
    generated: Embeddings,
    *,
    seed: int,
    bandwidth: float | None = None,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Score:
    """Kernel audio distance of generated sounds from reference sounds; `bandwidth` None takes it from the reference.

    Raises:
        MetricsError: different dimensions, rows that are not finite, fewer than two items on a side, or a reference
            whose frames are all alike.
    """
    target, target_frames = frames_of_items(reference, "reference")
    rows, frames = frames_of_items(generated, "generated")
    if target.shape[1] != rows.shape[1]:
        raise MetricsError(f"reference has dim {target.shape[1]}, generated {rows.shape[1]}; use one embedder")
    items = len(frames)
    if min(items, len(target_frames)) < 2:
        raise MetricsError(f"KAD needs 2 items on each side; got {len(target_frames)} reference and {items} generated")
    width = median_distance(target, seed=seed) if bandwidth is None else bandwidth
    if not width > 0:
        raise MetricsError(f"kernel bandwidth is {width}, expected above 0; are the reference sounds all the same?")

    within_target = _between(_item_sums(target, target_frames, target, target_frames, width), target_frames)
    within = _item_sums(rows, frames, rows, frames, width)
    across = _item_sums(rows, frames, target, np.array([len(target)]), width)[:, 0] / len(target)

    def discrepancy(chosen: Array) -> Array:
        """KAD of subsets of items, `chosen` (subsets, items) of 0 and 1."""
        counts = chosen @ frames
        pairs = np.einsum("si,ij,sj->s", chosen, within, chosen, optimize=True) - chosen @ np.diag(within)
        among = pairs / (counts**2 - chosen @ frames**2)
        return np.asarray(100 * (among + within_target - 2 * (chosen @ across) / counts))

    value = float(discrepancy(np.ones((1, items)))[0])
    interval = no_interval(items, level)
    if items >= FEWEST_ITEMS:
        halves = discrepancy(half_samples(items, seed=seed, replicates=replicates).astype(np.float64))
        interval = half_sample_interval(value, halves, items, level=level)
    extra: dict[str, float | int | str] = {
        "bandwidth": width,
        "frames": len(rows),
        "reference_frames": len(target),
        "seed": seed,
    }
    return Score(
        NAME,
        VERSION,
        value,
        interval.low,
        interval.high,
        level,
        items,
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, protocol),
        interval.method,
        extra,
    )


def median_distance(rows: Array, *, seed: int, frames: int = BANDWIDTH_FRAMES) -> float:
    """Median Euclidean distance between two rows of a seeded subsample of at most `frames` rows."""
    if len(rows) > frames:
        rows = rows[np.random.default_rng(seed).choice(len(rows), frames, replace=False)]
    return float(np.median(pdist(rows)))


def _item_sums(a: Array, a_frames: NDArray[np.int64], b: Array, b_frames: NDArray[np.int64], width: float) -> Array:
    """Kernel summed over the frames of each pair of items, (items of a, items of b), in blocks of frames of a."""
    a_item = np.repeat(np.arange(len(a_frames)), a_frames)
    b_starts = np.concatenate([[0], np.cumsum(b_frames)[:-1]])
    sums = np.zeros((len(a_frames), len(b_frames)))
    for start in range(0, len(a), _BLOCK):
        block = slice(start, start + _BLOCK)
        kernel = np.exp(cdist(a[block], b, "sqeuclidean") / (-2 * width**2))
        np.add.at(sums, a_item[block], np.add.reduceat(kernel, b_starts, axis=1))
    return sums


def _between(sums: Array, frames: NDArray[np.int64]) -> float:
    """Mean of the kernel over pairs of frames of different items."""
    total = int(frames.sum())
    return float((sums.sum() - np.trace(sums)) / (total**2 - int((frames**2).sum())))
