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
from clipsonic_metrics.uncertainty import Interval, bootstrap_mean, mean_interval

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


DRAWS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "cosine": (lambda rng, shape: 1 - rng.beta(2, 5, size=shape), 5 / 7),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "chi-square": (lambda rng, shape: rng.chisquare(1, size=shape), 1.0),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 0.8, size=shape), float(np.exp(0.32))),
}
LEAST_OF_A_MEAN = {"normal": 0.935, "cosine": 0.925, "exponential": 0.91, "chi-square": 0.88, "lognormal": 0.88}


def holds(intervals: Sequence[Interval], mean: float) -> float:
    """How often intervals hold the mean."""
    ends = [(each.low, each.high) for each in intervals if each.low is not None and each.high is not None]
    assert len(ends) == len(intervals)
    return float(np.mean([low <= mean <= high for low, high in ends]))


@pytest.mark.parametrize("items", [6, 12, 29])
@pytest.mark.parametrize("name", DRAWS)
def test_a_mean_of_few_items_is_covered(name: str, items: int) -> None:
    draw, mean = DRAWS[name]
    found = [mean_interval(values, seed=0) for values in draw(np.random.default_rng(5), (2000, items))]
    assert holds(found, mean) >= LEAST_OF_A_MEAN[name]  # 0.95 of symmetric items; the less, the heavier the tail
    assert found[0].method == f"Student's t({items - 1}) over items, corrected for skewness"


@pytest.mark.parametrize(
    ("name", "items", "most"), [("normal", 4, 0.90), ("exponential", 6, 0.90), ("chi-square", 6, 0.86)]
)
def test_a_bootstrap_of_few_items_still_is_too_narrow(name: str, items: int, most: float) -> None:
    draw, mean = DRAWS[name]
    sets = draw(np.random.default_rng(5), (2000, items))
    old = holds([bootstrap_mean(values, seed=0, replicates=400) for values in sets], mean)
    assert old < most and holds([mean_interval(values, seed=0) for values in sets], mean) > old + 0.01


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
