"""Fréchet audio distance: how far two sets of sounds are apart, each seen as a Gaussian of embeddings.

Conventions: reference and generated are (items, dim), (items, frames, dim), or a sequence of (frames, dim); generated
may also be the moments of each item, the reference those of all. All frames of a set are pooled. Lower is better; 0 iff
means and covariances agree; unit: squared embedding units. Biased upward for few frames by an amount of order dim /
frames: compare systems at equal numbers of items only.
Source: Kilgour et al. 2019, "Fréchet Audio Distance", arXiv:1812.08466, eq. 1; the distance itself is frechet.py.

Interval: over generated items, the reference held fixed; delete-half jackknife (uncertainty.py), because a bootstrap's
duplicates raise FAD. It covers the expected FAD of this many items, which is what `value` estimates.

Extra: `bias` is the part of value that comes from having this many generated items: it falls as 1/n, so that it is mean
over halves minus value, times h / (n - h) for halves of h among n items, which is less than 1 where n is odd;
`extrapolated`, with `extrapolated_low` and `extrapolated_high`, is value minus bias: the distance of infinitely many
items of this system from this reference. The three are given where a half has at least 2 dim frames, since below that
the bias does not yet fall as 1/n. It is the two-point form of fad-infinity, which is more exact where frames are few.
"""

from __future__ import annotations

import numpy as np

from clipsonic_metrics.arrays import Embeddings, frames_of_items
from clipsonic_metrics.errors import MetricsError, NotComparable
from clipsonic_metrics.frechet import frechet_distance
from clipsonic_metrics.score import Difference, Direction, Score, protocol_id
from clipsonic_metrics.stats import EmbeddingStats
from clipsonic_metrics.subsets import Items, read_items
from clipsonic_metrics.uncertainty import (
    FEWEST_ITEMS,
    HALF_REPLICATES,
    LEVEL,
    half_sample_interval,
    half_samples,
    no_interval,
)

NAME = "fad"
VERSION = 1
UNIT = "squared distance"
DIRECTION: Direction = "lower"


def fad(
    reference: Embeddings | EmbeddingStats,
    generated: Items,
    *,
    seed: int = 0,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str = "arrays",
) -> Score:
    """Fréchet audio distance of generated sounds from reference sounds.

    Raises:
        MetricsError: different dimensions, rows that are not finite, or fewer than two frames on a side.
        NotComparable: reference statistics made under another protocol.
    """
    target = reference_stats(reference, protocol)
    made = read_items(generated, "generated")
    frames, items = made.frames, len(made.frames)
    value = frechet_distance(target, made.pooled(target.protocol))
    extra: dict[str, float | int | str] = {"frames": int(frames.sum()), "reference_frames": target.count}
    interval = no_interval(items, level)
    if items >= FEWEST_ITEMS:
        chosen = half_samples(items, seed=seed, replicates=replicates)
        halves = made.distances(target).of(chosen)
        interval = half_sample_interval(value, halves, items, level=level)
        assert interval.low is not None and interval.high is not None
        if chosen[0] @ frames >= 2 * target.dim:
            half = items // 2
            bias = (float(halves.mean()) - value) * half / (items - half)  # halves of odd numbers are smaller than half
            extra |= {"bias": bias, "extrapolated": value - bias}
            extra |= {"extrapolated_low": interval.low - bias, "extrapolated_high": interval.high - bias}
    interval = interval.around(value, (0.0, np.inf))  # after `extra`, whose ends may lie below zero
    return Score(
        NAME,
        VERSION,
        value,
        interval.low,
        interval.high,
        level,
        items,
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, protocol),
        interval.method,
        extra,
    )


def paired_bootstrap_fad(
    reference: Embeddings | EmbeddingStats,
    a: Items,
    b: Items,
    *,
    seed: int,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str | None = None,
) -> Difference:
    """FAD of a minus FAD of b, where item i of both answers the same query; interval over items. `protocol` None is
    that of the reference statistics, or "arrays".

    Both are resampled with the same halves, so what they share, finite-sample bias included, cancels to first order.

    Raises:
        MetricsError: different numbers of items, fewer than four, or what `fad` raises.
        NotComparable: statistics made under another protocol.
    """
    if protocol is None:
        protocol = (reference.protocol if isinstance(reference, EmbeddingStats) else "") or "arrays"
    target = reference_stats(reference, protocol)
    left, right = read_items(a, "a"), read_items(b, "b")
    items = len(left.frames)
    if len(right.frames) != items:
        raise MetricsError(f"a has {items} items and b {len(right.frames)}; pair them by id first")
    chosen = half_samples(items, seed=seed, replicates=replicates)
    pooled = left.pooled(target.protocol), right.pooled(target.protocol)
    value = frechet_distance(target, pooled[0]) - frechet_distance(target, pooled[1])
    halves = left.distances(target).of(chosen) - right.distances(target).of(chosen)
    interval = half_sample_interval(value, halves, items, level=level)
    assert interval.low is not None and interval.high is not None
    made_under = protocol_id(NAME, VERSION, protocol)
    return Difference(NAME, value, interval.low, interval.high, level, items, interval.method, made_under, DIRECTION)


def reference_stats(reference: Embeddings | EmbeddingStats, protocol: str = "arrays") -> EmbeddingStats:
    """Statistics of the reference, pooled from its frames unless they are given.

    Raises:
        NotComparable: the statistics given were made under another protocol than `protocol`.
    """
    if isinstance(reference, EmbeddingStats):
        if (reference.protocol or "arrays") != protocol:
            made = reference.protocol or "no protocol"
            raise NotComparable(
                f"the reference was made under {made!r}, the sounds under {protocol!r}; name it to both"
            )
        return reference
    return EmbeddingStats.of(frames_of_items(reference, "reference")[0])
