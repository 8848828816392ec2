"""Inception score: how sure a classifier is of each sound, and how many classes they spread over.

    IS = exp( mean over items of KL(p_i || p) ),   p the mean of all p_i

Conventions: generated is a classifier's logits (not probabilities): (items, classes), or (items, windows, classes) or a
sequence of (windows, classes); p_i is the softmax of an item's mean logits over windows. Range 1 to the smaller of
items and classes, higher is better. It needs no reference, and a system that makes one perfect sound per class has the
best score there is: read it beside a distance. All items are used at once: the usual mean over 10 splits depends on
their order and is lower, since the score falls with fewer items. Compare at equal numbers of items only.
Source: Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498, section 4. Agrees with
torch-fidelity 0.4 `isc_features_to_metric` in one split to 1e-12 relative, see tests/metrics/test_inception_score.py.

Interval: over items, by halves on the logarithm (uncertainty.py); it covers the expected score of as many items.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from clipsonic_metrics.arrays import Array, Embeddings
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.scores.kl import log_probabilities
from clipsonic_metrics.uncertainty import (
    HALF_REPLICATES,
    LEVEL,
    everything_and_halves,
    exponential,
    half_sample_interval,
)

NAME = "inception-score"
VERSION = 1
UNIT = "effective classes"
DIRECTION: Direction = "higher"


def inception_score(
    generated: Embeddings,
    *,
    seed: int = 0,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Score:
    """Inception score of a set of sounds, from logits.

    Raises:
        MetricsError: fewer than two classes, or logits that are not finite.
    """
    logs = log_probabilities(generated, "generated")
    items, classes = logs.shape
    values = _log_scores(logs, everything_and_halves(items, seed=seed, replicates=replicates))
    value, most = max(float(values[0]), 0.0), min(items, classes)
    score = min(float(np.exp(value)), float(most))
    interval = exponential(half_sample_interval(value, values[1:], items, level=level)).around(score, (1, most))
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
        {"classes": classes},
    )


def _log_scores(logs: Array, chosen: Array) -> Array:
    """Entropy of the mean distribution less the mean entropy, for subsets of items, `chosen` (subsets, items)."""
    probabilities = np.exp(logs)
    counts = chosen.sum(axis=1)
    marginal = chosen @ probabilities / counts[:, None]
    certainty = chosen @ np.sum(probabilities * logs, axis=1) / counts
    return np.asarray(certainty - np.sum(xlogy(marginal, marginal), axis=1))
