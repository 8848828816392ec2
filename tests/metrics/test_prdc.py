"""Precision, recall, density, coverage: brute force, oracle, and what frames of one sound do to neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import calculate_precision_recall_full

from clipsonic_metrics import MetricsError, prdc
from clipsonic_metrics.scores.prdc import _in_generated_balls, _in_reference_balls


def draw(shape: tuple[int, ...], seed: int, offset: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * scale + offset


def by_loops(reference: np.ndarray, generated: np.ndarray, k: int) -> dict[str, float]:
    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(np.sum((a - b) ** 2)))

    def radius(x: np.ndarray, index: int) -> float:
        return sorted(distance(x[index], other) for j, other in enumerate(x) if j != index)[k - 1]

    real = [radius(reference, i) for i in range(len(reference))]
    fake = [radius(generated, i) for i in range(len(generated))]
    in_real = [[distance(g, r) <= real[i] for i, r in enumerate(reference)] for g in generated]
    in_fake = [[distance(g, r) <= fake[i] for i, g in enumerate(generated)] for r in reference]
    return {
        "precision": float(np.mean([any(row) for row in in_real])),
        "recall": float(np.mean([any(row) for row in in_fake])),
        "density": float(np.mean([sum(row) for row in in_real])) / k,
        "coverage": float(np.mean(np.any(in_real, axis=0))),
    }


def test_points_on_a_line_have_closed_forms() -> None:
    # k = 1. Reference 0, 1, 3: radii 1, 1, 2. Generated 1.5, 4, 10: radii 2.5, 2.5, 6.
    scores = prdc([[0.0], [1], [3]], [[1.5], [4], [10]], k=1)
    found = {name: score.value for name, score in scores.items()}
    # 1.5 is in the balls of 1 and 3, 4 in that of 3; of the reference, 0 to 4 are all within 2.5 of 1.5.
    assert found == pytest.approx({"precision": 2 / 3, "recall": 1, "density": 1, "coverage": 2 / 3})


@pytest.mark.parametrize(("n", "m", "dim", "k"), [(40, 30, 3, 5), (20, 45, 8, 1), (30, 30, 2, 3), (6, 7, 2, 5)])
def test_agrees_with_loops_over_all_pairs(n: int, m: int, dim: int, k: int) -> None:
    reference, generated = draw((n, dim), 0), draw((m, dim), 1, 0.4, 0.8)
    scores = prdc(reference, generated, k=k)
    assert {name: score.value for name, score in scores.items()} == pytest.approx(by_loops(reference, generated, k))


@pytest.mark.parametrize("dim", [2, 40])
def test_agrees_with_torch_fidelity_across_blocks(dim: int) -> None:
    reference, generated = draw((700, dim), 0), draw((600, dim), 1, 0.3, 0.9)
    precision, recall = calculate_precision_recall_full(torch.from_numpy(generated), torch.from_numpy(reference), 3)
    scores = prdc(reference, generated, k=3)
    assert scores["precision"].value == pytest.approx(precision, abs=1e-6)
    assert scores["recall"].value == pytest.approx(recall, abs=1e-6)


@pytest.mark.parametrize(("n", "m", "k"), [(30, 25, 3), (12, 9, 2), (40, 7, 5)])
def test_leaving_out_an_item_is_exact(n: int, m: int, k: int) -> None:
    reference, generated = draw((n, 3), 0), draw((m, 3), 1, 0.3)
    coverage = _in_reference_balls(reference, generated, k)[2]
    recall = _in_generated_balls(reference, generated, k)[1]
    for left_out in range(m):
        expected = by_loops(reference, np.delete(generated, left_out, axis=0), k)
        assert (coverage[left_out], recall[left_out]) == pytest.approx((expected["coverage"], expected["recall"]))


def test_too_few_items_to_leave_one_out_give_no_interval() -> None:
    scores = prdc(draw((20, 2), 0), draw((6, 2), 1), k=5)
    assert scores["recall"].low is None and scores["recall"].method.startswith("none: 0 items")
    collapsed = prdc(draw((50, 2), 0), np.full((50, 2), 0.1) + draw((50, 2), 1) * 1e-6)
    assert collapsed["recall"].value == 0 and collapsed["recall"].low is None
    assert collapsed["recall"].method == "none: 0 items change the value, 4 needed"


def test_a_copy_of_a_reference_whose_neighbours_are_its_copies_is_inside() -> None:
    reference = np.concatenate([np.repeat(draw((1, 64), 0, 1e3), 6, axis=0), draw((30, 64), 1)])
    generated = np.concatenate([reference[:1], draw((20, 64), 2, 50)])
    assert prdc(reference, generated)["precision"].per_item[0] == 1
    # From inner products, as usual: the same distance of zero, taken in products of other shapes, is not always zero.
    squares = np.sum(reference**2, axis=1)
    across = np.sum(generated**2, axis=1)[:, None] + squares - 2 * (generated @ reference.T)
    within = squares[:, None] + squares - 2 * (reference @ reference.T)
    assert np.abs(np.concatenate([within[0, 1:6], across[0, :6]])).max() > 0  # or this test proves nothing


def test_frames_as_items_still_find_their_own_sound() -> None:
    # Ten frames of one sound are each other's neighbours: balls shrink to one sound, and reality covers none of itself.
    reference, generated = draw((60, 1, 6), 0), draw((60, 1, 6), 1)
    frames = draw((60, 10, 6), 2, 0, 0.01), draw((60, 10, 6), 3, 0, 0.01)
    sounds = reference + frames[0], generated + frames[1]
    ours = prdc(*sounds)["recall"].value
    theirs = prdc(*(each.reshape(-1, 6) for each in sounds))["recall"].value
    assert ours > 0.7 and theirs < 0.1


def test_a_collapsed_system_is_precise_and_a_wide_one_recalls() -> None:
    reference = draw((200, 4), 0)
    collapsed, wide = prdc(reference, draw((200, 4), 1, 0, 0.2)), prdc(reference, draw((200, 4), 1, 0, 3))
    assert collapsed["precision"].value > 0.95 and collapsed["recall"].value < 0.3
    assert wide["recall"].value > 0.9 and wide["precision"].value < 0.6
    for score in (*collapsed.values(), *wide.values()):
        assert score.low is None or score.low <= score.value <= score.high
        assert "/k5/" in score.protocol


def test_bad_input_is_refused() -> None:
    with pytest.raises(MetricsError, match="k = 5 neighbours with 20 reference and 5 generated items"):
        prdc(draw((20, 2), 0), draw((5, 2), 0))
    with pytest.raises(MetricsError, match="k = 0"):
        prdc(draw((20, 2), 0), draw((5, 2), 0), k=0)
    with pytest.raises(MetricsError, match="dim 2, generated 3"):
        prdc(draw((20, 2), 0), draw((9, 3), 0))
