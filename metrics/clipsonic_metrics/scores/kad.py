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
from scipy.spatial.distance import pdist

from clipsonic_metrics.arrays import Array, Embeddings, frames_of_items, same_dim
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.mmd import Kernel, squared_mmd
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.seeds import generator
from clipsonic_metrics.uncertainty import HALF_REPLICATES, LEVEL, everything_and_halves, half_sample_interval

NAME = "kad"
VERSION = 1
UNIT = "100 x squared MMD"
DIRECTION: Direction = "lower"
BANDWIDTH_FRAMES = 2000


def kad(
    reference: Embeddings,
    generated: Embeddings,
    *,
    seed: int = 0,
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
    same_dim(target, rows)
    items = len(frames)
    if min(items, len(target_frames)) < 2:
        raise MetricsError(f"KAD needs 2 items on each side; got {len(target_frames)} reference and {items} generated")
    width = median_distance(target, seed=seed) if bandwidth is None else bandwidth
    if not width > 0:
        raise MetricsError(f"kernel bandwidth is {width}, expected above 0; are the reference sounds all the same?")

    centre = target.mean(axis=0)  # distances do not change, and keep their digits when taken from inner products
    chosen = everything_and_halves(items, seed=seed, replicates=replicates)
    values = 100 * squared_mmd(target - centre, target_frames, rows - centre, frames, gaussian(width), chosen)
    value = float(values[0])
    interval = half_sample_interval(value, values[1:], items, level=level)
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
        protocol_id(NAME, VERSION, f"{_bandwidth_rule(bandwidth, len(target), seed)}/{protocol}"),
        interval.method,
        extra,
    )


def _bandwidth_rule(bandwidth: float | None, rows: int, seed: int) -> str:
    """What decides the bandwidth, as a part of the protocol id."""
    if bandwidth is not None:
        return f"bw-{bandwidth:g}"
    return "bw-median" if rows <= BANDWIDTH_FRAMES else f"bw-median{BANDWIDTH_FRAMES}-seed{seed}"


def median_distance(rows: Array, *, seed: int, frames: int = BANDWIDTH_FRAMES) -> float:
    """Median Euclidean distance between two rows of a seeded subsample of at most `frames` rows."""
    if len(rows) > frames:
        rows = rows[generator(seed).choice(len(rows), frames, replace=False)]
    return float(np.median(pdist(rows)))


def gaussian(width: float) -> Kernel:
    """exp(-|u - v|^2 / (2 width^2))."""

    def kernel(a: Array, b: Array) -> Array:
        squares = a @ b.T
        squares *= -2
        squares += np.sum(a * a, axis=1)[:, None]
        squares += np.sum(b * b, axis=1)
        np.maximum(squares, 0, out=squares)
        squares /= -2 * width**2
        return np.asarray(np.exp(squares, out=squares))

    return kernel
