"""Per-item FAD: the Fréchet distance of each sound's own frames from the reference; the score is the mean over items.

Conventions: as FAD, each item of generated being a set of its own. Lower is better; unit: squared embedding units. An
item of n frames spans n - 1 directions, so most of the reference's spread is always missing from it: values are far
above FAD, fall as items grow longer, and compare only between items of as many frames. They rank sounds (which ones are
odd?), and rank systems where all sounds are of one length. A sound of a single frame has no covariance, hence no value:
it is refused, with the count, rather than given the covariance zero.
Source: Gui et al. 2024, "Adapting Fréchet Audio Distance for Generative Music Evaluation", arXiv:2311.01616, section 4.

Numerics: the reference is factored once (frechet.py). An item's n centred frames are turned into n - 1 orthogonal
contrasts, which have the same scatter and full rank, and the nuclear norm is taken of their (n - 1, dim) product with
the factor, all items of as many frames at once. An item so costs n dim^2 and not dim^3.

Interval: of a mean over items (uncertainty.py); `per_item` has each item's distance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipsonic_metrics.arrays import Array, Embeddings, same_dim
from clipsonic_metrics.errors import MetricsError, NotComparable
from clipsonic_metrics.frechet import covariance_factor, nuclear_norms
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.scores.fad import reference_stats
from clipsonic_metrics.stats import EmbeddingStats
from clipsonic_metrics.subsets import Items, MomentsOfItems, read_items
from clipsonic_metrics.uncertainty import LEVEL, mean_interval

NAME = "per-item-fad"
VERSION = 1
UNIT = "squared distance"
DIRECTION: Direction = "lower"
_NUMBERS = 2**22
"""At once in the product of items with the factor: 32 MB."""


def per_item_fad(
    reference: Embeddings | EmbeddingStats,
    generated: Items,
    *,
    seed: int = 0,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Score:
    """Mean Fréchet distance of single sounds from reference sounds, with `per_item`.

    Raises:
        MetricsError: items of one frame (their count and the first positions), different dimensions, or rows that are
            not finite.
        NotComparable: statistics of the reference or of an item made under another protocol.
    """
    target = reference_stats(reference, protocol)
    made = read_items(generated, "generated")
    frames = made.frames
    single = np.flatnonzero(frames < 2)
    if len(single):
        where = ", ".join(str(index) for index in single[:5]) + (", ..." if len(single) > 5 else "")
        raise MetricsError(
            f"{len(single)} of {len(frames)} items (at {where}) have one frame, which has no covariance; "
            "leave them out, or use an embedder with a shorter hop"
        )
    if isinstance(made, MomentsOfItems):
        per_item = _distances_of_moments(target, made.items)
    else:
        same_dim(target.mean[None], made.rows)
        per_item = _distances(target, made.rows, frames)
    interval = mean_interval(per_item, seed=seed, level=level, within=(0, np.inf))
    return Score(
        NAME,
        VERSION,
        float(per_item.mean()),
        interval.low,
        interval.high,
        level,
        len(per_item),
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, protocol),
        interval.method,
        {
            "median": float(np.median(per_item)),
            "fewest_frames": int(frames.min()),
            "most_frames": int(frames.max()),
            "reference_frames": target.count,
        },
        per_item,
    )


def _distances(target: EmbeddingStats, rows: Array, frames: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Array:
    factor = covariance_factor(target)
    spread = float(np.sum(factor**2))
    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    found = np.empty(len(frames))
    for count in np.unique(frames):
        alike = np.flatnonzero(frames == count)
        contrasts = _contrasts(int(count))
        step = max(1, _NUMBERS // (int(count) * target.dim))
        for start in range(0, len(alike), step):
            chosen = alike[start : start + step]
            items = rows[starts[chosen][:, None] + np.arange(count)]
            shift = np.sum((items.mean(axis=1) - target.mean) ** 2, axis=1)
            spanned = contrasts @ items  # (items, count - 1, dim)
            trace = np.sum(spanned**2, axis=(1, 2))
            flat = spanned.reshape(-1, target.dim) @ factor.T
            crossed = nuclear_norms(flat.reshape(len(chosen), int(count) - 1, len(factor)))
            found[chosen] = shift + spread + trace - 2 * crossed
    return np.maximum(found, 0.0)


def _distances_of_moments(target: EmbeddingStats, items: Sequence[EmbeddingStats]) -> Array:
    factor = covariance_factor(target)
    spread = float(np.sum(factor**2))
    found = []
    for index, item in enumerate(items):
        same_dim(target.mean[None], item.mean[None])
        if item.protocol != target.protocol:
            raise NotComparable(
                f"item {index} was made under {item.protocol!r}, the reference under {target.protocol!r}; embed both "
                "with one protocol"
            )
        own = covariance_factor(item)
        shift = float(np.sum((item.mean - target.mean) ** 2))
        crossed = float(nuclear_norms((own @ factor.T)[None])[0])
        found.append(shift + spread + float(np.sum(own**2)) - 2 * crossed)
    return np.maximum(np.array(found), 0.0)


def _contrasts(count: int) -> Array:
    """(count - 1, count) with C^T C = centring / (count - 1): Helmert's rows, scaled."""
    matrix = np.tri(count, count, -1)[1:]
    ranks = np.arange(1.0, count)
    matrix[np.arange(count - 1), np.arange(1, count)] = -ranks
    return np.asarray(matrix / np.sqrt(ranks * (ranks + 1))[:, None] / np.sqrt(count - 1))
