"""What the intervals cover: each scheme simulated where it is used; 0.90 is three standard errors below 95 %."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from clipsonic_metrics import (
    EmbeddingStats,
    Score,
    fad_infinity,
    frechet_distance,
    inception_score,
    kid,
    per_item_fad,
    prdc,
    vendi,
)

TRIALS = 150
LEAST = 0.90


def world(items: int, dim: int, rng: np.random.Generator, shift: float, scale: float) -> np.ndarray:
    rows = rng.normal(size=(items, dim)) * np.arange(1.0, dim + 1) ** -0.5 * scale
    rows[:, :3] += shift
    return rows


def covered(scores: Sequence[Score], target: float | None = None) -> float:
    """How often the interval holds `target`, or the mean of all trials, among those that have one."""
    expected = float(np.mean([score.value for score in scores])) if target is None else target
    ends = [(score.low, score.high) for score in scores if score.low is not None and score.high is not None]
    assert len(ends) > 0.9 * len(scores)
    return float(np.mean([low <= expected <= high for low, high in ends]))


@pytest.mark.parametrize(("items", "shift", "scale"), [(64, 0.0, 1.0), (120, 0.3, 0.9), (120, 0.6, 1.2)])
def test_fad_infinity_covers_the_distance_of_the_system(items: int, shift: float, scale: float) -> None:
    rng, dim = np.random.default_rng(0), 16
    reference = EmbeddingStats.of(world(500, dim, rng, 0, 1))
    limit = frechet_distance(reference, EmbeddingStats.of(world(200_000, dim, rng, shift, scale)))
    scores = [
        fad_infinity(reference, world(items, dim, rng, shift, scale), replicates=60, draws=2) for _ in range(TRIALS)
    ]
    assert covered(scores, limit) >= LEAST
    assert np.mean([score.extra["fad"] for score in scores]) > 1.05 * limit + 0.01  # the bias is there to be removed


@pytest.mark.parametrize(("items", "dim"), [(100, 8), (30, 16)])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.4, 1.0), (0.0, 0.6)])
def test_kid_vendi_and_inception_score_cover_their_expectations(
    items: int, dim: int, shift: float, scale: float
) -> None:
    rng = np.random.default_rng(1)
    reference, head = world(200, dim, rng, 0, 1), 2 * rng.normal(size=(dim, 20))
    sets = [world(items, dim, rng, shift, scale) for _ in range(TRIALS)]
    measures: list[Callable[[np.ndarray], Score]] = [
        lambda rows: kid(reference, rows, replicates=60),
        lambda rows: vendi(rows, replicates=60),
        lambda rows: inception_score(rows @ head, replicates=60),
    ]
    for measure in measures:
        assert covered([measure(rows) for rows in sets]) >= (LEAST if items == 100 else LEAST - 0.03)


@pytest.mark.parametrize(
    ("items", "dim", "shift", "scale"), [(100, 8, 0.0, 1.0), (100, 8, 0.4, 1.0), (30, 16, 0.0, 1.0), (60, 8, 0.0, 0.6)]
)
def test_precision_recall_density_and_coverage_cover_their_expectations(
    items: int, dim: int, shift: float, scale: float
) -> None:
    rng = np.random.default_rng(2)
    reference = world(200, dim, rng, 0, 1)
    trials = [prdc(reference, world(items, dim, rng, shift, scale)) for _ in range(TRIALS)]
    for name in ("precision", "recall", "density", "coverage"):
        assert covered([trial[name] for trial in trials]) >= LEAST, name


def test_per_item_fad_covers_its_expectation() -> None:
    rng = np.random.default_rng(3)
    reference = EmbeddingStats.of(world(500, 8, rng, 0, 1))
    scores = [per_item_fad(reference, world(240, 8, rng, 0.3, 1).reshape(40, 6, 8)) for _ in range(TRIALS)]
    assert covered(scores) >= LEAST


def test_bootstrap_of_recall_and_vendi_still_misses() -> None:
    # Duplicates of a bootstrap shrink balls to nothing and count as no diversity: its intervals lie below the value.
    rng = np.random.default_rng(4)
    reference, rows = world(100, 8, rng, 0, 1), world(100, 8, rng, 0, 1)
    again = [rows[rng.integers(0, 100, 100)] for _ in range(40)]
    recalls = [prdc(reference, each)["recall"].value for each in again]
    assert np.quantile(recalls, 0.975) < prdc(reference, rows)["recall"].value
    wide = rng.normal(size=(100, 64))
    diversities = [vendi(wide[rng.integers(0, 100, 100)], replicates=2).value for _ in range(40)]
    assert np.quantile(diversities, 0.975) < vendi(wide).value
