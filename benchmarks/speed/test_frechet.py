"""Fréchet distance: ours against frechet-audio-distance's own and scipy's square root, in one run, with all errors.

    uv run pytest benchmarks/speed/test_frechet.py -s                  # 128 and 512 dimensions
    uv run pytest benchmarks/speed/test_frechet.py -s -m large         # 2048 dimensions: minutes, mostly the peer's

Errors are against the singular values of the frames themselves (R factors where there are more frames than
dimensions), by which neither a covariance nor its root is formed. The floor is one `eigvalsh` of a dim x dim matrix (of
the smaller Gram matrix where there are fewer frames) by numpy, the one step that no exact method of this kind does
without. Ours can be below it at 2048, where it takes the eigenvalues from torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from clipsonic_metrics import EmbeddingStats, frechet_distance

FULL, DEFICIENT = "full rank", "rank-deficient"
ASKED = {512: 10, 2048: 20}
CASES = [
    pytest.param(dim, rank, marks=[pytest.mark.large] if dim > 512 else [], id=f"{dim}-{rank.replace(' ', '-')}")
    for dim in (128, 512, 2048)
    for rank in (FULL, DEFICIENT)
]


def pair(dim: int, rank: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Two sets of embeddings of unlike covariances, and their distance by singular values."""
    frames = 4 * dim if rank == FULL else dim // 3
    rng = np.random.default_rng(dim)
    decay = np.arange(1.0, dim + 1) ** -0.5
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    x = rng.normal(size=(frames, dim)) * decay
    y = (rng.normal(size=(frames, dim)) * decay**1.2) @ turn + 0.01
    factors = [(rows - rows.mean(axis=0)) / np.sqrt(frames - 1) for rows in (x, y)]
    if frames > dim:
        factors = [np.linalg.qr(factor, mode="r") for factor in factors]
    cross = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    shift = float(np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2))
    return x, y, shift + sum(float(np.sum(factor**2)) for factor in factors) - 2 * float(cross)


@pytest.mark.parametrize(("dim", "rank"), CASES)
def test_frechet(
    benchmark: BenchmarkFixture,
    peer: Callable[..., float],
    by_square_root: Callable[..., float],
    fastest: Callable[..., tuple[float, Any]],
    dim: int,
    rank: str,
) -> None:
    x, y, exact = pair(dim, rank)
    ours = EmbeddingStats.of(x), EmbeddingStats.of(y)
    theirs = [moment for rows in (x, y) for moment in (rows.mean(axis=0), np.cov(rows, rowvar=False))]
    value = benchmark.pedantic(
        frechet_distance, ours, rounds=3 if dim > 512 else 7, warmup_rounds=0 if dim > 512 else 1
    )
    mine = benchmark.stats.stats.min
    few = 1 if dim > 512 else 3
    peers_time, peers_value = fastest(peer, *theirs, rounds=few)
    root_time, root_value = fastest(by_square_root, *theirs, rounds=few)
    smaller = min(dim, len(x))
    floor, _ = fastest(np.linalg.eigvalsh, ours[0].covariance[:smaller, :smaller], rounds=few)
    errors = [abs(found - exact) / exact for found in (value, peers_value, root_value)]
    benchmark.extra_info.update(ratio=peers_time / mine, error=errors[0], peer_error=errors[1], sqrtm_error=errors[2])
    asked = f" (asked: {ASKED[dim]})" if dim in ASKED else ""
    print(
        f"\nd={dim} {rank}: ours {1e3 * mine:.1f} ms, error {errors[0]:.0e}"
        f"; frechet-audio-distance {1e3 * peers_time:.1f} ms, error {errors[1]:.0e}"
        f": {peers_time / mine:.1f} times{asked}"
        f"; sqrtm {1e3 * root_time:.1f} ms, error {errors[2]:.0e}: {root_time / mine:.1f} times"
        f"; floor {1e3 * floor:.1f} ms, ours is {mine / floor:.1f} of it"
    )
    assert errors[0] < 1e-11
