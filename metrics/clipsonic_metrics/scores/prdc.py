"""Precision, recall, density and coverage: fidelity and diversity apart, by balls around the nearest neighbours.

With B(x) the ball around x that reaches its k-th nearest neighbour within x's own set:

    precision  share of generated items in B(r) of some reference item r
    recall     share of reference items in B(g) of some generated item g         Kynkäänniemi et al. 2019, 1904.06991
    density    mean over generated items of how many B(r) they are in, over k
    coverage   share of reference items r with a generated item in B(r)          Naeem et al. 2020, arXiv:2002.09797

Conventions: reference and generated are (items, dim), (items, frames, dim), or a sequence of (frames, dim); an item is
the mean of its frames, since frames of one sound would be each other's neighbours. Euclidean distance; balls include
their surface. All four: higher is better; 0 to 1, density above. Every one depends on k and on the number of items on
*both* sides: compare at equal ones only (k is part of the protocol). Distances are taken in blocks, from differences
and not from inner products, so that a copy is at distance zero exactly.
Agrees with torch-fidelity 0.4 `calculate_precision_recall_full` and with loops over all pairs, see
tests/metrics/test_prdc.py.

Intervals: over generated items, the reference held fixed. Precision: Wilson; density: bootstrap; both are means over
generated items (`per_item`). Recall and coverage are unions of the generated items' balls: delete-one jackknife, exact
(uncertainty.py); none where fewer than four items change the value (a collapsed or a saturated system).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from clipsonic_metrics.arrays import Array, Embeddings, item_means, same_dim
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import (
    LEVEL,
    jackknife_share,
    mean_interval,
    wilson,
)

NAMES = ("precision", "recall", "density", "coverage")
VERSION = 1
UNIT = "share"
DIRECTION: Direction = "higher"
K = 5
_BLOCK = 512


def prdc(
    reference: Embeddings,
    generated: Embeddings,
    *,
    k: int = K,
    seed: int = 0,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> dict[str, Score]:
    """Precision, recall, density and coverage of generated sounds, by name.

    Raises:
        MetricsError: different dimensions, rows that are not finite, k below 1, or no more than k items on a side.
    """
    target, items = item_means(reference, "reference"), item_means(generated, "generated")
    same_dim(target, items)
    fewest = min(len(target), len(items))
    if not 1 <= k < fewest:
        raise MetricsError(
            f"k = {k} neighbours with {len(target)} reference and {len(items)} generated items; needs more"
        )
    in_reference, coverage, coverage_without = _in_reference_balls(target, items, k)
    recall, recall_without = _in_generated_balls(target, items, k)
    inside, density = (in_reference > 0).astype(np.float64), in_reference / k
    found = {
        "precision": (float(inside.mean()), wilson(float(inside.sum()), len(items), level=level), inside),
        "recall": (recall, jackknife_share(recall, recall_without, level=level), None),
        "density": (float(density.mean()), mean_interval(density, seed=seed, level=level, within=(0, np.inf)), density),
        "coverage": (coverage, jackknife_share(coverage, coverage_without, level=level), None),
    }
    return {
        name: Score(
            name,
            VERSION,
            value,
            interval.low,
            interval.high,
            level,
            len(items),
            "balls over k" if name == "density" else UNIT,
            DIRECTION,
            protocol_id(name, VERSION, f"k{k}/{protocol}"),
            interval.method,
            {"k": k, "reference_items": len(target)},
            per_item,
        )
        for name, (value, interval, per_item) in found.items()
    }


def _in_reference_balls(target: Array, items: Array, k: int) -> tuple[Array, float, Array]:
    """How many reference balls each generated item is in; coverage; coverage without each generated item."""
    counts, lost, covered = np.zeros(len(items)), np.zeros(len(items)), 0
    for start in range(0, len(target), _BLOCK):
        block = target[start : start + _BLOCK]
        radius = _nearest(block, target, k, start)[1][:, k - 1]
        inside = cdist(block, items) <= radius[:, None]
        counts += inside.sum(axis=0)
        hits = inside.sum(axis=1)
        covered += int(np.count_nonzero(hits))
        lost += inside[hits == 1].sum(axis=0)  # balls that this item alone is in
    return counts, covered / len(target), (covered - lost) / len(target)


def _in_generated_balls(target: Array, items: Array, k: int) -> tuple[float, Array]:
    """Recall; and recall without each generated item, empty where too few are left for k neighbours.

    Without item i its ball is gone, and the balls that reached as far as i, or had i inside, reach one neighbour on.
    """
    n = len(items)
    reach = min(k + 1, n - 1)
    parts = [_nearest(items[start : start + _BLOCK], items, reach, start) for start in range(0, n, _BLOCK)]
    neighbours, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
    radius = distances[:, k - 1]
    owners = np.repeat(np.arange(n), k)
    near = csr_array((np.ones(n * k), (owners, neighbours[:, :k].ravel())), shape=(n, n))
    hits, without = 0, np.zeros(n)
    for start in range(0, len(target), _BLOCK):
        between = cdist(target[start : start + _BLOCK], items)
        inside = between <= radius
        hits += int(np.count_nonzero(inside.any(axis=1)))
        if reach > k:
            gained = ((between <= distances[:, k]) & ~inside).astype(np.float64)
            left = inside.sum(axis=1)[:, None] - inside + gained @ near
            without += np.count_nonzero(left > 0, axis=0)
    return hits / len(target), without / len(target) if reach > k else np.empty(0)


def _nearest(block: Array, rows: Array, k: int, offset: int) -> tuple[NDArray[np.int64], Array]:
    """The k nearest rows to each of `block`, which begins at `offset` of rows, and their distances, nearest first."""
    between = cdist(block, rows)
    between[np.arange(len(block)), offset + np.arange(len(block))] = np.inf
    found = np.argpartition(between, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(between, found, axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)
