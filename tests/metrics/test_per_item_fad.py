"""Per-item FAD: one Fréchet distance per sound."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from clipsonic_metrics import EmbeddingStats, MetricsError, frechet_distance, per_item_fad


def draw(shape: tuple[int, ...], seed: int, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) + offset


def test_two_frames_in_one_dimension_have_a_closed_form() -> None:
    reference = np.array([[0.0], [2], [4]])  # mean 2, sd 2
    generated = np.array([[[1.0], [5]], [[7.0], [7]]])  # means 3 and 7, sds 8^0.5 and 0
    score = per_item_fad(reference, generated)
    assert score.per_item == pytest.approx([1 + (8**0.5 - 2) ** 2, 25 + 4], rel=1e-13)
    assert score.value == pytest.approx(score.per_item.mean(), rel=1e-14)


@pytest.mark.parametrize(("reference", "dim"), [(500, 8), (60, 40), (20, 40), (300, 130)])
def test_each_value_is_the_full_frechet_distance(reference: int, dim: int) -> None:
    target = EmbeddingStats.of(draw((reference, dim), 0) * np.arange(1, dim + 1) ** -0.5)
    items = [draw((count, dim), seed, 0.2) for seed, count in enumerate([2, 10, 3, 10, dim + 5, 10, 2], 1)]
    score = per_item_fad(target, items)
    expected = [frechet_distance(target, EmbeddingStats.of(item)) for item in items]
    assert score.per_item == pytest.approx(expected, rel=1e-10)
    assert score.extra["fewest_frames"] == 2 and score.extra["most_frames"] == max(10, dim + 5)


def test_agrees_with_the_definition() -> None:
    target, item = draw((90, 6), 0), draw((40, 6), 1, 0.5)
    s1, s2 = np.cov(target, rowvar=False), np.cov(item, rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    expected = np.sum((target.mean(0) - item.mean(0)) ** 2) + np.trace(s1 + s2 - 2 * root)
    assert per_item_fad(target, [item]).value == pytest.approx(float(expected), rel=1e-11)


def test_frames_that_repeat_cost_no_digits() -> None:
    target, item = EmbeddingStats.of(draw((300, 12), 0)), np.repeat(draw((1, 3, 12), 1), 4, axis=1)
    assert per_item_fad(target, item).value == pytest.approx(
        frechet_distance(target, EmbeddingStats.of(item[0])), rel=1e-10
    )


def test_gram_matrix_of_the_centred_frames_still_loses_digits() -> None:
    # n frames span n - 1 directions: the n-th eigenvalue is rounding, and its root a thousand times that.
    target, item = EmbeddingStats.of(draw((400, 64), 0)), draw((10, 64), 1) * 30
    centred = (item - item.mean(axis=0)) / 3
    factor = np.linalg.cholesky(target.covariance).T
    roots = np.sqrt(np.abs(np.linalg.eigvalsh((centred @ factor.T) @ (centred @ factor.T).T)))
    exact = float(np.linalg.svd(centred @ factor.T, compute_uv=False).sum())
    assert abs(roots.sum() - exact) > 1e-10 * exact  # or this test proves nothing
    shift = float(np.sum((target.mean - item.mean(axis=0)) ** 2))
    expected = shift + np.trace(target.covariance) + float(np.sum(centred**2)) - 2 * exact
    assert per_item_fad(target, item[None]).value == pytest.approx(expected, rel=1e-12)


def test_items_of_one_frame_are_refused_and_counted() -> None:
    target = draw((50, 3), 0)
    with np.errstate(invalid="ignore"):  # a covariance of one frame: what others put into the mean of a set
        assert np.isnan(np.divide(np.zeros((3, 3)), 1 - 1)).all()
    with pytest.raises(MetricsError, match=r"2 of 4 items \(at 1, 3\) have one frame"):
        per_item_fad(target, [draw((count, 3), count) for count in (3, 1, 2, 1)])
    with pytest.raises(MetricsError, match=r"9 of 9 items \(at 0, 1, 2, 3, 4, ...\)"):
        per_item_fad(target, draw((9, 3), 1))
    with pytest.raises(MetricsError, match="dim 3, generated 4"):
        per_item_fad(target, draw((5, 2, 4), 1))
