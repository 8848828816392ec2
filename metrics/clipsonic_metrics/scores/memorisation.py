"""Memorisation: are generated sounds nearer to the training sounds than new real sounds are?

    s(x)       largest cosine of a window of x with a window of a training sound
    threshold  the 95 % quantile of s over reference sounds, real ones the system was not trained on
    score      share of generated sounds with s above the threshold

Conventions: all three are (items, dim), (items, frames, dim), or a sequence of (frames, dim). Windows are compared, not
means of sounds: a sound that copies two seconds and goes on differently is found. Lower is better; a system that copies
as little as reality does has `expected` (5 % with many reference sounds), which is in `extra` with the threshold and
the means. A cosine alone says nothing, since embeddings of any two sounds are alike to some degree: hence the baseline.
The quantile is the order statistic that a further reference sound exceeds with probability `expected` exactly, whatever
the distribution (Vovk et al. 2005, conformal prediction); it is 1 / (reference items + 1) below 19 reference sounds.
Give reference and generated sounds of one length: more windows, larger maximum.

Interval: Wilson over generated items, training and reference held fixed. `nearest` names each item's neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.arrays import Array, Embeddings, frames_of_items, same_dim, unit_rows
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import LEVEL, wilson

NAME = "memorisation"
VERSION = 1
UNIT = "share"
DIRECTION: Direction = "lower"
QUANTILE = 0.95
_BLOCK = 1024


@dataclass(frozen=True)
class Memorisation:
    """The score, and each generated item's nearest training sound, (items,): its position and the cosine to it."""

    score: Score
    nearest: NDArray[np.int64]
    cosine: Array
    baseline: Array
    """The same cosine for each reference item, (reference items,)."""


def memorisation(
    training: Embeddings,
    reference: Embeddings,
    generated: Embeddings,
    *,
    quantile: float = QUANTILE,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Memorisation:
    """Share of generated sounds nearer to the training sounds than `quantile` of the reference sounds.

    Raises:
        MetricsError: different dimensions, rows that are zero or not finite, a quantile outside 0 to 1, or a reference
            so full of training sounds that its threshold is a copy.
    """
    if not 0 < quantile < 1:
        raise MetricsError(f"quantile is {quantile}; expected between 0 and 1")
    sides = [frames_of_items(x, name) for x, name in ((training, "training"), (reference, "reference"))]
    (known, known_frames), (real, real_frames) = sides
    rows, frames = frames_of_items(generated, "generated")
    same_dim(known, real)
    same_dim(known, rows)
    known = unit_rows(known, "training")
    item_of_row = np.repeat(np.arange(len(known_frames)), known_frames)
    baseline, _ = _nearest(unit_rows(real, "reference"), real_frames, known)
    cosine, row = _nearest(unit_rows(rows, "generated"), frames, known)
    rank = min(len(baseline), int(np.ceil(quantile * (len(baseline) + 1) - 1e-9)))
    threshold = float(np.sort(baseline)[rank - 1])
    if threshold > 1 - 1e-9:
        copies = int(np.count_nonzero(baseline > 1 - 1e-9))
        raise MetricsError(
            f"{copies} of {len(baseline)} reference sounds are training sounds; give real sounds not trained on"
        )
    per_item = (cosine > threshold).astype(np.float64)
    interval = wilson(float(per_item.sum()), len(per_item), level=level)
    score = Score(
        NAME,
        VERSION,
        float(per_item.mean()),
        interval.low,
        interval.high,
        level,
        len(per_item),
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, f"q{quantile:g}/{protocol}"),
        interval.method,
        {
            "threshold": threshold,
            "expected": (len(baseline) + 1 - rank) / (len(baseline) + 1),
            "mean_cosine": float(cosine.mean()),
            "mean_reference_cosine": float(baseline.mean()),
            "training_items": len(known_frames),
            "reference_items": len(real_frames),
        },
        per_item,
    )
    return Memorisation(score, item_of_row[row], cosine, baseline)


def _nearest(rows: Array, frames: NDArray[np.int64], known: Array) -> tuple[Array, NDArray[np.int64]]:
    """For each item, the largest cosine of its rows with `known`, and that row of `known`, the first if several."""
    best, where = np.full(len(rows), -np.inf), np.zeros(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        span = slice(start, start + _BLOCK)
        for other in range(0, len(known), _BLOCK):
            cosines = rows[span] @ known[other : other + _BLOCK].T
            column = cosines.argmax(axis=1)
            found = cosines[np.arange(len(cosines)), column]
            better = found > best[span]
            best[span] = np.where(better, found, best[span])
            where[span] = np.where(better, other + column, where[span])
    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    each = np.maximum.reduceat(best, starts)
    first = np.array(
        [start + int(np.argmax(best[start : start + count])) for start, count in zip(starts, frames, strict=True)]
    )
    return np.clip(each, -1.0, 1.0), where[first]
