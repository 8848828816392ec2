"""KAD: the estimator, its bandwidth, its interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel

from clipsonic_metrics import MetricsError, kad
from clipsonic_metrics.scores.kad import median_distance


def draw(items: int, dim: int, seed: int, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(items, dim)) + offset


def by_hand(reference: np.ndarray, generated: np.ndarray, bandwidth: float) -> float:
    def off_diagonal(kernel: np.ndarray) -> float:
        return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))

    gamma = 1 / (2 * bandwidth**2)
    among = off_diagonal(rbf_kernel(generated, gamma=gamma)) + off_diagonal(rbf_kernel(reference, gamma=gamma))
    return 100 * (among - 2 * float(rbf_kernel(generated, reference, gamma=gamma).mean()))


def test_two_pairs_of_points_have_a_closed_form() -> None:
    # r = {0, 1}, g = {0, 2}, b = 1: within r e^-1/2, within g e^-2, across (1 + e^-1/2 + e^-2 + e^-1/2) / 4.
    expected = 100 * (np.exp(-2) + np.exp(-0.5) - (1 + 2 * np.exp(-0.5) + np.exp(-2)) / 2)
    assert kad([[0.0], [1]], [[0.0], [2]], seed=0, bandwidth=1).value == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("n", "m", "dim"), [(40, 60, 5), (1100, 30, 3), (30, 1100, 3)])
def test_agrees_with_scikit_learn(n: int, m: int, dim: int) -> None:
    reference, generated = draw(n, dim, 0), draw(m, dim, 1, 0.3)
    bandwidth = float(np.median(pdist(reference)))
    score = kad(reference, generated, seed=0)
    assert score.extra["bandwidth"] == pytest.approx(bandwidth, rel=1e-13)
    assert score.value == pytest.approx(by_hand(reference, generated, bandwidth), rel=1e-11)


def test_bandwidth_comes_from_a_seeded_subsample_of_the_reference() -> None:
    reference = draw(2500, 2, 0)
    assert (
        median_distance(reference, seed=3) == median_distance(reference, seed=3) != median_distance(reference, seed=4)
    )
    first = median_distance(reference, seed=3)
    assert first == median_distance(reference, seed=3) != median_distance(reference, seed=4)
    assert first == pytest.approx(float(np.median(pdist(reference))), rel=0.02)


def test_bandwidth_of_the_generated_set_still_distorts_a_collapsed_system() -> None:
    reference, collapsed = draw(200, 8, 0), 0.05 * draw(200, 8, 1)
    theirs = by_hand(reference, collapsed, float(np.median(pdist(collapsed))))
    ours = kad(reference, collapsed, seed=0).value
    assert ours == pytest.approx(by_hand(reference, collapsed, float(np.median(pdist(reference)))), rel=1e-11)
    assert theirs > 1.3 * ours  # the wrong bandwidth does change the number: or this test proves nothing


def test_is_unbiased_where_the_distributions_agree() -> None:
    values = [kad(draw(60, 4, seed), draw(40, 4, 1000 + seed), seed=0, replicates=2).value for seed in range(100)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 10
    assert min(values) < 0


def test_frames_of_one_item_are_no_pair() -> None:
    reference, generated = draw(40, 4, 0), draw(30, 4, 1, 0.2)
    repeated = np.repeat(generated[:, None], 5, axis=1)
    once, five = kad(reference, generated, seed=0, bandwidth=2.0), kad(reference, repeated, seed=0, bandwidth=2.0)
    assert five.value == pytest.approx(once.value, rel=1e-12)
    assert (five.low, five.high) == pytest.approx((once.low, once.high))
    as_items = kad(reference, repeated.reshape(-1, 4), seed=0, bandwidth=2.0)
    assert as_items.value > 1.2 * five.value  # pairs within an item would bias it: or this test proves nothing


def test_replicates_are_the_statistic_on_halves() -> None:
    from clipsonic_metrics.uncertainty import half_sample_interval, half_samples

    reference, generated = draw(50, 3, 0), draw(21, 3, 1)
    score = kad(reference, generated, seed=7, bandwidth=1.5, replicates=10)
    chosen = half_samples(21, seed=7, replicates=10)
    values = np.array([by_hand(reference, generated[half], 1.5) for half in chosen])
    expected = half_sample_interval(score.value, values, 21)
    assert (score.low, score.high) == pytest.approx((expected.low, expected.high))


def test_bad_input_is_refused() -> None:
    with pytest.raises(MetricsError, match="bandwidth is 0"):
        kad(np.ones((5, 2)), draw(5, 2, 0), seed=0)
    with pytest.raises(MetricsError, match="2 items on each side"):
        kad(draw(5, 2, 0), draw(1, 2, 0), seed=0)
    with pytest.raises(MetricsError, match="dim 2, generated 3"):
        kad(draw(5, 2, 0), draw(5, 3, 0), seed=0)


def test_what_decides_the_bandwidth_is_in_the_protocol() -> None:
    rng = np.random.default_rng(0)
    small, large, generated = rng.normal(size=(50, 4)), rng.normal(size=(2001, 4)), rng.normal(size=(50, 4))
    assert kad(small, generated, seed=1).protocol == "kad@1/bw-median/arrays"
    assert kad(large, generated, seed=1, replicates=2).protocol == "kad@1/bw-median2000-seed1/arrays"
    assert kad(small, generated, seed=1, bandwidth=0.5).protocol == "kad@1/bw-0.5/arrays"
