"""EmbeddingStats: moments, merging, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipsonic_metrics import EmbeddingStats, MetricsError, NotComparable, frechet_distance


def draw(frames: int, dim: int, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, dim)) + offset


def assert_same(a: EmbeddingStats, b: EmbeddingStats, rel: float = 1e-12) -> None:
    assert a.count == b.count
    scale = float(np.abs(b.covariance).max()) + float(np.abs(b.mean).max())
    np.testing.assert_allclose(a.mean, b.mean, atol=rel * scale, rtol=0)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=rel * scale, rtol=0)


@pytest.mark.parametrize("frames", [2, 5, 12, 13, 24, 200])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_moments_are_numpys_in_float64(frames: int, dtype: type) -> None:
    x = draw(frames, 12).astype(dtype)
    stats = EmbeddingStats.of(x)
    np.testing.assert_allclose(stats.mean, x.astype(np.float64).mean(axis=0), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(stats.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-10, atol=1e-14)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(1, 12), st.integers(0, 1000))
def test_merging_in_any_order_is_having_seen_all(sizes: list[int], dim: int, seed: int) -> None:
    parts = [draw(size, dim, seed + index, offset=index) for index, size in enumerate(sizes)]
    whole = EmbeddingStats.of(np.concatenate(parts))
    stats = [EmbeddingStats.of(part) for part in parts]
    forward, backward = stats[0], stats[-1]
    for each in stats[1:]:
        forward = forward.merge(each)
    for each in stats[-2::-1]:
        backward = each.merge(backward)
    assert_same(forward, whole)
    assert_same(backward, whole)
    assert_same(stats[0].merge(stats[1]), stats[1].merge(stats[0]))


def test_merging_keeps_the_digits_of_a_rank_deficient_set() -> None:
    x, y = draw(30, 64, 1), draw(25, 64, 2)
    merged = EmbeddingStats.of(x[:10]).merge(EmbeddingStats.of(x[10:]))
    assert merged.factor is not None
    whole = frechet_distance(EmbeddingStats.of(x), EmbeddingStats.of(y))
    assert frechet_distance(merged, EmbeddingStats.of(y)) == pytest.approx(whole, rel=1e-13)
    assert frechet_distance(merged, EmbeddingStats.of(x)) < 1e-12 * np.trace(merged.covariance)


def test_the_factor_is_kept_where_frames_are_few_or_flat() -> None:
    assert EmbeddingStats.of(draw(127, 64)).factor is not None and EmbeddingStats.of(draw(128, 64)).factor is None
    flat = draw(300, 6, 3)
    flat[:, 2] = flat[:, 1]
    stats = EmbeddingStats.of(flat)
    assert stats.factor is not None and stats.scatter is None and len(stats.factor) <= 12
    assert_same(
        stats.merge(EmbeddingStats.of(draw(40, 6, 4))), EmbeddingStats.of(np.concatenate([flat, draw(40, 6, 4)]))
    )
    single = EmbeddingStats.of(flat[:1])
    for row in flat[1:]:
        single = single.merge(EmbeddingStats.of(row[None]))
    assert single.factor is not None and len(single.factor) <= 12
    assert_same(single, stats)


def test_one_frame_merges_where_merged_covariances_are_nan() -> None:
    x = draw(20, 3)
    parts = [rows - rows.mean(axis=0) for rows in (x[:1], x[1:])]
    with np.errstate(invalid="ignore"):  # a covariance per file, merged by weight: 0 / 0 x 0 for the file of one frame
        theirs = sum(np.divide(part.T @ part, len(part) - 1) * (len(part) - 1) for part in parts)
    assert np.isnan(theirs).all()  # or this test proves nothing
    stats = EmbeddingStats.of(x[:1])
    for row in x[1:]:
        stats = stats.merge(EmbeddingStats.of(row[None]))
    assert_same(stats, EmbeddingStats.of(x))


def test_raw_sums_lose_what_centred_sums_keep() -> None:
    x = draw(500, 4, offset=1e6)
    expected = np.cov(x, rowvar=False)
    raw = (x.T @ x - len(x) * np.outer(x.mean(0), x.mean(0))) / (len(x) - 1)
    assert np.abs(raw - expected).max() > 1e-5  # or this test proves nothing
    merged = EmbeddingStats.of(x[:200]).merge(EmbeddingStats.of(x[200:]))
    np.testing.assert_allclose(merged.covariance, expected, atol=1e-9)


@pytest.mark.parametrize("frames", [1, 5, 300])
def test_saved_and_loaded_is_the_same(tmp_path: Path, frames: int) -> None:
    stats = EmbeddingStats.of(draw(frames, 10), "clap@1")
    stats.save(tmp_path / "stats.safetensors")
    loaded = EmbeddingStats.load(tmp_path / "stats.safetensors")
    assert (loaded.count, loaded.protocol) == (frames, "clap@1")
    np.testing.assert_array_equal(loaded.mean, stats.mean)
    for mine, theirs in ((loaded.factor, stats.factor), (loaded.scatter, stats.scatter)):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            np.testing.assert_array_equal(mine, theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["stats.safetensors"]


def test_files_that_are_not_statistics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MetricsError, match="cannot be read as embedding statistics"):
        EmbeddingStats.load(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors here")
    with pytest.raises(MetricsError, match="cannot be read as embedding statistics"):
        EmbeddingStats.load(tmp_path / "text.safetensors")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(3), r"shape \(3,\)"),
        (np.ones((0, 3)), r"shape \(0, 3\)"),
        (np.array([[1, np.nan], [1, 2], [np.inf, 0]]), "2 of 3 rows with NaN or infinity"),
        (np.array([["a", "b"]]), "expected real numbers"),
    ],
)
def test_bad_arrays_are_refused_with_what_was_found(bad: np.ndarray, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        EmbeddingStats.of(bad)


def test_sets_that_do_not_belong_together_do_not_merge() -> None:
    with pytest.raises(MetricsError, match="dim 3 with dim 4"):
        EmbeddingStats.of(draw(5, 3)).merge(EmbeddingStats.of(draw(5, 4)))
    with pytest.raises(NotComparable, match="cannot merge 'a' with 'b'"):
        EmbeddingStats.of(draw(5, 3), "a").merge(EmbeddingStats.of(draw(5, 3), "b"))
