"""Factor accuracy: how often a probe hears in a sound what the query asked for, one score per factor.

Conventions: logits map a factor's name to (items, classes); truth maps it to (items,) class indices. Where a factor was
not asked for, leave the item out of both. A tie between classes counts as its share. Range 0 to 1, higher is better;
`extra` holds chance, 1 / classes. The probe errs too: read it beside its accuracy on real sounds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from clipsonic_metrics.arrays import matrix
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import LEVEL, wilson

NAME = "factor-accuracy"
VERSION = 1
UNIT = "share"
DIRECTION: Direction = "higher"


def factor_accuracy(
    logits: Mapping[str, ArrayLike], truth: Mapping[str, ArrayLike], *, level: float = LEVEL, protocol: str = "arrays"
) -> dict[str, Score]:
    """Accuracy of each factor of `truth`, with `per_item`; the metric is named `factor-accuracy/FACTOR`.

    Raises:
        MetricsError: a factor without logits, unequal items, or a class index out of range.
    """
    missing = sorted(set(truth) - set(logits))
    if missing:
        raise MetricsError(f"no logits for factors {', '.join(missing)}; the probe knows {', '.join(sorted(logits))}")
    return {factor: _accuracy(factor, logits[factor], truth[factor], level, protocol) for factor in truth}


def _accuracy(factor: str, logits: ArrayLike, truth: ArrayLike, level: float, protocol: str) -> Score:
    scores, labels = matrix(logits, f"logits of {factor}"), np.asarray(truth)
    items, classes = scores.shape
    if labels.shape != (items,) or labels.dtype.kind not in "iu":
        raise MetricsError(f"truth of {factor} is {labels.dtype} {labels.shape}; expected {items} class indices")
    if labels.min() < 0 or labels.max() >= classes:
        raise MetricsError(f"truth of {factor} spans {labels.min()} to {labels.max()}; expected 0 to {classes - 1}")
    best = scores == scores.max(axis=1, keepdims=True)
    per_item = best[np.arange(items), labels] / best.sum(axis=1)
    interval = wilson(float(per_item.sum()), items, level=level)
    return Score(
        f"{NAME}/{factor}",
        VERSION,
        float(per_item.mean()),
        interval.low,
        interval.high,
        level,
        items,
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, protocol),
        interval.method,
        {"chance": 1 / classes},
        per_item,
    )
