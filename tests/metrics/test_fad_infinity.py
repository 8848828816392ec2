"""FAD of infinitely many items: the limit, the fit, and what sampling with replacement makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from clipsonic_metrics import EmbeddingStats, MetricsError, NotComparable, fad, fad_infinity, frechet_distance
from clipsonic_metrics.uncertainty import half_samples


def draw(items: int, dim: int, seed: int, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(items, dim)) + offset


def with_replacement(reference: EmbeddingStats, rows: np.ndarray, seed: int) -> float:
    """The usual recipe: 25 subsets, drawn with replacement, and a line through them in 1 / n."""
    rng = np.random.default_rng(seed)
    sizes = np.linspace(len(rows) // 4, len(rows), 25).astype(int)
    values = [
        frechet_distance(reference, EmbeddingStats.of(rows[rng.choice(len(rows), size, replace=True)]))
        for size in sizes
    ]
    return float(np.polynomial.polynomial.polyfit(1 / sizes, values, 1)[0])


def test_a_shift_has_a_closed_form_limit() -> None:
    # Equal covariances at distance |s|: FAD_inf is |s|^2, and FAD lies above it by its bias.
    reference = EmbeddingStats.of(draw(200_000, 8, 0))
    scores = [fad_infinity(reference, draw(60, 8, seed, 0.5), replicates=20) for seed in range(1, 41)]
    found, error = np.mean([score.value for score in scores]), np.std([score.value for score in scores]) / 40**0.5
    assert abs(found - 8 * 0.5**2) < 3 * error
    assert np.mean([score.extra["fad"] for score in scores]) > 2 + 3 * error  # or this test proves nothing
    assert all(float(score.extra["r_squared"]) > 0.99 for score in scores)


def test_a_line_still_goes_too_far_where_frames_are_few() -> None:
    reference = EmbeddingStats.of(draw(100_000, 16, 0))
    curve, line, plug_in = [], [], []
    for seed in range(1, 31):
        rows = draw(64, 16, seed)  # 4 dim frames; the truth is 0
        score = fad_infinity(reference, rows, replicates=2)
        curve.append(score.value)
        plug_in.append(float(score.extra["fad"]))
        line.append(2 * plug_in[-1] - _mean_of_halves(reference, rows))
    assert np.mean(line) < -0.1 * np.mean(plug_in)  # or this test proves nothing
    assert abs(np.mean(curve)) < 0.05 * np.mean(plug_in)


def _mean_of_halves(reference: EmbeddingStats, rows: np.ndarray) -> float:
    halves = half_samples(len(rows), seed=0, replicates=40)
    return float(np.mean([frechet_distance(reference, EmbeddingStats.of(rows[half])) for half in halves]))


def test_drawing_with_replacement_still_stays_at_the_plug_in_value() -> None:
    reference, truth = EmbeddingStats.of(draw(50_000, 16, 0)), 0.0
    ours, theirs, plug_in = [], [], []
    for seed in range(1, 9):
        rows = draw(300, 16, seed)
        plug_in.append(frechet_distance(reference, EmbeddingStats.of(rows)))
        ours.append(fad_infinity(reference, rows).value)
        theirs.append(with_replacement(reference, rows, seed))
    bias = np.mean(plug_in) - truth
    assert np.mean(theirs) - truth > 0.7 * bias  # the old bug: its intercept stays at the plug-in value
    assert abs(np.mean(ours) - truth) < 0.15 * bias


def test_the_fit_is_numpys() -> None:
    from clipsonic_metrics.scores.fad_infinity import BLOCKS, _fit

    inverse = BLOCKS / np.arange(BLOCKS, 2, -1)
    points = 3 + 0.4 * inverse[None] + 0.1 * inverse**2 + 0.01 * draw(5, len(inverse), 0)
    expected = [np.polynomial.polynomial.polyfit(inverse, row, 2) for row in points]
    np.testing.assert_allclose(_fit(inverse, points), expected, rtol=1e-9)


def test_runs_of_blocks_see_every_item_equally_often() -> None:
    from clipsonic_metrics.scores.fad_infinity import BLOCKS, _blocks, _runs

    block = _blocks(83, np.random.default_rng(0))
    assert set(np.bincount(block)) <= {10, 11}
    for run in range(2, BLOCKS):
        chosen = _runs(block, run)
        assert (chosen.sum(axis=0) == run).all() and len(np.unique(chosen, axis=0)) == BLOCKS


def test_is_seeded_and_agrees_with_two_points_of_fad() -> None:
    reference, rows = draw(400, 6, 0), draw(200, 6, 1, 0.3).reshape(100, 2, 6)
    first = fad_infinity(reference, rows)
    assert first == fad_infinity(reference, rows) != fad_infinity(reference, rows, seed=1)
    ids = {fad_infinity(reference, rows, seed=seed, draws=draws).protocol for seed, draws in ((0, 4), (1, 4), (0, 2))}
    assert len(ids) == 3 and first.protocol == "fad-infinity@1/4-cuts-seed0/arrays"
    plain = fad(reference, rows)
    assert first.extra["fad"] == plain.value
    assert first.value == pytest.approx(float(plain.extra["extrapolated"]), rel=0.05)
    assert first.low is not None and first.high is not None and first.low < first.value < first.high


def test_what_cannot_be_extrapolated_is_refused() -> None:
    with pytest.raises(MetricsError, match="needs 16 items and 4 dim = 24 frames; got 15 items, 150 frames"):
        fad_infinity(draw(99, 6, 0), draw(150, 6, 1).reshape(15, 10, 6))
    with pytest.raises(MetricsError, match="got 23 items, 23 frames"):
        fad_infinity(draw(99, 6, 0), draw(23, 6, 1))
    with pytest.raises(MetricsError, match="draws is 1"):
        fad_infinity(draw(99, 6, 0), draw(50, 6, 1), draws=1)
    with pytest.raises(NotComparable, match="made under 'a', the sounds under 'b'"):
        fad_infinity(EmbeddingStats.of(draw(99, 6, 0), "a"), draw(50, 6, 1), protocol="b")
