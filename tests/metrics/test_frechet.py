"""Fréchet distance: closed forms, oracles, and the ways in which others fail."""

from __future__ import annotations

import warnings

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import _compute_fid

from clipsonic_metrics import EmbeddingStats, MetricsError, NotComparable, frechet_distance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # POT 0.9.7 has a bad escape in a docstring, met when it is first compiled
    import ot.gaussian


def draw(frames: int, dim: int, seed: int, decay: float = 0.5, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(dim, dim)))[0] * np.arange(1.0, dim + 1) ** -decay
    return rng.normal(size=(frames, dim)) @ mixing.T + offset


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return frechet_distance(EmbeddingStats.of(x), EmbeddingStats.of(y))


def exact(x: np.ndarray, y: np.ndarray) -> float:
    """In 50 digits, from the definition's symmetric form: tr (A S2 A^T)^(1/2) with A^T A = S1."""
    with mpmath.workdps(50):
        sides = []
        for rows in (x, y):
            data = mpmath.matrix(rows.tolist())
            mean = mpmath.matrix([mpmath.fsum(data[:, column]) / data.rows for column in range(data.cols)])
            centred = mpmath.matrix(data.rows, data.cols)
            for row in range(data.rows):
                for column in range(data.cols):
                    centred[row, column] = (data[row, column] - mean[column]) / mpmath.sqrt(data.rows - 1)
            sides.append((mean, centred, centred.T * centred))
        (m1, f1, s1), (m2, _, s2) = sides
        roots = mpmath.eigsy(f1 * s2 * f1.T, eigvals_only=True)
        cross = mpmath.fsum(mpmath.sqrt(max(root, 0)) for root in roots)
        traces = mpmath.fsum(s1[i, i] + s2[i, i] for i in range(s1.rows))
        return float(mpmath.fsum((m1[i] - m2[i]) ** 2 for i in range(m1.rows)) + traces - 2 * cross)


def by_square_root_of_product(x: np.ndarray, y: np.ndarray) -> float:
    """What most tools compute: scipy's square root of S1 S2, which loses half the digits when rank-deficient."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(s1) + np.trace(s2) - 2 * np.trace(root))


def trace(*sets: np.ndarray) -> float:
    return sum(float(rows.var(axis=0, ddof=1).sum()) for rows in sets)


SHAPES = [(500, 500, 8), (30, 500, 16), (10, 10, 16), (33, 20, 16), (2, 2, 5), (2, 300, 3)]


@pytest.mark.parametrize(("n", "m", "dim"), SHAPES)
def test_shift_alone_costs_its_squared_length(n: int, m: int, dim: int) -> None:
    x, shift = draw(n, dim, seed=n + m), np.linspace(-1, 1, dim)
    assert distance(x, x + shift) == pytest.approx(float(shift @ shift), rel=1e-12)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_scaling_has_a_closed_form_at_any_rank(scale: float) -> None:
    for frames in (5, 400):
        x = draw(frames, 12, seed=frames)
        x -= x.mean(axis=0)
        assert distance(x, scale * x) == pytest.approx((1 - scale) ** 2 * trace(x), rel=1e-11, abs=1e-13)


def test_diagonal_gaussians_have_a_closed_form() -> None:
    # Columns of a Hadamard matrix are centred and orthogonal, so the sample covariance is diagonal exactly.
    columns = scipy.linalg.hadamard(16)[:, 1:6].astype(float)
    a, b = np.array([1.0, 2, 3, 0.5, 0]), np.array([2.0, 1, 3, 0, 0.25])
    mean = np.arange(5.0)
    expected = 16 / 15 * float(np.sum((a - b) ** 2)) + float(mean @ mean)
    assert distance(columns * a, columns * b + mean) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("n", "m", "dim"), SHAPES)
def test_a_set_is_at_no_distance_from_itself_and_the_distance_is_symmetric(n: int, m: int, dim: int) -> None:
    x, y = draw(n, dim, seed=1), draw(m, dim, seed=2)
    assert distance(x, x) <= 1e-12 * trace(x)
    assert distance(x, y) == pytest.approx(distance(y, x), rel=1e-12)


@pytest.mark.parametrize(("n", "m", "dim"), [(20, 30, 4), (4, 30, 6), (4, 5, 6), (3, 3, 6), (7, 9, 6)])
def test_agrees_with_fifty_digits_at_any_rank(n: int, m: int, dim: int) -> None:
    x, y = draw(n, dim, seed=3, decay=2), draw(m, dim, seed=4, decay=1, offset=0.01)
    assert abs(distance(x, y) - exact(x, y)) <= 1e-13 * trace(x, y)


@pytest.mark.parametrize("dim", [2, 64, 128])
def test_agrees_with_torchmetrics_and_pot_at_full_rank(dim: int) -> None:
    x, y = draw(10 * dim, dim, seed=5), draw(7 * dim, dim, seed=6, decay=0.7, offset=0.1)
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    theirs = _compute_fid(*(torch.from_numpy(part) for part in (x.mean(0), s1, y.mean(0), s2)))
    assert distance(x, y) == pytest.approx(float(theirs), rel=1e-10)
    pot = ot.gaussian.bures_wasserstein_distance(x.mean(0), y.mean(0), s1, s2) ** 2
    assert distance(x, y) == pytest.approx(float(pot), rel=1e-10)


@pytest.mark.parametrize(
    ("n", "m", "dim"),
    [
        *((5 * dim, 3 * dim, dim) for dim in (2, 16, 128, 512)),
        *((dim // 2, 3 * dim, dim) for dim in (16, 128, 512)),
        *((dim // 2, dim // 3, dim) for dim in (16, 128, 512)),
        (500, 600, 2048),
        pytest.param(5000, 4500, 2048, marks=pytest.mark.large),
        pytest.param(500, 4500, 2048, marks=pytest.mark.large),
    ],
)
def test_agrees_to_nine_digits_with_singular_values_of_the_frames(n: int, m: int, dim: int) -> None:
    # Neither covariances nor their roots: tr (S1 S2)^(1/2) is the nuclear norm of A B^T for centred frames A and B.
    x, y = draw(n, dim, seed=3), draw(m, dim, seed=4, decay=0.6, offset=0.01)
    a, b = ((rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1) for rows in (x, y))
    if len(a) > dim:
        a = scipy.linalg.qr(a, mode="r")[0][:dim]
    if len(b) > dim:
        b = scipy.linalg.qr(b, mode="r")[0][:dim]
    cross = scipy.linalg.svdvals(a @ b.T).sum()
    expected = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) + np.sum(a * a) + np.sum(b * b) - 2 * cross
    assert distance(x, y) == pytest.approx(float(expected), rel=1e-9)
    assert distance(x, x) <= 1e-12 * trace(x)


def test_large_offset_costs_no_digits() -> None:
    x, y = draw(300, 8, seed=7), draw(300, 8, seed=8)
    # 1e4 rounds each sample by 1e-12, and that is all that may be lost.
    assert distance(x + 1e4, y + 1e4) == pytest.approx(distance(x, y), rel=1e-9)


def test_rank_deficiency_that_the_count_does_not_show() -> None:
    x, y = draw(400, 12, seed=9), draw(400, 12, seed=10)
    x[:, 3:6], y[:, 3:6] = 0, 0  # units that are dead on both sides, as in networks with rectifiers
    kept = [column for column in range(12) if column not in (3, 4, 5)]
    assert distance(x, y) == pytest.approx(distance(x[:, kept], y[:, kept]), rel=1e-12)
    repeated = np.repeat(draw(4, 12, seed=11), 100, axis=0)
    assert distance(repeated, repeated) <= 1e-12 * trace(repeated)


def test_a_direction_without_variance_costs_no_digits_at_any_count() -> None:
    x, y = draw(600, 12, seed=14), draw(500, 12, seed=15)
    hidden = np.linalg.qr(np.random.default_rng(16).normal(size=(12, 12)))[0]
    flat = y.copy()
    flat[:, -1] = 0.0  # flat along an axis; turned, so that no column is zero and only the spectrum shows it
    assert abs(distance(x @ hidden, flat @ hidden) - distance(x, flat)) < 1e-13 * trace(x, flat)
    root = np.linalg.cholesky(np.cov(flat @ hidden, rowvar=False) + 1e-15 * np.eye(12))  # what passes for full rank
    cross = scipy.linalg.svdvals(root.T @ np.linalg.cholesky(np.cov(x @ hidden, rowvar=False))).sum()
    theirs = float(np.sum((x.mean(0) - flat.mean(0)) ** 2)) + trace(x, flat) - 2 * cross
    assert abs(theirs - distance(x, flat)) > 1e-11 * trace(x, flat)  # or this test proves nothing


def test_square_root_of_the_product_still_fails_where_ours_does_not() -> None:
    x = draw(40, 128, seed=12)
    assert by_square_root_of_product(x, x) < -1e-9 * trace(x)  # or this test proves nothing
    assert 0 <= distance(x, x) <= 1e-12 * trace(x)


def test_constant_sets() -> None:
    x, y = np.full((5, 3), 2.0), draw(50, 3, seed=13)
    assert distance(x, x) == 0
    assert distance(x, y) == pytest.approx(float(np.sum((2 - y.mean(0)) ** 2)) + trace(y), rel=1e-12)


def test_what_has_no_distance_is_refused() -> None:
    one, many, other = EmbeddingStats.of(np.ones((1, 3))), EmbeddingStats.of(draw(9, 3, 0)), draw(9, 4, 0)
    with pytest.raises(MetricsError, match="1 frame has no covariance"):
        frechet_distance(one, many)
    with pytest.raises(MetricsError, match="dim 3 and 4"):
        frechet_distance(many, EmbeddingStats.of(other))
    with pytest.raises(NotComparable, match="'a' and 'b' differ"):
        frechet_distance(EmbeddingStats.of(draw(9, 3, 0), "a"), EmbeddingStats.of(draw(9, 3, 0), "b"))
