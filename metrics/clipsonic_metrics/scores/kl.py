"""Kullback-Leibler divergence between what a classifier hears in a sound and in its reference, paired by id.

    kl-reference-generated  KL(r || g) = sum over classes of r log(r / g)      audioldm_eval, av-benchmark, audiocraft
    kl-generated-reference  KL(g || r) = sum over classes of g log(g / r)      stable-audio-metrics

The field calls both "KL"; they are different numbers, so each has its own name here.

Conventions: reference and generated are a classifier's logits (not probabilities), item i of one belonging to item i
of the other: (items, classes), or (items, windows, classes) or a sequence of (windows, classes). r and g are the
softmax of an item's *mean logits over windows* (as stable-audio-metrics does; audiocraft has a softmax per segment),
and the score is the mean over items. In nats, lower is better, 0 iff all pairs agree. Nothing is added inside the
logarithm: tools that add 1e-6 report at most 13.8, however sure the classifier is of the opposite.
A softmax over AudioSet's classes, which are not exclusive, is the field's convention and ours.
Agrees with `scipy.special.rel_entr` to 1e-12 relative, see tests/metrics/test_kl.py.

Interval: of a mean over items (uncertainty.py); `per_item` has each pair's divergence.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from clipsonic_metrics.arrays import Array, Embeddings, item_means
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import LEVEL, mean_interval

NAME_REFERENCE_GENERATED = "kl-reference-generated"
NAME_GENERATED_REFERENCE = "kl-generated-reference"
VERSION = 1
UNIT = "nats"
DIRECTION: Direction = "lower"


def kl_reference_generated(
    reference: Embeddings, generated: Embeddings, *, seed: int = 0, level: float = LEVEL, protocol: str = "arrays"
) -> Score:
    """Mean KL(reference || generated) of paired logits, with `per_item`.

    Raises:
        MetricsError: unequal items or classes, fewer than two classes, or logits that are not finite.
    """
    left, right = _log_probabilities(reference, generated)
    return _score(NAME_REFERENCE_GENERATED, left, right, seed, level, protocol)


def kl_generated_reference(
    reference: Embeddings, generated: Embeddings, *, seed: int = 0, level: float = LEVEL, protocol: str = "arrays"
) -> Score:
    """Mean KL(generated || reference) of paired logits, with `per_item`; arguments in the order of its sibling.

    Raises:
        MetricsError: as `kl_reference_generated`.
    """
    left, right = _log_probabilities(reference, generated)
    return _score(NAME_GENERATED_REFERENCE, right, left, seed, level, protocol)


def log_probabilities(logits: Embeddings, name: str) -> Array:
    """Logarithm of the softmax of each item's mean logits, (items, classes)."""
    means = item_means(logits, name)
    if means.shape[1] < 2:
        raise MetricsError(f"{name} has {means.shape[1]} class; a distribution needs 2 or more")
    return np.asarray(log_softmax(means, axis=1))


def _log_probabilities(reference: Embeddings, generated: Embeddings) -> tuple[Array, Array]:
    left, right = log_probabilities(reference, "reference"), log_probabilities(generated, "generated")
    if left.shape != right.shape:
        found = (
            f"reference has {len(left)} items of dim {left.shape[1]}, generated {len(right)} of dim {right.shape[1]}"
        )
        raise MetricsError(f"{found}; pair by id, under one classifier")
    return left, right


def _score(name: str, p: Array, q: Array, seed: int, level: float, protocol: str) -> Score:
    per_item = np.maximum(np.sum(np.exp(p) * (p - q), axis=1), 0.0)  # below zero by rounding alone
    interval = mean_interval(per_item, seed=seed, level=level, within=(0, np.inf))
    return Score(
        name,
        VERSION,
        float(per_item.mean()),
        interval.low,
        interval.high,
        level,
        len(per_item),
        UNIT,
        DIRECTION,
        protocol_id(name, VERSION, protocol),
        interval.method,
        {"classes": p.shape[1]},
        per_item,
    )
