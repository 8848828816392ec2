"""FAD of infinitely many generated items, extrapolated from subsets of those there are.

    FAD(n) = FAD_inf + a / n + b / n^2,   fitted over subsets of n items by least squares

Conventions: as FAD. The items are cut at random into 8 blocks; for k = 8, 7, ... the 8 runs of k neighbouring blocks
(the last block is a neighbour of the first) are subsets of k eighths of the items, drawn *without* replacement, in
which every item is seen equally often. The mean distance over those runs, over `draws` seeded cuts, is one point of
the fit at 1 / n; the point at k = 8 is FAD itself. The smallest subsets hold 3 dim frames, or five eighths of all where
those are fewer, and a half of the items must hold 2 dim: below that the bias has no such form, and an extrapolation
would be a guess, so none is made. What the finite reference adds remains. Lower is better; may be slightly negative
where the distance is 0. The second order matters: a line through the same points goes 10 % of the bias too far at 4 dim
frames, the curve 1 %, and since the subsets are balanced it costs no spread.
Source: Chong & Forsyth 2020, "Effectively Unbiased FID and Inception Score", arXiv:1911.07023; Gui et al. 2024,
arXiv:2311.01616, for audio. Tools that draw subsets with replacement extrapolate to FAD at the items there are: a
subset's duplicates carry the bias of the whole set along.

Interval: over generated items, the reference held fixed. Its error is that of FAD by halves (uncertainty.py), which
the extrapolation shares to second order (what it removes, the diagonal of a quadratic form, hardly varies), with the
spread of the intercept over cuts added in quadrature. It covers FAD_inf.

Protocol: `draws` and the seed of the cuts decide the value, by about a tenth of its interval, and are in the id.

Extra: `r_squared` of the fit, `fad` of all items, `smallest` subset in items.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from clipsonic_metrics.arrays import Array, Embeddings
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.frechet import frechet_distance
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.scores.fad import reference_stats
from clipsonic_metrics.seeds import generator
from clipsonic_metrics.stats import EmbeddingStats
from clipsonic_metrics.subsets import Items, read_items
from clipsonic_metrics.uncertainty import HALF_REPLICATES, LEVEL, half_sample_error, half_samples

NAME = "fad-infinity"
VERSION = 1
UNIT = "squared distance"
DIRECTION: Direction = "lower"
BLOCKS = 8
DRAWS = 4
_TINY = float(np.finfo(np.float64).tiny)


def fad_infinity(
    reference: Embeddings | EmbeddingStats,
    generated: Items,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Score:
    """Fréchet audio distance of infinitely many sounds of this system from this reference.

    Raises:
        MetricsError: fewer than 16 items or 4 dim frames, fewer than two draws, or what `fad` raises.
        NotComparable: reference statistics made under another protocol.
    """
    target = reference_stats(reference, protocol)
    made = read_items(generated, "generated")
    items, frames = len(made.frames), int(made.frames.sum())
    if items < 2 * BLOCKS or frames < 4 * target.dim:
        need = f"{2 * BLOCKS} items and 4 dim = {4 * target.dim} frames"
        raise MetricsError(f"fad-infinity needs {need}; got {items} items, {frames} frames: generate more, or use kad")
    if draws < 2:
        raise MetricsError(f"draws is {draws}; expected 2 or more, whose spread is part of the interval")
    plug_in = frechet_distance(target, made.pooled(target.protocol))
    distances = made.distances(target)
    fewest = int(np.clip(np.ceil(BLOCKS * 3 * target.dim / frames), 2, 5))
    runs = np.arange(BLOCKS, fewest - 1, -1)
    points = np.full((draws, len(runs)), plug_in)
    rng = generator(seed)
    for draw in range(draws):
        block = _blocks(items, rng)
        for column, run in enumerate(runs[1:], 1):
            points[draw, column] = distances.of(_runs(block, int(run))).mean()
    coefficients = _fit(BLOCKS / runs, points)
    intercepts, value = coefficients[:, 0], float(coefficients[:, 0].mean())
    observed = points.mean(axis=0)
    unexplained = observed - np.vander(BLOCKS / runs, 3, increasing=True) @ coefficients.mean(axis=0)
    halves = distances.of(half_samples(items, seed=seed, replicates=replicates))
    error = np.hypot(half_sample_error(halves, items), intercepts.std(ddof=1) / np.sqrt(draws))
    reach = float(stdtrit(items - 1, (1 + level) / 2) * error)
    return Score(
        NAME,
        VERSION,
        value,
        value - reach,
        value + reach,
        level,
        items,
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, f"{draws}-cuts-seed{seed}/{protocol}"),
        f"delete-half jackknife over items, {len(halves)} replicates, and spread over {draws} cuts, t({items - 1})",
        {
            "r_squared": 1
            - float(np.sum(unexplained**2)) / max(float(np.sum((observed - observed.mean()) ** 2)), _TINY),
            "fad": plug_in,
            "smallest": round(fewest * items / BLOCKS),
            "frames": frames,
            "reference_frames": target.count,
            "seed": seed,
        },
    )


def _blocks(items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A block, 0 to 7, for each item: blocks of equal size but for one item."""
    block = np.empty(items, dtype=np.int64)
    block[rng.permutation(items)] = np.arange(items) * BLOCKS // items
    return block


def _runs(block: NDArray[np.int64], run: int) -> NDArray[np.bool_]:
    """The 8 subsets of `run` neighbouring blocks, (8, items)."""
    return np.asarray((block[None] - np.arange(BLOCKS)[:, None]) % BLOCKS < run)


def _fit(x: Array, y: Array) -> Array:
    """Coefficients of 1, x and x^2 for each row of y, (rows, 3)."""
    return np.asarray(y @ np.linalg.pinv(np.vander(x, 3, increasing=True)).T)
