"""Set metrics: intervals and per-item distances against doing it the plain way, in one run, with the floor of each.

    uv run pytest benchmarks/speed/test_set_metrics.py -s

A floor is the time of the dense linear algebra that the method cannot do without, alone, in the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.spatial.distance import cdist

from clipsonic_metrics import EmbeddingStats, fad, fad_infinity, frechet_distance, kad, kid, per_item_fad, prdc, vendi
from clipsonic_metrics.uncertainty import half_samples

Fastest = Callable[..., tuple[float, Any]]
ITEMS, FRAMES, DIM = 500, 10, 128
REPLICATES, ASKED_S = 200, 30


def draw(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * np.arange(1.0, shape[-1] + 1) ** -0.5


def test_200_replicates_of_fad(
    benchmark: BenchmarkFixture, by_square_root: Callable[..., float], fastest: Fastest
) -> None:
    reference, generated = EmbeddingStats.of(draw(5000, DIM, seed=0)), draw(ITEMS, FRAMES, DIM, seed=1)
    score = benchmark.pedantic(lambda: fad(reference, generated, replicates=REPLICATES), rounds=3, warmup_rounds=0)
    mine = benchmark.stats.stats.min
    [half] = half_samples(ITEMS, seed=0, replicates=1)[:1]
    rows = generated[half].reshape(-1, DIM)

    def plain() -> float:
        """One replicate as other tools would have to do it."""
        moments = reference.mean, reference.covariance, rows.mean(axis=0), np.cov(rows, rowvar=False)
        return by_square_root(*moments)

    def least() -> np.ndarray:
        return np.asarray(np.linalg.eigvalsh(rows.T @ rows))

    each, _ = fastest(plain, rounds=3)
    floor = REPLICATES * fastest(least, rounds=5)[0]
    benchmark.extra_info.update(ratio=REPLICATES * each / mine, floor=floor)
    print(
        f"\n{REPLICATES} replicates of FAD, {ITEMS} items x {FRAMES} frames x d={DIM}: {mine:.2f} s (asked: {ASKED_S})"
        f"; plainly {REPLICATES * each:.2f} s: {REPLICATES * each / mine:.1f} times"
        f"; floor (a Gram matrix and its eigenvalues each) {floor:.2f} s, ours is {mine / floor:.1f} of it"
    )
    assert score.low is not None


@pytest.mark.parametrize(("dim", "frames"), [(128, 10), (512, 10), (512, 30)])
def test_per_item_fad(
    benchmark: BenchmarkFixture,
    peer: Callable[..., float],
    fastest: Fastest,
    dim: int,
    frames: int,
) -> None:
    reference, generated = EmbeddingStats.of(draw(4 * dim, dim, seed=0)), draw(1000, frames, dim, seed=1)
    score = benchmark.pedantic(lambda: per_item_fad(reference, generated), rounds=3, warmup_rounds=1)
    mine = benchmark.stats.stats.min / len(generated)
    first = generated[0]
    moments = reference.mean, reference.covariance, first.mean(axis=0), np.cov(first, rowvar=False)
    peers_time, peers_value = fastest(peer, *moments, rounds=2)
    own, expected = fastest(lambda: frechet_distance(reference, EmbeddingStats.of(first)), rounds=3)
    factor = np.linalg.cholesky(reference.covariance)
    product = fastest(lambda: generated.reshape(-1, dim) @ factor, rounds=3)[0]
    spectra = fastest(lambda: np.linalg.eigvalsh(draw(1000, frames - 1, frames - 1, seed=2)), rounds=3)[0]
    floor = (product + spectra) / len(generated)
    benchmark.extra_info.update(ratio=peers_time / mine, floor=floor)
    print(
        f"\nper-item FAD, d={dim}, {frames} frames: {1e3 * mine:.3f} ms an item"
        f"; frechet-audio-distance's Fréchet {1e3 * peers_time:.1f} ms: {peers_time / mine:.0f} times (asked: 100)"
        f"; our full Fréchet {1e3 * own:.2f} ms: {own / mine:.0f} times"
        f"; floor (one product, small spectra) {1e3 * floor:.3f} ms, ours is {mine / floor:.1f} of it"
    )
    assert score.per_item is not None and score.per_item[0] == pytest.approx(expected, rel=1e-9)
    assert peers_value == pytest.approx(expected, rel=1e-3)


def test_fad_infinity(benchmark: BenchmarkFixture, by_square_root: Callable[..., float], fastest: Fastest) -> None:
    reference, generated = EmbeddingStats.of(draw(5000, DIM, seed=0)), draw(ITEMS, FRAMES, DIM, seed=1)
    score = benchmark.pedantic(lambda: fad_infinity(reference, generated), rounds=2, warmup_rounds=0)
    mine = benchmark.stats.stats.min
    rows = generated.reshape(-1, DIM)
    moments = reference.mean, reference.covariance, rows.mean(axis=0), np.cov(rows, rowvar=False)
    each, _ = fastest(by_square_root, *moments, rounds=3)
    print(
        f"\nFAD-infinity, {ITEMS} items x {FRAMES} frames x d={DIM}: {mine:.2f} s with its interval"
        f"; 25 square roots, without one: {25 * each:.2f} s; R^2 {score.extra['r_squared']:.5f}"
    )


@pytest.mark.parametrize("metric", [kad, kid], ids=lambda metric: metric.__name__)
def test_kernel_distances(benchmark: BenchmarkFixture, fastest: Fastest, metric: Callable[..., Any]) -> None:
    reference, generated = draw(ITEMS, FRAMES, DIM, seed=0), draw(ITEMS, FRAMES, DIM, seed=1)
    benchmark.pedantic(lambda: metric(reference, generated, seed=0), rounds=2, warmup_rounds=0)
    mine = benchmark.stats.stats.min
    flat = reference.reshape(-1, DIM), generated.reshape(-1, DIM)

    def plain() -> None:
        """One value from full matrices of pairs, without an interval."""
        for a, b in ((flat[0], flat[0]), (flat[1], flat[1]), (flat[0], flat[1])):
            np.exp(-cdist(a, b, "sqeuclidean")).sum()

    theirs, _ = fastest(plain, rounds=1)
    floor = 2 * fastest(lambda: (flat[0] @ flat[1].T).sum(), rounds=2)[0]
    print(
        f"\n{metric.__name__}, {ITEMS} items x {FRAMES} frames x d={DIM}, with 200 replicates: {mine:.2f} s"
        f"; full matrices, no interval: {theirs:.2f} s, {theirs / mine:.1f} times"
        f"; floor (inner products of the pairs) {floor:.2f} s, ours is {mine / floor:.1f} of it"
    )


def test_neighbours_and_diversity(benchmark: BenchmarkFixture, fastest: Fastest) -> None:
    reference, generated = draw(1000, 512, seed=0), draw(1000, 512, seed=1)
    benchmark.pedantic(lambda: prdc(reference, generated), rounds=2, warmup_rounds=0)
    mine = benchmark.stats.stats.min
    floor = 3 * fastest(cdist, reference, generated, rounds=2)[0]
    diverse = fastest(lambda: vendi(generated), rounds=1)[0]
    print(
        f"\nprecision, recall, density, coverage of 1000 items, d=512, with intervals: {mine:.2f} s"
        f"; floor (three matrices of exact distances) {floor:.2f} s, ours is {mine / floor:.1f} of it"
        f"; Vendi with 200 replicates {diverse:.2f} s"
    )
