"""KID: the estimator against its oracles, and its blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel
from torchmetrics.image.kid import poly_mmd

from clipsonic_metrics import MetricsError, kid


def draw(shape: tuple[int, ...], seed: int, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) + offset


def by_hand(reference: np.ndarray, generated: np.ndarray) -> float:
    def off_diagonal(kernel: np.ndarray) -> float:
        return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))

    dim = reference.shape[1]
    among = sum(off_diagonal(polynomial_kernel(x, degree=3, gamma=1 / dim, coef0=1)) for x in (reference, generated))
    return among - 2 * float(polynomial_kernel(generated, reference, degree=3, gamma=1 / dim, coef0=1).mean())


def test_two_pairs_of_points_have_a_closed_form() -> None:
    # r = {0, 1}, g = {0, 2}: k(0, 1) = k(0, 2) = k(0, 0) = 1, k(2, 1) = 27.
    assert kid([[0.0], [1]], [[0.0], [2]]).value == pytest.approx(1 + 1 - 2 * 30 / 4, rel=1e-14)


@pytest.mark.parametrize("dim", [2, 64])
def test_agrees_with_torchmetrics_at_equal_counts(dim: int) -> None:
    reference, generated = draw((80, dim), 0), draw((80, dim), 1, 0.2)
    theirs = float(poly_mmd(torch.from_numpy(reference), torch.from_numpy(generated)))
    assert kid(reference, generated).value == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(40, 60), (1100, 30), (30, 2100)])
def test_agrees_with_scikit_learn_across_blocks(n: int, m: int) -> None:
    reference, generated = draw((n, 4), 0), draw((m, 4), 1, 0.3)
    assert kid(reference, generated).value == pytest.approx(by_hand(reference, generated), rel=1e-10)


def test_agrees_with_torch_fidelity_where_its_subset_is_the_whole_set() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    reference, generated = draw((70, 8), 0), draw((70, 8), 1, 0.3)
    theirs = kid_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(reference),
        kid_subsets=2,
        kid_subset_size=70,
        kid_kernel="poly",
        verbose=False,
    )
    assert kid(reference, generated).value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-10)


def test_frames_of_one_item_are_no_pair_whatever_the_blocks() -> None:
    reference, generated = draw((40, 4), 0), draw((700, 3, 4), 1, 0.2)
    score = kid(reference, generated)
    flat = generated.reshape(-1, 4)
    kernel = polynomial_kernel(flat, degree=3, gamma=1 / 4, coef0=1)
    item = np.repeat(np.arange(700), 3)
    among = kernel[item[:, None] != item].mean()
    across = polynomial_kernel(flat, reference, degree=3, gamma=1 / 4, coef0=1).mean()
    own = polynomial_kernel(reference, degree=3, gamma=1 / 4, coef0=1)
    expected = among + (own.sum() - np.trace(own)) / (40 * 39) - 2 * across
    assert score.value == pytest.approx(float(expected), rel=1e-10)
    ragged = kid(reference, [generated[0, :1], *generated[1:]])
    assert ragged.value == pytest.approx(score.value, rel=0.05) and ragged.value != score.value


def test_the_biased_estimator_still_is_biased() -> None:
    # Diagonals left in: above zero even where both sets come from one distribution.
    pairs = [(draw((60, 4), seed), draw((60, 4), 1000 + seed)) for seed in range(60)]
    ours = [kid(a, b, replicates=2).value for a, b in pairs]
    theirs = [
        polynomial_kernel(a, degree=3, gamma=1 / 4, coef0=1).mean()
        + polynomial_kernel(b, degree=3, gamma=1 / 4, coef0=1).mean()
        - 2 * polynomial_kernel(a, b, degree=3, gamma=1 / 4, coef0=1).mean()
        for a, b in pairs
    ]
    assert abs(np.mean(ours)) < 3 * np.std(ours) / 60**0.5
    assert np.mean(theirs) > 3 * np.std(theirs) / 60**0.5 and min(ours) < 0


def test_order_does_not_matter_and_the_seed_moves_only_the_interval() -> None:
    reference, generated = draw((50, 4), 0), draw((40, 4), 1)
    score, reseeded = kid(reference, generated), kid(reference, generated, seed=1)
    assert kid(reference[::-1], generated[::-1]).value == pytest.approx(score.value, rel=1e-11)
    assert reseeded.value == score.value and reseeded.low != score.low
    few = kid(reference, generated[:3])
    assert few.low is None and few.method == "none: 3 items, 4 needed"


def test_bad_input_is_refused() -> None:
    with pytest.raises(MetricsError, match="2 items on each side"):
        kid(draw((5, 2), 0), draw((1, 2), 0))
    with pytest.raises(MetricsError, match="dim 2, generated 3"):
        kid(draw((5, 2), 0), draw((5, 3), 0))
