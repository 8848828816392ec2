"""Fréchet distance: ours against the scipy square root that other tools use, in the same run, with both errors.

    uv run pytest benchmarks/speed/test_frechet.py -s -m "not large"   # 128 and 512 dimensions
    uv run pytest benchmarks/speed/test_frechet.py -s -m large         # 2048 dimensions: a minute

Exact means: a case whose distance is known in closed form. y = c x + s about the mean of x has
FD = (1 - c)^2 tr S + |s|^2 at any rank.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.linalg
from pytest_benchmark.fixture import BenchmarkFixture

from clipsonic_metrics import EmbeddingStats, frechet_distance

SCALE, SHIFT = 0.7, 0.01
FULL, DEFICIENT = "full rank", "rank-deficient"
CASES = [
    pytest.param(dim, rank, marks=[pytest.mark.large] if dim > 512 else [], id=f"{dim}-{rank.replace(' ', '-')}")
    for dim in (128, 512, 2048)
    for rank in (FULL, DEFICIENT)
]


def pair(dim: int, rank: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Two sets of embeddings and their exact distance."""
    frames = 4 * dim if rank == FULL else dim // 3
    rng = np.random.default_rng(dim)
    x = rng.normal(size=(frames, dim)) * np.arange(1.0, dim + 1) ** -0.5
    x -= x.mean(axis=0)
    trace = float((x * x).sum()) / (frames - 1)
    return x, SCALE * x + SHIFT, (1 - SCALE) ** 2 * trace + dim * SHIFT**2


def by_square_root(m1: np.ndarray, s1: np.ndarray, m2: np.ndarray, s2: np.ndarray) -> float:
    """The path of the usual tools, from covariances to the distance."""
    root = scipy.linalg.sqrtm(s1 @ s2)
    return float(np.sum((m1 - m2) ** 2) + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real)


@pytest.mark.parametrize(("dim", "rank"), CASES)
def test_frechet(benchmark: BenchmarkFixture, dim: int, rank: str) -> None:
    x, y, exact = pair(dim, rank)
    ours = EmbeddingStats.of(x), EmbeddingStats.of(y)
    theirs = [moment for rows in (x, y) for moment in (rows.mean(axis=0), np.cov(rows, rowvar=False))]
    value = benchmark.pedantic(
        frechet_distance, ours, rounds=2 if dim > 512 else 5, warmup_rounds=0 if dim > 512 else 1
    )
    elapsed = []
    for _ in range(1 if dim > 512 else 3):
        start = time.perf_counter()
        their_value = by_square_root(*theirs)
        elapsed.append(time.perf_counter() - start)
    ratio = min(elapsed) / benchmark.stats.stats.min
    error, their_error = abs(value - exact) / exact, abs(their_value - exact) / exact
    benchmark.extra_info.update(ratio=ratio, error=error, sqrtm_error=their_error)
    print(
        f"\nd={dim} {rank}: ours {1e3 * benchmark.stats.stats.min:.1f} ms, error {error:.1e}; "
        f"sqrtm {1e3 * min(elapsed):.1f} ms, error {their_error:.1e}; {ratio:.1f} times as fast"
    )
    assert error < 1e-11
