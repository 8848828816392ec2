"""FAD: pooling, intervals by halves, paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from clipsonic_metrics import EmbeddingStats, MetricsError, NotComparable, fad, frechet_distance, paired_bootstrap_fad
from clipsonic_metrics.uncertainty import half_samples


def draw(items: int, dim: int, seed: int, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(items, dim)) + offset


def test_one_dimension_has_a_closed_form() -> None:
    reference, generated = np.array([[0.0], [2], [4]]), np.array([[10.0], [11], [12]])  # sd 2 and 1
    assert fad(reference, generated).value == pytest.approx(9**2 + (2 - 1) ** 2, rel=1e-13)


def test_frames_are_pooled_whatever_their_arrangement() -> None:
    reference, frames = draw(50, 4, 0), draw(60, 4, 1)
    value = frechet_distance(EmbeddingStats.of(reference), EmbeddingStats.of(frames))
    for arrangement in (frames, frames.reshape(20, 3, 4), [frames[:7], frames[7:8], frames[8:30], frames[30:]]):
        assert fad(reference, arrangement).value == pytest.approx(value, rel=1e-13)
    assert fad(EmbeddingStats.of(reference), frames).value == pytest.approx(value, rel=1e-13)


def test_order_of_items_does_not_matter_and_the_seed_moves_only_the_interval() -> None:
    reference, generated = draw(80, 4, 0), draw(40, 4, 1)
    score, reseeded = fad(reference, generated), fad(reference, generated, seed=1)
    turned = fad(reference[::-1], generated[::-1])
    assert turned.value == pytest.approx(score.value, rel=1e-12)
    assert reseeded.value == score.value and reseeded.low != score.low
    assert fad(reference, generated) == score


@pytest.mark.parametrize(("items", "dim"), [(30, 4), (30, 40), (31, 20)])
def test_replicates_are_frechet_distances_of_halves(items: int, dim: int) -> None:
    reference, generated = EmbeddingStats.of(draw(90, dim, 0)), draw(3 * items, dim, 1, 0.2).reshape(items, 3, dim)
    score = fad(reference, generated, replicates=20)
    halves = half_samples(items, seed=0, replicates=20)
    values = [frechet_distance(reference, EmbeddingStats.of(generated[half].reshape(-1, dim))) for half in halves]
    half = items // 2
    assert score.low is not None and score.high is not None
    from scipy.stats import t

    reach = t.ppf(0.975, items - 1) * np.std(values) * np.sqrt(half / (items - half))
    assert score.high - score.value == pytest.approx(reach, rel=1e-6)
    if "bias" in score.extra:
        expected = (np.mean(values) - score.value) * half / (items - half)
        assert score.extra["bias"] == pytest.approx(expected, rel=1e-6)


def test_items_are_resampled_and_not_frames() -> None:
    # Ten frames that are one frame ten times carry no more than it: the interval may not shrink.
    reference, generated = draw(200, 3, 0), draw(40, 3, 1, 0.5)
    once, tenfold = fad(reference, generated), fad(reference, np.repeat(generated[:, None], 10, axis=1))
    assert once.high is not None and tenfold.high is not None
    assert tenfold.high - tenfold.value == pytest.approx(once.high - once.value, rel=0.1)


def test_bootstrap_with_duplicates_still_sits_above_the_value() -> None:
    reference, generated = EmbeddingStats.of(draw(500, 16, 0)), draw(100, 16, 1)
    rng, value = np.random.default_rng(2), fad(reference, generated).value
    with_duplicates = [
        frechet_distance(reference, EmbeddingStats.of(generated[rng.integers(0, 100, 100)])) for _ in range(200)
    ]
    assert np.quantile(with_duplicates, 0.025) > value  # its 95 % interval misses the value: or this proves nothing
    score = fad(reference, generated)
    assert score.low is not None and score.high is not None and score.low < value < score.high


def test_halves_of_an_odd_number_do_not_take_off_more_than_the_bias() -> None:
    reference, items, frames = EmbeddingStats.of(draw(100_000, 4, 0)), 5, 40  # the true distance is 0
    sets = [draw(items * frames, 4, seed).reshape(items, frames, 4) for seed in range(1, 201)]
    scores = [fad(reference, rows, replicates=20) for rows in sets]
    plain = float(np.mean([score.value for score in scores]))
    ours = np.array([score.extra["extrapolated"] for score in scores], dtype=float)
    # Two of five items have 5/2 of the bias, so that it is two thirds of what they have beyond it, not all of that.
    unscaled = [score.value - float(score.extra["bias"]) * 3 / 2 for score in scores]
    assert abs(ours.mean()) < 0.1 * plain
    assert np.mean(unscaled) < -0.3 * plain  # the old rule


def test_extrapolation_removes_the_bias_of_few_items() -> None:
    reference = EmbeddingStats.of(draw(20_000, 16, 0))
    scores = [fad(reference, draw(120, 16, seed)) for seed in range(1, 21)]
    plain = np.array([score.value for score in scores])
    extrapolated = np.array([score.extra["extrapolated"] for score in scores], dtype=float)
    assert plain.mean() > 0.5  # the true distance is 0
    assert abs(extrapolated.mean()) < 0.1 * plain.mean()


def test_too_few_items_give_no_interval_and_say_so() -> None:
    score = fad(draw(20, 2, 0), draw(3, 2, 1))
    assert score.low is None and score.high is None and score.method == "none: 3 items, 4 needed"


def test_paired_difference_of_a_system_with_itself_is_zero_and_of_a_shift_is_found() -> None:
    reference, a = draw(300, 6, 0), draw(100, 6, 1)
    same = paired_bootstrap_fad(reference, a, a, seed=0)
    assert (same.value, same.low, same.high) == (0, 0, 0) and not same.excludes_zero
    worse = paired_bootstrap_fad(reference, a + 0.5, a, seed=0)
    assert worse.low > 0 and worse.excludes_zero
    assert worse.value == pytest.approx(fad(reference, a + 0.5).value - fad(reference, a).value, rel=1e-12)
    back = paired_bootstrap_fad(reference, a, a + 0.5, seed=0)
    assert (back.value, back.low, back.high) == pytest.approx((-worse.value, -worse.high, -worse.low))


def test_pairing_narrows_the_interval_of_systems_that_share_their_items() -> None:
    reference, a = draw(300, 6, 0), draw(100, 6, 1)
    b = a + 0.1 * draw(100, 6, 2) + 0.3
    paired = paired_bootstrap_fad(reference, a, b, seed=0)
    unpaired = paired_bootstrap_fad(reference, a, b[np.random.default_rng(0).permutation(100)], seed=0)
    assert unpaired.value == pytest.approx(paired.value)
    assert paired.high - paired.low < 0.8 * (unpaired.high - unpaired.low)


def test_bad_input_is_refused() -> None:
    with pytest.raises(MetricsError, match="dim 3 and 4"):
        fad(draw(9, 3, 0), draw(9, 4, 0))
    with pytest.raises(MetricsError, match="a has 9 items and b 8"):
        paired_bootstrap_fad(draw(9, 3, 0), draw(9, 3, 1), draw(8, 3, 2), seed=0)
    with pytest.raises(MetricsError, match="mixes dimensions"):
        fad(draw(9, 3, 0), [draw(2, 3, 0), draw(2, 4, 0)])
    with pytest.raises(MetricsError, match=r"generated\[1\] has 1 of 2 rows with NaN"):
        fad(draw(9, 3, 0), [draw(2, 3, 0), np.array([[np.nan, 0, 0], [1, 2, 3]])])


def test_statistics_of_another_protocol_or_of_none_are_not_comparable() -> None:
    reference, generated = draw(60, 3, 0), draw(40, 3, 1)
    named = EmbeddingStats.of(reference, "passt@1")
    assert fad(named, generated, protocol="passt@1").value == fad(reference, generated).value
    for stats, protocol in ((named, "vggish@1"), (named, "arrays"), (EmbeddingStats.of(reference), "passt@1")):
        with pytest.raises(NotComparable, match="the reference was made under"):
            fad(stats, generated, protocol=protocol)
