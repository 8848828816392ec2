"""Kernel inception distance: squared maximum mean discrepancy with a cubic kernel.

    KID = mean k(g, g') + mean k(r, r') - 2 mean k(g, r),   k(u, v) = (u.v / dim + 1)^3

Conventions: reference and generated are (items, dim), (items, frames, dim), or a sequence of (frames, dim). Lower is
better; small negative values are legitimate, since the estimator is unbiased at any number of items. Pairs of frames
within one item are left out of the first two means (mmd.py). All items are used at once: the mean over random subsets
that other tools report has this value for its expectation, and their draw for noise. Unlike KAD it has no bandwidth to
choose, and unlike KAD it depends on the scale of the embeddings: compare under one embedder only.
Source: Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401, section 3. Agrees with torchmetrics 1.9
`poly_mmd` to 1e-10 relative at one frame per item and equal counts, see tests/metrics/test_kid.py.

Interval: over generated items, the reference held fixed; delete-half jackknife (uncertainty.py).
"""

from __future__ import annotations

import numpy as np

from clipsonic_metrics.arrays import Array, Embeddings, frames_of_items, same_dim
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.mmd import squared_mmd
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import HALF_REPLICATES, LEVEL, everything_and_halves, half_sample_interval

NAME = "kid"
VERSION = 1
UNIT = "squared MMD"
DIRECTION: Direction = "lower"


def kid(
    reference: Embeddings,
    generated: Embeddings,
    *,
    seed: int = 0,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Score:
    """Kernel inception distance of generated sounds from reference sounds; the seed moves the interval alone.

    Raises:
        MetricsError: different dimensions, rows that are not finite, or fewer than two items on a side.
    """
    target, target_frames = frames_of_items(reference, "reference")
    rows, frames = frames_of_items(generated, "generated")
    same_dim(target, rows)
    items = len(frames)
    if min(items, len(target_frames)) < 2:
        raise MetricsError(f"KID needs 2 items on each side; got {len(target_frames)} reference and {items} generated")
    chosen = everything_and_halves(items, seed=seed, replicates=replicates)
    values = squared_mmd(target, target_frames, rows, frames, cubic, chosen)
    value = float(values[0])
    interval = half_sample_interval(value, values[1:], items, level=level)
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
        {"frames": len(rows), "reference_frames": len(target)},
    )


def cubic(a: Array, b: Array) -> Array:
    """(u.v / dim + 1)^3 of every row u of a and v of b."""
    inner = a @ b.T / a.shape[1] + 1
    return np.asarray(inner * inner * inner)
