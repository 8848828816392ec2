"""Intervals: oracles, invariants and coverage."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.proportion import proportion_confint

from clipsonic_metrics import (
    EmbeddingStats,
    MetricsError,
    clap_score,
    fad,
    fad_infinity,
    frechet_distance,
    inception_score,
    kad,
    kid,
    modality_gap,
    paired_bootstrap_fad,
    prdc,
    vendi,
)
from clipsonic_metrics.paired import paired_mean_difference
from clipsonic_metrics.uncertainty import bootstrap_mean, half_samples, mean_interval, wilson


def test_bootstrap_agrees_with_scipy_at_the_widened_level() -> None:
    values = np.random.default_rng(0).gamma(2, size=30)
    ours = bootstrap_mean(values, seed=0, replicates=20_000)
    tail = scipy.stats.norm.cdf(-np.sqrt(30 / 29) * scipy.stats.t.ppf(0.975, 29))
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=1 - 2 * tail, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.01)


def test_few_items_have_students_interval_where_they_are_symmetric_and_halls_where_not() -> None:
    symmetric = np.array([-3.0, -1, -0.5, 0.5, 1, 3]) + 7
    expected = scipy.stats.ttest_1samp(symmetric, 0).confidence_interval(0.9)
    found = mean_interval(symmetric, seed=0, level=0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)

    values = np.random.default_rng(0).exponential(size=11)  # the ends are where Hall's cubic, written out, is -+ t
    found, n = mean_interval(values, seed=0), 11
    assert found.low is not None and found.high is not None
    g, reach = scipy.stats.skew(values), scipy.stats.t.ppf(0.975, n - 1)
    for end, wanted in ((found.low, reach), (found.high, -reach)):
        t = (values.mean() - end) / (values.std(ddof=1) / n**0.5)
        corrected = t + g * t**2 / (3 * n**0.5) + g**2 * t**3 / (27 * n) + g / (6 * n**0.5)
        assert corrected == pytest.approx(wanted, rel=1e-10)
    assert found.high - values.mean() > values.mean() - found.low  # the tail is above

    wide = mean_interval([0.0, 0, 0.1, 5], seed=0)
    assert wide.low is not None and wide.low < 0
    assert mean_interval([0.0, 0, 0.1, 5], seed=0, within=(0, np.inf)).low == 0  # a divergence has no room below
    assert mean_interval(values[:3], seed=0).low is None
    many = np.random.default_rng(1).exponential(size=30)
    assert mean_interval(many, seed=4) == bootstrap_mean(many, seed=4) != mean_interval(many, seed=5)


@pytest.mark.parametrize("value", [2.5, 0.1, 0.0, -1e-300])
def test_a_few_items_that_are_all_the_same_show_no_spread(value: float) -> None:
    for items in (4, 5, 29):
        found = mean_interval(np.full(items, value), seed=0)
        assert (found.low, found.high) == (None, None)
        assert found.method == f"none: all {items} items have the same value, which shows no spread"
    rounded = 0.3 + np.array([0, 1, -1, 0, 2, 0]) * 2.0**-54  # the same cosine, but for rounding
    assert np.ptp(rounded) > 0 and mean_interval(rounded, seed=0).low is None
    flat = mean_interval(np.full(200, value), seed=0)
    assert (flat.low, flat.high) == pytest.approx((value, value), rel=1e-15)


@pytest.mark.parametrize("scale", [5e-324 * 2**20, 1e-110, 1e120, 1e300])
def test_very_small_and_very_large_items_have_the_interval_of_others(scale: float) -> None:
    values = np.array([1.0, 2, 2.5, 3, 7, 11])
    expected, found = mean_interval(values, seed=0), mean_interval(values * scale, seed=0)
    assert found.low is not None and found.high is not None and expected.low is not None and expected.high is not None
    assert (found.low / scale, found.high / scale) == pytest.approx((expected.low, expected.high), rel=1e-4)
    with np.errstate(all="ignore"):  # as it was: cubes beyond the range of a float
        centred = values * scale - (values * scale).mean()
        skewness = np.mean(centred**3) / np.mean(centred**2) ** 1.5
    assert not np.isfinite(skewness) or skewness == 0


@pytest.mark.parametrize("seed", [-1, 0.5, "3"])
def test_a_seed_that_is_none_is_refused(seed: int) -> None:
    rows, logits = np.random.default_rng(0).normal(size=(2, 100, 4)), np.eye(6)
    for measure in (
        lambda: fad(rows[0], rows[1], seed=seed),
        lambda: fad_infinity(rows[0], rows[1], seed=seed),
        lambda: kad(rows[0], rows[1], seed=seed),
        lambda: kid(rows[0], rows[1], seed=seed),
        lambda: vendi(rows[0], seed=seed),
        lambda: inception_score(logits, seed=seed),
        lambda: clap_score(rows[0], rows[1], seed=seed),
        lambda: clap_score(rows[0, :9], rows[1, :9], seed=seed),
        lambda: prdc(rows[0], rows[1], seed=seed),
        lambda: modality_gap(rows[0], rows[1], seed=seed),
        lambda: paired_mean_difference(rows[0, :9, 0], rows[1, :9, 0], seed=seed),
        lambda: paired_bootstrap_fad(rows[0], rows[0], rows[1], seed=seed),
    ):
        with pytest.raises(MetricsError, match=f"seed is {seed!r}; expected a whole number from 0 on"):
            measure()


def test_bootstrap_is_seeded_and_untouched_by_the_global_generator() -> None:
    values = np.arange(20.0)
    first = bootstrap_mean(values, seed=3)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    assert bootstrap_mean(values, seed=3) == first != bootstrap_mean(values, seed=4)
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(("successes", "items"), [(0, 5), (3, 10), (12, 12), (499, 500)])
def test_wilson_agrees_with_statsmodels(successes: int, items: int) -> None:
    interval = wilson(successes, items)
    expected = proportion_confint(successes, items, alpha=0.05, method="wilson")
    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("items", [4, 7, 50])
def test_halves_are_halves_and_come_in_disjoint_pairs(items: int) -> None:
    chosen = half_samples(items, seed=0, replicates=50)
    assert chosen.shape == (50, items) and (chosen.sum(axis=1) == items // 2).all()
    assert not (chosen[::2] & chosen[1::2]).any()
    assert np.abs(chosen.mean(axis=0) - (items // 2) / items).max() < 0.35
    with pytest.raises(MetricsError, match="3 items cannot be halved"):
        half_samples(3, seed=0)


def test_halves_of_a_mean_give_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=101)
    from clipsonic_metrics.uncertainty import half_sample_error

    chosen = half_samples(101, seed=0, replicates=20_000)
    means = chosen @ values / 50
    assert half_sample_error(means, 101) == pytest.approx(values.std(ddof=1) / np.sqrt(101), rel=0.02)


def test_paired_means_see_what_unpaired_ones_miss() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=100)
    b = a + 0.1 + 0.05 * rng.normal(size=100)
    difference = paired_mean_difference(a, b, seed=0, metric="clap-score")
    assert difference.value == pytest.approx((a - b).mean()) and difference.high < 0 and difference.excludes_zero
    assert scipy.stats.ttest_ind(a, b).pvalue > 0.3  # or this test proves nothing
    with pytest.raises(MetricsError, match="paired by id"):
        paired_mean_difference(a, b[:-1], seed=0)
    with pytest.raises(MetricsError, match="1 of 100 items are NaN"):
        paired_mean_difference(a, np.where(np.arange(100) == 3, np.nan, b), seed=0)


def world(items: int, dim: int, rng: np.random.Generator, shift: float, scale: float) -> np.ndarray:
    rows = rng.normal(size=(items, dim)) * np.arange(1.0, dim + 1) ** -0.5 * scale
    rows[:, :3] += shift
    return rows


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.3, 0.9), (0.6, 1.2)])
def test_fad_interval_covers_the_expected_fad_and_the_extrapolated_one_the_limit(shift: float, scale: float) -> None:
    rng, items, dim, trials = np.random.default_rng(0), 120, 16, 150
    reference = EmbeddingStats.of(world(500, dim, rng, 0, 1))
    limit = frechet_distance(reference, EmbeddingStats.of(world(200_000, dim, rng, shift, scale)))
    scores = [fad(reference, world(items, dim, rng, shift, scale), replicates=60) for _ in range(trials)]
    expected = np.mean([score.value for score in scores])
    covered = np.mean([score.low <= expected <= score.high for score in scores])
    ends = np.array([[score.extra["extrapolated_low"], score.extra["extrapolated_high"]] for score in scores], float)
    covered_limit = np.mean((ends[:, 0] <= limit) & (limit <= ends[:, 1]))
    assert covered >= 0.90 and covered_limit >= 0.90  # 95 % nominal; 0.90 is three standard errors of 150 trials below
    assert expected > 1.02 * limit


def test_paired_fad_interval_covers_the_expected_difference_and_is_rarely_wrong_about_equals() -> None:
    rng, items, dim, trials = np.random.default_rng(1), 120, 16, 150
    reference = EmbeddingStats.of(world(500, dim, rng, 0, 1))
    differences = []
    for trial in range(trials):
        a, noise = world(items, dim, rng, 0.3, 1), world(items, dim, rng, 0, 0.3)
        differences.append(paired_bootstrap_fad(reference, a + noise, a + 0.05, seed=trial, replicates=60))
    expected = np.mean([each.value for each in differences])
    assert np.mean([each.low <= expected <= each.high for each in differences]) >= 0.90
    equals = [
        paired_bootstrap_fad(
            reference, world(items, dim, rng, 0.3, 1), world(items, dim, rng, 0.3, 1), seed=trial, replicates=60
        )
        for trial in range(trials)
    ]
    assert np.mean([each.excludes_zero for each in equals]) <= 0.10


def test_kad_interval_covers_the_expected_kad() -> None:
    rng, items, dim, trials = np.random.default_rng(2), 100, 8, 150
    reference = world(200, dim, rng, 0, 1)
    scores = [kad(reference, world(items, dim, rng, 0.4, 1), seed=trial, replicates=60) for trial in range(trials)]
    expected = np.mean([score.value for score in scores])
    assert np.mean([score.low <= expected <= score.high for score in scores]) >= 0.90
