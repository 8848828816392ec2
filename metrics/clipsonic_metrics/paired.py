"""Difference of two means over the same items, with an interval over items.

    below 30 items  Student's t of the differences. Not corrected for skewness, as means of items are (uncertainty.py):
                    where two systems are alike, a_i - b_i is as often above zero as below, however skewed a and b are,
                    and a skewness seen in a few differences is chance. Corrected for it, systems that are alike
                    "differ" in up to 13 % of comparisons, and by plain t in 5 %. Systems of one mean whose items are
                    *not* alike, exponential ones against nearly constant ones, do so in 11 % at 6 items and 7 % at 29.
    from 30 on      bootstrap of the differences, as for a mean.

Items that are all 0 or 1 in both (hits, right answers) tell of a difference only where the two disagree. Below 30
items, or 10 that disagree, the interval is Newcombe's for paired proportions (Newcombe 1998, "Improved confidence
intervals for the difference between binomial proportions based on paired data", Statistics in Medicine 17, 2635-2650,
method 10). Where McNemar's exact test (the disagreements split like tosses of a fair coin) does not reject, its near
end is moved to zero. So no verdict "differs" is ever made that McNemar's test does not make too, and at 95 % the two
verdicts are the same.

Differences that are all the same are no evidence of their spread: below 30 items, and beyond where they are not zero,
there is no interval, hence no verdict.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr

from clipsonic_metrics.arrays import Array
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Difference, Direction
from clipsonic_metrics.seeds import check_seed
from clipsonic_metrics.uncertainty import (
    BOOTSTRAPPED_ITEMS,
    FEWEST_ITEMS,
    LEVEL,
    MEAN_REPLICATES,
    Interval,
    all_alike,
    bootstrap_mean,
    students_t,
    wilson,
)

FEWEST_DISAGREEMENTS = 10
"""Below, shares are compared by an exact test."""


def paired_mean_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    metric: str = "mean",
    level: float = LEVEL,
    replicates: int = MEAN_REPLICATES,
    protocol: str = "",
    direction: Direction | None = None,
) -> Difference:
    """Mean of a minus mean of b, both (items,) in the same order of items, with an interval over items. It cannot tell
    whether a and b are the same metric under one protocol: `compare_scores` can.

    Raises:
        MetricsError: different numbers of items, fewer than four, items that are not finite, or a seed below zero.
    """
    check_seed(seed)
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or len(left) < FEWEST_ITEMS:
        raise MetricsError(
            f"a has shape {left.shape} and b {right.shape}; expected {FEWEST_ITEMS} items or more, paired by id"
        )
    difference = left - right
    if not np.isfinite(difference).all():
        raise MetricsError(f"{np.count_nonzero(~np.isfinite(difference))} of {len(left)} items are NaN or infinite")
    value = float(difference.mean())
    interval = _interval(left, right, difference, seed, level, replicates).around(value)
    return Difference(
        metric, value, interval.low, interval.high, level, len(left), interval.method, protocol, direction
    )


def _interval(left: Array, right: Array, difference: Array, seed: int, level: float, replicates: int) -> Interval:
    items = len(difference)
    shares = all(bool(np.isin(side, (0.0, 1.0)).all()) for side in (left, right))
    largest = float(max(np.abs(left).max(), np.abs(right).max()))
    alike = all_alike(difference, largest)  # but for the rounding of what was subtracted
    if shares and (items < BOOTSTRAPPED_ITEMS or np.count_nonzero(difference) < FEWEST_DISAGREEMENTS or alike):
        return paired_shares(left, right, level=level)
    if alike and (items < BOOTSTRAPPED_ITEMS or difference.any()):
        return Interval(None, None, level, f"none: all {items} differences are the same, which shows no spread")
    if items < BOOTSTRAPPED_ITEMS:
        return students_t(difference, level)
    return bootstrap_mean(difference, seed=seed, level=level, replicates=replicates)


def paired_shares(left: Array, right: Array, *, level: float = LEVEL) -> Interval:
    """Newcombe's interval of the difference of two shares, items being 0 or 1, as far as McNemar's exact test bears it
    out."""
    items = len(left)
    both, first, second = (
        int(np.count_nonzero(chosen)) for chosen in (left * right, left * (1 - right), (1 - left) * right)
    )
    neither, unequal = items - both - first - second, first + second
    ends = [wilson(both + alone, items, level=level) for alone in (first, second)]
    (a_low, a_high), (b_low, b_high) = [
        (share - (end.low or 0.0), (1.0 if end.high is None else end.high) - share)
        for share, end in zip(((both + first) / items, (both + second) / items), ends, strict=True)
    ]
    margins = float(both + first) * (second + neither) * (both + second) * (first + neither)
    excess = float(both * neither - first * second)
    if excess > 0:
        excess = max(excess - items / 2, 0.0)  # continuity, as in method 10
    phi = excess / margins**0.5 if margins else 0.0
    value = (first - second) / items
    low = value - np.sqrt(max(a_low**2 - 2 * phi * a_low * b_high + b_high**2, 0.0))
    high = value + np.sqrt(max(a_high**2 - 2 * phi * a_high * b_low + b_low**2, 0.0))
    if mcnemar(first, second) >= 1 - level:
        low, high = min(low, 0.0), max(high, 0.0)
    method = f"Newcombe's for paired shares, McNemar's exact test over {unequal} of {items} items that disagree"
    return Interval(float(low), float(high), level, method).around(value, (-1, 1))


def mcnemar(first: int, second: int) -> float:
    """p-value of McNemar's exact test, two-sided, of how often the first alone and the second alone were right."""
    return min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5)))
