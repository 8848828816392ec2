"""Vendi score: closed forms, oracle, digits."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from sklearn.metrics.pairwise import cosine_similarity

from clipsonic_metrics import MetricsError, vendi


def draw(shape: tuple[int, ...], seed: int, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) + offset


def test_closed_forms() -> None:
    assert vendi(np.tile(draw((1, 5), 0), (20, 1))).value == pytest.approx(1, abs=1e-12)
    assert vendi(3 * np.eye(9)).value == pytest.approx(9, rel=1e-13)
    # 6 of one kind and 2 of another, orthogonal: exp of the entropy of (3/4, 1/4).
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert vendi(np.eye(40)[[0] * 6 + [1] * 2]).value == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("items", "dim"), [(30, 8), (8, 30), (20, 20)])
def test_agrees_with_the_matrix_logarithm_of_the_kernel(items: int, dim: int) -> None:
    x = draw((items, dim), 1, 0.5)
    kernel = cosine_similarity(x) / items + 1e-14 * np.eye(items)
    expected = float(np.exp(-np.trace(kernel @ scipy.linalg.logm(kernel)).real))
    assert vendi(x).value == pytest.approx(expected, rel=1e-9)


def test_both_sides_of_the_low_rank_path_agree() -> None:
    x = draw((12, 12), 2)
    assert vendi(x).value == pytest.approx(vendi(np.pad(x, [(0, 0), (0, 30)])).value, rel=1e-12)
    assert vendi(np.repeat(x, 5, axis=0)).value == pytest.approx(vendi(x).value, rel=1e-12)  # copies are no diversity


def test_eigenvalues_below_zero_still_make_others_nan() -> None:
    x = np.repeat(draw((4, 6), 3), 25, axis=0)
    values = np.linalg.eigvalsh(cosine_similarity(x) / len(x))
    assert values.min() < 0  # rounding, or this test proves nothing
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.exp(-np.sum(values * np.log(values))))
    assert 1 <= vendi(x).value <= 4


def test_length_and_number_of_windows_do_not_count() -> None:
    x = draw((20, 6), 4)
    expected = vendi(x).value
    assert vendi(x * np.linspace(0.1, 9, 20)[:, None]).value == pytest.approx(expected, rel=1e-12)
    windows = [np.repeat(row[None], 1 + index % 5, axis=0) for index, row in enumerate(x)]
    assert vendi(windows).value == pytest.approx(expected, rel=1e-12)
    assert vendi(np.concatenate(windows)).value != pytest.approx(expected, rel=1e-3)  # windows are no items


def test_interval() -> None:
    score = vendi(draw((60, 6), 5))
    assert score.low is not None and score.high is not None and score.low < score.value < score.high
    assert score == vendi(draw((60, 6), 5)) and "of the logarithm" in score.method
    assert vendi(np.eye(3)).low is None
    with pytest.raises(MetricsError, match="1 of 3 rows that are zero"):
        vendi([[0.0, 0], [1, 0], [0, 1]])
