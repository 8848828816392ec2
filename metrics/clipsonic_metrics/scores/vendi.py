"""Vendi score: how many different sounds there effectively are in a set.

    VS = exp( - sum of l log l ),   l the eigenvalues of K / items, K_ij = cos(u_i, u_j)

Conventions: generated is (items, dim), (items, frames, dim), or a sequence of (frames, dim): a sound of several windows
is the normalised mean of its unit window vectors, as in the CLAP score, so that a long sound does not count as several.
Range 1 (all alike) to items (all orthogonal), higher is more diverse. It needs no reference, and noise is diverse: read
it beside a distance. It grows with the number of items: compare at equal numbers only.
Source: Friedman & Dieng 2023, "The Vendi Score", arXiv:2210.02410, definition 3.1.

Numerics: the eigenvalues come from the smaller of K, (items, items), and the second moment of the unit vectors,
(dim, dim), which has the same ones but for zeros. Rounding may make zeros slightly negative; they count as zero.

Interval: over items, by halves on the logarithm (uncertainty.py); it covers the expected score of as many items.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from clipsonic_metrics.arrays import Array, Embeddings, unit_items
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import (
    HALF_REPLICATES,
    LEVEL,
    everything_and_halves,
    exponential,
    half_sample_interval,
)

NAME = "vendi"
VERSION = 1
UNIT = "effective items"
DIRECTION: Direction = "higher"


def vendi(
    generated: Embeddings,
    *,
    seed: int = 0,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Score:
    """Vendi score of a set of sounds under the cosine kernel.

    Raises:
        MetricsError: rows that are zero or not finite.
    """
    vectors = unit_items(generated, "generated")
    items = len(vectors)
    chosen = everything_and_halves(items, seed=seed, replicates=replicates) > 0
    values = np.array([_entropy(vectors[taken]) for taken in chosen])
    value = float(values[0])
    score = min(max(float(np.exp(value)), 1.0), float(items))
    interval = exponential(half_sample_interval(value, values[1:], items, level=level)).around(score, (1, items))
    return Score(
        NAME,
        VERSION,
        score,
        interval.low,
        interval.high,
        level,
        items,
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, protocol),
        interval.method,
    )


def _entropy(vectors: Array) -> float:
    """Entropy in nats of the eigenvalues of the kernel of unit vectors over their number."""
    gram = vectors @ vectors.T if len(vectors) <= vectors.shape[1] else vectors.T @ vectors
    values = np.maximum(np.linalg.eigvalsh(gram / len(vectors)), 0.0)
    return max(-float(np.sum(xlogy(values, values))), 0.0)
