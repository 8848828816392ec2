"""Paired differences of few items: how often systems that are alike "differ", and hits as McNemar's test sees them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar as oracle

from clipsonic_metrics import Difference, compare_scores, paired_mean_difference, retrieval
from clipsonic_metrics.paired import mcnemar, paired_shares
from clipsonic_metrics.uncertainty import bootstrap_mean, mean_interval

ALIKE: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "sparse normal": lambda rng, shape: rng.normal(size=shape) * (rng.random(shape) < 0.3),
    "signs": lambda rng, shape: rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=shape),
    "lognormal": lambda rng, shape: rng.lognormal(size=shape) - rng.lognormal(size=shape),
    "heavy": lambda rng, shape: rng.standard_t(2, size=shape),
}
"""Differences of two systems that are alike: symmetric, as all such differences are."""


@pytest.mark.parametrize("items", [6, 12, 20, 29])
@pytest.mark.parametrize("name", ALIKE)
def test_systems_that_are_alike_rarely_differ(name: str, items: int) -> None:
    sets = ALIKE[name](np.random.default_rng(7), (3000, items))
    zeros = np.zeros(items)
    assert np.mean([paired_mean_difference(each, zeros, seed=0).excludes_zero for each in sets]) <= 0.058


@pytest.mark.parametrize(
    ("name", "items"), [("sparse normal", 12), ("sparse normal", 20), ("signs", 20), ("heavy", 12)]
)
def test_correcting_differences_for_skewness_still_finds_what_is_not_there(name: str, items: int) -> None:
    def differs(values: np.ndarray) -> bool:
        found = mean_interval(values, seed=0)
        return found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)

    assert np.mean([differs(each) for each in ALIKE[name](np.random.default_rng(7), (3000, items))]) > 0.07


def test_few_differences_have_students_interval() -> None:
    a, b = np.random.default_rng(0).exponential(size=(2, 12))
    found, expected = paired_mean_difference(a, b, seed=0), scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.method == "Student's t(11) over items"
    for scale in (1e-110, 1e120, 1e300):
        scaled = paired_mean_difference(a * scale, b * scale, seed=0)
        assert scaled.low is not None and scaled.low / scale == pytest.approx(expected.low, rel=1e-9)
    many = np.random.default_rng(1).normal(size=(2, 30))
    assert paired_mean_difference(*many, seed=4).low == bootstrap_mean(many[0] - many[1], seed=4).low


def hits(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1.0, 1, 0, 0], (both, first, second, neither)), np.repeat(
        [1.0, 0, 1, 0], (both, first, second, neither)
    )


@pytest.mark.parametrize(("items", "most"), [(4, 4), (6, 6), (9, 9), (20, 20), (29, 29), (30, 9), (200, 9)])
def test_hits_differ_where_mcnemars_exact_test_says_so(items: int, most: int) -> None:
    for first in range(most + 1):
        for second in range(min(first, most - first, items - first) + 1):
            table = [[0, first], [second, 0]]
            p = oracle(table, exact=True).pvalue if first + second else 1.0
            assert mcnemar(first, second) == pytest.approx(p, rel=1e-9)
            rest = items - first - second
            for both in {0, rest // 2, rest}:
                found = paired_mean_difference(*hits(both, first, second, rest - both), seed=0)
                assert found.excludes_zero == (p < 0.05), (items, both, first, second)
                assert found.low is not None and found.high is not None
                assert -1 <= found.low <= found.value <= found.high <= 1
                assert found.high - found.low > 0  # no certainty, even where all items agree
                turned = paired_mean_difference(*hits(both, first, second, rest - both)[::-1], seed=0)
                assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-15)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.99, 0.999])
def test_at_other_levels_no_verdict_goes_beyond_mcnemars(level: float) -> None:
    for items in (6, 12, 29):
        for first in range(items + 1):
            for second in range(items - first + 1):
                found = paired_shares(*hits(items - first - second, first, second, 0), level=level)
                assert found.low is not None and found.high is not None
                assert not (found.low > 0 or found.high < 0) or mcnemar(first, second) < 1 - level


def test_the_published_example_of_paired_shares() -> None:
    found = paired_shares(*hits(36, 12, 2, 0))  # McNemar's p is 0.013
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)  # Newcombe 1998, method 10


@pytest.mark.parametrize("items", [12, 29, 100])
@pytest.mark.parametrize("probabilities", [(0.02, 0.02), (0.1, 0.05), (0.3, 0.1), (0.2, 0.2)])
def test_the_difference_of_paired_shares_is_covered(items: int, probabilities: tuple[float, float]) -> None:
    first, second = probabilities
    rest = 1 - first - second
    tables = np.random.default_rng(3).multinomial(items, [0.7 * rest, first, second, 0.3 * rest], size=1000)
    found = [paired_shares(*hits(*table)) for table in tables]
    assert np.mean([each.low <= first - second <= each.high for each in found]) >= 0.93  # type: ignore[operator]


def test_three_misses_of_twenty_are_no_difference_which_they_still_are_for_a_mean() -> None:
    text = np.eye(20)
    turned = text.copy()
    turned[[0, 1, 2]] = turned[[1, 2, 0]]
    a, b = (retrieval(sounds, text, k=[1], protocol="p")[1] for sounds in (text, turned))
    assert (a.value, b.value) == (1, 0.85) and a.per_item is not None and b.per_item is not None
    found = compare_scores(a, b)
    assert found.value == pytest.approx(0.15) and not found.excludes_zero  # McNemar's p is 0.25
    assert "McNemar's exact test over 3 of 20 items that disagree" in found.method
    old = mean_interval(a.per_item - b.per_item, seed=0)
    assert old.low is not None and old.low > 0


def test_many_hits_that_disagree_often_have_the_interval_of_a_mean() -> None:
    a, b = hits(80, 8, 2, 110)
    old = bootstrap_mean(a - b, seed=0)
    found = paired_mean_difference(a, b, seed=0)
    assert (found.low, found.high) == (old.low, old.high)
    all_of_them = paired_mean_difference(np.ones(50), np.zeros(50), seed=0)
    assert all_of_them.excludes_zero and all_of_them.low is not None and all_of_them.low < 1


@pytest.mark.parametrize("items", [5, 29, 30, 200])
def test_differences_that_are_all_the_same_are_no_certainty(items: int) -> None:
    values = np.random.default_rng(0).normal(size=items)
    found = paired_mean_difference(values + 0.1, values, seed=0)
    assert found.value == pytest.approx(0.1) and not found.excludes_zero
    assert (found.low, found.high) == (None, None)
    assert found.method == f"none: all {items} differences are the same, which shows no spread"
    itself = paired_mean_difference(values, values, seed=0)
    assert (itself.value, itself.low, itself.high) == ((0, None, None) if items < 30 else (0, 0, 0))


def test_a_difference_outside_its_interval_is_nobodys_to_read() -> None:
    with pytest.raises(ValueError, match="does not hold"):
        Difference("m", 1.0, 0.0, 0.5, 0.95, 9, "")


@pytest.mark.parametrize(("items", "most"), [(6, 0.13), (29, 0.09)])
def test_systems_of_one_mean_and_unlike_shape_differ_as_often_as_is_said(items: int, most: float) -> None:
    rng = np.random.default_rng(7)
    sets = rng.exponential(size=(3000, items)), rng.normal(1, 0.1, size=(3000, items))
    share = np.mean([paired_mean_difference(a, b, seed=0).excludes_zero for a, b in zip(*sets, strict=True)])
    assert 0.06 < share < most
