"""Intervals over items: which scheme, why, and what it covers.

Means of items (`mean_interval`)
    From 30 items on, a percentile bootstrap, with the tail areas widened for small samples ("expanded percentile",
    Hesterberg 2015, doi:10.1080/00031305.2015.1089789): alpha/2 becomes Phi(-sqrt(n/(n-1)) t_{1-alpha/2, n-1}).
    Below, a bootstrap knows too little of the tails. There, Student's t, with the skewness g of the items taken out of
    the statistic by Hall's cubic (Hall 1992, doi:10.1111/j.2517-6161.1992.tb01872.x):
    t + g t^2 / (3 sqrt n) + g^2 t^3 / (27 n) + g / (6 sqrt n) is compared with t_{n-1}, and solved for the mean.
    Symmetric items have Student's interval, skewed ones a longer reach on the side of the tail. (A bootstrap of t does
    as well from 10 items on, and below is several times as wide.) Fewer than 30 items that are all the same show
    nothing of their spread, and have no interval. Differences of two systems are another matter: paired.py.

Proportions (`wilson`)
    Wilson's score interval: a bootstrap of twelve right answers out of twelve would say [1, 1].

Distances between sets (`half_samples`, `half_sample_interval`)
    A bootstrap draws duplicates, and duplicates push FAD and KAD upward. So each replicate is a random half of the
    items *without* replacement (delete-half jackknife, Shao & Wu 1989, doi:10.1214/aos/1176347263): for a statistic
    that is linear to first order, the variance over halves equals that of the full sample. When the two
    distributions nearly agree, the quadratic term dominates and the spread is overstated by up to sqrt(3): too wide,
    never too narrow. Halves come in complementary pairs, so the linear part has mean zero exactly. The interval is
    value -+ t_{n-1} * standard error, and covers the expectation of the statistic at this n. Where the bias falls as
    1/n, mean over halves minus value estimates it: value minus that is the extrapolation to n = infinity.

Shares that a set has as a whole (`jackknife_share`)
    Recall and coverage are unions of balls: neither smooth nor linear. Leaving out each item in turn gives a variance
    that is not below the true one in expectation for any symmetric statistic (Efron & Stein 1981,
    doi:10.1214/aos/1176345462). The share p so behaves like one of p (1 - p) / variance independent trials, and
    Wilson's interval of these stays inside 0 to 1 and is lopsided near the ends, as it should be.

Entropies of sets (`half_sample_interval` of a logarithm)
    Vendi and inception scores are exponentials of entropies of means over items: the halves' spread is taken on the
    logarithm. Both grow with the number of items, so the interval covers the expectation at this number.

All functions take a seed and never touch a global generator. Coverage is simulated in tests/metrics/test_coverage.py
and tests/metrics/test_uncertainty.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit  # the digits of scipy.stats, without its seconds of import

from clipsonic_metrics.arrays import Array
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.seeds import check_seed, generator

LEVEL = 0.95
MEAN_REPLICATES = 2000
HALF_REPLICATES = 200
FEWEST_ITEMS = 4
BOOTSTRAPPED_ITEMS = 30


@dataclass(frozen=True)
class Interval:
    """Ends of an interval at `level`, None when unknown, and how it was made."""

    low: float | None
    high: float | None
    level: float
    method: str

    def around(self, value: float, within: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """The same, cut off at the ends of `within`, and holding `value` where rounding had put an end beyond it."""
        if self.low is None or self.high is None:
            return self
        least, most = within
        low, high = min(max(self.low, least), value), max(min(self.high, most), value)
        return replace(self, low=float(low), high=float(high))


def mean_interval(
    per_item: ArrayLike,
    *,
    seed: int,
    level: float = LEVEL,
    replicates: int = MEAN_REPLICATES,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Interval of the mean of `per_item`, shape (items,): by the number of items none (below 4), Student's t corrected
    for skewness (below 30; none where all are the same), or a bootstrap. It ends where `within`, the range of what an
    item can be, does.

    Raises:
        MetricsError: a seed below zero.
    """
    check_seed(seed)
    values = np.asarray(per_item, dtype=np.float64)
    n = len(values)
    if n < FEWEST_ITEMS:
        return no_interval(n, level)
    if n >= BOOTSTRAPPED_ITEMS:
        found = bootstrap_mean(values, seed=seed, level=level, replicates=replicates)
    elif all_alike(values, float(np.abs(values).max())):
        return Interval(None, None, level, f"none: all {n} items have the same value, which shows no spread")
    else:
        found = _skewed_t(values, level)
    return found.around(float(values.mean()), within)


def all_alike(values: Array, largest: float) -> bool:
    """Whether values differ by no more than the rounding of numbers as large as `largest`."""
    return bool(np.ptp(values) <= 8 * np.finfo(np.float64).eps * largest)


def _centred(values: Array) -> tuple[Array, int]:
    """Values less their mean, in units of 2^exponent that make the largest about 1, so that no power of them leaves the
    range of a float; and the exponent. A power of two changes no digit."""
    centred = values - values.mean()
    exponent = int(np.frexp(np.abs(centred).max())[1])
    return np.ldexp(centred, -exponent), exponent


def students_t(values: Array, level: float) -> Interval:
    """Student's interval of the mean of values that are not all alike."""
    n, mean = len(values), float(values.mean())
    centred, exponent = _centred(values)
    reach = float(np.ldexp(stdtrit(n - 1, (1 + level) / 2) * centred.std(ddof=1) / np.sqrt(n), exponent))
    return Interval(mean - reach, mean + reach, level, f"Student's t({n - 1}) over items")


def _skewed_t(values: Array, level: float) -> Interval:
    n, mean = len(values), float(values.mean())
    centred, exponent = _centred(values)
    error = float(np.ldexp(centred.std(ddof=1) / np.sqrt(n), exponent))
    method = f"Student's t({n - 1}) over items, corrected for skewness"
    skewness = float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)
    reach = float(stdtrit(n - 1, (1 + level) / 2))

    def uncorrected(x: float) -> float:
        """The t whose corrected value is x: the root of Hall's cubic."""
        beside = x / np.sqrt(n) - skewness / (6 * n)
        root = np.cbrt(1 + skewness * beside)
        return float(3 * np.sqrt(n) * beside / (root * root + root + 1))

    return Interval(mean - error * uncorrected(reach), mean - error * uncorrected(-reach), level, method)


def bootstrap_mean(
    per_item: ArrayLike, *, seed: int, level: float = LEVEL, replicates: int = MEAN_REPLICATES
) -> Interval:
    """Interval of the mean of `per_item`, shape (items,); none for fewer than four. Too narrow below 30."""
    values = np.asarray(per_item, dtype=np.float64)
    n = len(values)
    if n < FEWEST_ITEMS:
        return no_interval(n, level)
    tail = ndtr(-np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + level) / 2))
    rng = generator(seed)
    means = np.empty(replicates)
    rows = max(1, 2_000_000 // n)  # bounds the memory of the index array
    for start in range(0, replicates, rows):
        stop = min(start + rows, replicates)
        means[start:stop] = values[rng.integers(0, n, (stop - start, n))].mean(axis=1)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(
        float(low), float(high), level, f"expanded percentile bootstrap over items, {replicates} replicates"
    )


def wilson(successes: float, items: float, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of `successes` out of `items`; conservative when items count by fractions."""
    z = float(ndtri((1 + level) / 2))
    share = successes / items
    centre = (share + z * z / (2 * items)) / (1 + z * z / items)
    half = z / (1 + z * z / items) * float(np.sqrt(share * (1 - share) / items + z * z / (4 * items * items)))
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    high = 1.0 if successes >= items else min(1.0, centre + half)  # which centre + half is but for rounding
    return Interval(low, high, level, "Wilson score interval over items").around(share)


def half_samples(items: int, *, seed: int, replicates: int = HALF_REPLICATES) -> NDArray[np.bool_]:
    """Random halves without replacement, shape (replicates, items), items // 2 True in each row.

    Rows 2i and 2i + 1 are disjoint. With an odd number of items, each pair leaves out one.
    """
    if items < FEWEST_ITEMS:
        raise MetricsError(f"{items} items cannot be halved; at least {FEWEST_ITEMS} are needed for an interval")
    half, pairs = items // 2, (replicates + 1) // 2
    order = generator(seed).random((pairs, items)).argsort(axis=1)
    chosen = np.stack([order < half, (order >= half) & (order < 2 * half)], axis=1)
    return chosen.reshape(2 * pairs, items)


def everything_and_halves(items: int, *, seed: int, replicates: int = HALF_REPLICATES) -> Array:
    """All items in row 0 and `half_samples` below it, as 0 and 1; row 0 alone where there are too few to halve."""
    rows = np.ones((1, items))
    if items < FEWEST_ITEMS:
        return rows
    return np.concatenate([rows, half_samples(items, seed=seed, replicates=replicates).astype(np.float64)])


def half_sample_error(replicates: Array, items: int) -> float:
    """Standard error of a statistic of `items` items from its values on halves of them."""
    half = items // 2
    return float(replicates.std() * np.sqrt(half / (items - half)))


def half_sample_interval(
    value: float,
    replicates: Array,
    items: int,
    *,
    level: float = LEVEL,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Interval around `value` from the statistic's values on `half_samples`, cut off at the ends of its range `within`;
    none where there are no halves."""
    if not len(replicates):
        return no_interval(items, level)
    reach = float(stdtrit(items - 1, (1 + level) / 2)) * half_sample_error(replicates, items)
    method = f"delete-half jackknife over items, {len(replicates)} replicates, t({items - 1})"
    return Interval(value - reach, value + reach, level, method).around(value, within)


def exponential(interval: Interval) -> Interval:
    """The interval of a score from that of its logarithm; infinite where the logarithm's end is beyond any float."""
    if interval.low is None or interval.high is None:
        return interval
    with np.errstate(over="ignore"):
        low, high = float(np.exp(interval.low)), float(np.exp(interval.high))
    return replace(interval, low=low, high=high, method=f"{interval.method}, of the logarithm")


def jackknife_share(share: float, without_each: Array, *, level: float = LEVEL) -> Interval:
    """Interval of a share in 0 to 1 from its values without each item, shape (items,).

    None where fewer than four items change it: a system that has collapsed, or covers everything, shows nothing of its
    spread.
    """
    n = len(without_each)
    if n < FEWEST_ITEMS:
        return no_interval(n, level)
    changing = int(np.count_nonzero(np.abs(without_each - share) > 1e-12))
    if changing < FEWEST_ITEMS or not 0 < share < 1:
        return Interval(None, None, level, f"none: {changing} items change the value, {FEWEST_ITEMS} needed")
    variance = (n - 1) / n * float(np.sum((without_each - without_each.mean()) ** 2))
    effective = share * (1 - share) / variance
    method = f"delete-one jackknife over items as {effective:.1f} trials of Wilson's score interval"
    return replace(wilson(share * effective, effective, level=level), method=method).around(share)


def no_interval(items: int, level: float) -> Interval:
    return Interval(None, None, level, f"none: {items} items, {FEWEST_ITEMS} needed")
