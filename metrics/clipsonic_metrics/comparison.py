"""Comparison of two systems by their scores: the difference of two means over the same items, with an interval.

    difference  mean over items of (a_i - b_i), as `per_item` of the scores holds them; interval of these
                differences (paired.py): what items share, easy ones and hard ones, cancels.

Only scores of one metric under one protocol are compared, and only on the same items. Scores of folders know the ids of
their items; of scores made from arrays only the number is known, and item i of both must answer the same query.
Distances between sets (FAD and its relatives) are no means over items: `paired_bootstrap_fad` compares those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from clipsonic_metrics.arrays import Array
from clipsonic_metrics.errors import MetricsError, NotComparable
from clipsonic_metrics.paired import paired_mean_difference
from clipsonic_metrics.score import Difference, Score
from clipsonic_metrics.uncertainty import LEVEL, MEAN_REPLICATES


def compare_scores(
    a: Score,
    b: Score,
    *,
    seed: int = 0,
    on: Sequence[str] | None = None,
    level: float = LEVEL,
    replicates: int = MEAN_REPLICATES,
) -> Difference:
    """Score a minus score b over their items, or over those with the ids `on`.

    Raises:
        NotComparable: another metric, another protocol, other items, or ids known of one alone.
        MetricsError: a metric that is no mean over items, ids asked for that are not known or not there, ids given
            twice, another number of ids than of values, fewer than four items, or values that are not finite.
    """
    if a.metric != b.metric:
        raise NotComparable(f"{a.metric} and {b.metric} are not compared; compare two scores of one metric")
    if a.protocol != b.protocol:
        raise NotComparable(
            f"{a.metric} was made under {a.protocol!r} and under {b.protocol!r}; score both systems the same way"
        )
    left, right = _values(a), _values(b)
    if (a.ids is None) != (b.ids is None):
        raise NotComparable(f"{a.metric}: the items of one score have ids, those of the other have none; give both ids")
    if on is not None:
        _require_ids(on)
        left, right = _of_items(a, left, on), _of_items(b, right, on)
    elif a.ids is not None and b.ids is not None and a.ids != b.ids:
        raise NotComparable(f"{a.metric} of other items: {_difference(a.ids, b.ids)}; name those in common by `on`")
    elif len(left) != len(right):
        raise NotComparable(f"{a.metric} of {len(left)} items and of {len(right)}; score both on the same items")
    return paired_mean_difference(
        left,
        right,
        seed=seed,
        metric=a.metric,
        level=level,
        replicates=replicates,
        protocol=a.protocol,
        direction=a.direction,
    )


def _values(score: Score) -> Array:
    if score.per_item is None:
        remedy = "compare sets by paired_bootstrap_fad, or by their intervals"
        raise MetricsError(f"{score.metric} is no mean over items and has no value of each; {remedy}")
    values = np.asarray(score.per_item, dtype=np.float64)
    if score.ids is not None:
        if len(score.ids) != len(values):
            raise MetricsError(f"{score.metric} has {len(score.ids)} ids of {len(values)} items; expected one of each")
        _require_ids(score.ids)
    return values


def _require_ids(ids: Sequence[str]) -> None:
    if isinstance(ids, str):
        raise MetricsError(f"ids are a single string, {ids!r}; expected a list of ids")
    twice = [id for id, count in Counter(ids).items() if count > 1]
    if twice:
        raise MetricsError(f"{len(twice)} ids are given more than once, first {twice[0]!r}; each item counts once")


def _of_items(score: Score, values: Array, on: Sequence[str]) -> Array:
    if score.ids is None:
        raise MetricsError(f"{score.metric} was made from arrays and knows no ids; leave `on` out")
    row = {id: index for index, id in enumerate(score.ids)}
    lacking = [id for id in on if id not in row]
    if lacking:
        raise NotComparable(f"{score.metric} has no item {lacking[0]!r} ({len(lacking)} of {len(on)} are not there)")
    return np.asarray(values[[row[id] for id in on]])


def _difference(a: Sequence[str], b: Sequence[str]) -> str:
    only = sorted(set(a) ^ set(b))
    if only:
        return f"{len(only)} are in one of the two alone, first {only[0]!r}"
    return "the same ones in another order"
