"""The modality gap's five measures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_distances

from clipsonic_metrics import MetricsError, modality_gap


def draw(items: int, dim: int, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(items, dim)) + offset


def test_matched_sets_have_no_gap() -> None:
    x = draw(100, 8)
    gap = modality_gap(x, 3 * x)
    assert gap.centroid_distance.value == pytest.approx(0, abs=1e-15)
    assert gap.rmg.value == pytest.approx(0, abs=1e-15)
    assert gap.paired_cosine.value == pytest.approx(1)
    assert gap.separability.value == pytest.approx(0.5)


def test_two_points_on_a_circle_have_closed_forms() -> None:
    # x in the first axis and third, y all in the second: x_i.y_i = 0, x_i.x_j is 1 within a half, 0 across halves.
    x, y = np.repeat(np.eye(3)[[0, 2]], 10, axis=0), np.repeat(np.eye(3)[[1]], 20, axis=0)
    gap = modality_gap(x, y)
    assert gap.centroid_distance.value == pytest.approx(1.5**0.5)
    assert gap.paired_cosine.value == pytest.approx(0)
    assert gap.cone_y.value == pytest.approx(1)
    assert gap.cone_x.value == pytest.approx(9 / 19)
    spread = ((1 - 9 / 19) / 2 + 0) / 2
    assert gap.rmg.value == pytest.approx(0.5 / (0.5 + spread))
    assert gap.separability.value == 1


def test_agrees_with_pairwise_distances() -> None:
    x, y = draw(40, 6, 0, 0.5), draw(40, 6, 1, -0.2)
    gap = modality_gap(x, y)
    half = {name: cosine_distances(a, b) / 2 for name, a, b in (("xx", x, x), ("yy", y, y), ("xy", x, y))}
    off = ~np.eye(40, dtype=bool)
    matched, within_x, within_y = np.diag(half["xy"]).mean(), half["xx"][off].mean(), half["yy"][off].mean()
    expected = matched / (matched + (within_x + within_y) / 2)
    assert gap.rmg.value == pytest.approx(expected, rel=1e-12)
    assert gap.cone_x.value == pytest.approx(1 - 2 * within_x, rel=1e-12)
    # The port that leaves the 1/2 out of the numerator and halves the rest again.
    theirs = 2 * matched / (2 * matched + (within_x + within_y) / 4)
    assert theirs > 1.2 * expected  # or this test proves nothing


def test_centroids_are_of_unit_vectors() -> None:
    x, y = draw(60, 4, 0, 0.3), draw(60, 4, 1, 0.3)
    loud = x * np.linspace(0.1, 10, 60)[:, None]
    assert modality_gap(loud, y).centroid_distance.value == pytest.approx(modality_gap(x, y).centroid_distance.value)
    raw = float(np.linalg.norm(loud.mean(axis=0) - y.mean(axis=0)))
    assert raw != pytest.approx(modality_gap(x, y).centroid_distance.value, rel=0.1)  # or this test proves nothing


def test_separability_is_measured_on_pairs_it_was_not_trained_on() -> None:
    # Noise in 200 dimensions: a classifier separates any 100 pairs it was trained on, and is at chance elsewhere.
    gap = modality_gap(draw(100, 200, 0), draw(100, 200, 1))
    assert 0.3 < gap.separability.value < 0.7


def test_a_constant_offset_is_a_gap_and_removing_the_means_closes_it() -> None:
    x = draw(300, 8)
    y = x + 0.5 * draw(300, 8, 1) + 2
    gap, closed = modality_gap(x, y), modality_gap(x - x.mean(0), y - y.mean(0))
    assert gap.centroid_distance.value > 0.5 > closed.centroid_distance.value
    assert gap.separability.value > 0.95 and closed.separability.value < 0.6
    assert gap.rmg.value > closed.rmg.value
    assert gap.paired_cosine.value < closed.paired_cosine.value


def test_every_score_has_an_interval_around_its_value() -> None:
    for score in modality_gap(draw(100, 8, 0, 0.3), draw(100, 8, 1), protocol="clip@1"):
        assert score.low is not None and score.high is not None
        assert score.low <= score.value <= score.high
        split = "split-seed0/" if score.metric == "gap/separability" else ""
        assert score.metric.startswith("gap/") and score.protocol == f"{score.metric}@1/{split}clip@1"


def test_the_seed_is_in_the_id_of_what_it_decides() -> None:
    x, y = draw(40, 8, 0, 0.1), draw(40, 8, 1)
    first, second = modality_gap(x, y, seed=0), modality_gap(x, y, seed=1)
    for one, other in zip(first, second, strict=True):
        assert (one.value == other.value) == (one.protocol == other.protocol)
    assert first.separability.value != second.separability.value  # or this test proves nothing


def test_bad_input_is_refused() -> None:
    with pytest.raises(MetricsError, match="x has 5 items and y 6"):
        modality_gap(draw(5, 3), draw(6, 3))
    with pytest.raises(MetricsError, match="3 pairs are too few"):
        modality_gap(draw(3, 3), draw(3, 3))
    with pytest.raises(MetricsError, match="all embeddings are the same vector"):
        modality_gap(np.ones((6, 3)), np.ones((6, 3)))
