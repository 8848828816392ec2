"""Squared maximum mean discrepancy of two sets of items, unbiased, at any number of frames in bounded memory.

    MMD^2 = mean k(g, g') + mean k(r, r') - 2 mean k(g, r)                      Gretton et al. 2012, eq. 3

Conventions: rows are frames, (frames, dim) float64, and `frames` says how many of them each item has. The first two
means are over pairs of frames of *different* items: frames of one sound resemble each other, and with them the estimate
would be biased. With one frame per item this is the U-statistic of the source. Kernels are evaluated in tiles; only
sums over pairs of items are kept, and of these only products with the subsets asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.arrays import Array

Kernel = Callable[[Array, Array], Array]
"""(rows, dim) and (others, dim) to (rows, others)."""

_TILE = 1024


def squared_mmd(
    reference: Array,
    reference_frames: NDArray[np.int64],
    generated: Array,
    frames: NDArray[np.int64],
    kernel: Kernel,
    chosen: Array,
) -> Array:
    """Squared MMD of each subset of generated items, `chosen` (subsets, items) of 0 and 1, from the reference."""
    everything = np.ones((1, len(reference_frames)))
    among_reference = _within(reference, reference_frames, kernel, everything)[0]
    across = chosen @ _across(generated, frames, reference, kernel) / (chosen @ frames)
    return np.asarray(_within(generated, frames, kernel, chosen) + among_reference - 2 * across)


def _within(rows: Array, frames: NDArray[np.int64], kernel: Kernel, chosen: Array) -> Array:
    """Mean of the kernel over pairs of frames of different chosen items, one for each subset."""
    totals = np.zeros(len(chosen))
    tiles = _tiles(frames)
    for index, (items, span) in enumerate(tiles):
        for others, other_span in tiles[index:]:
            sums = _by_item(_by_item(kernel(rows[span], rows[other_span]), frames[items]).T, frames[others]).T
            if items == others:
                np.fill_diagonal(sums, 0.0)
                sums /= 2  # its pairs are all there twice; those of the other tiles once
            totals += 2 * ((chosen[:, items] @ sums) * chosen[:, others]).sum(axis=1)
    return np.asarray(totals / ((chosen @ frames) ** 2 - chosen @ frames**2))


def _across(rows: Array, frames: NDArray[np.int64], others: Array, kernel: Kernel) -> Array:
    """For each item, the sum over its frames of the kernel's mean over the other rows."""
    sums = np.zeros(len(rows))
    for start in range(0, len(rows), _TILE):
        for other in range(0, len(others), _TILE):
            block = kernel(rows[start : start + _TILE], others[other : other + _TILE])
            sums[start : start + _TILE] += block.sum(axis=1)
    return np.asarray(_by_item(sums[:, None], frames)[:, 0] / len(others))


def _by_item(values: Array, frames: NDArray[np.int64]) -> Array:
    """Rows of the same item added up."""
    if len(values) == len(frames):
        return values
    return np.asarray(np.add.reduceat(values, np.concatenate([[0], np.cumsum(frames)[:-1]]), axis=0))


def _tiles(frames: NDArray[np.int64]) -> list[tuple[slice, slice]]:
    """Consecutive items, as many as have 1024 frames together but at least one, and the span of their frames."""
    ends = np.cumsum(frames)
    tiles, first, start = list[tuple[slice, slice]](), 0, 0
    while first < len(frames):
        last = max(int(np.searchsorted(ends, start + _TILE, side="right")), first + 1)
        tiles.append((slice(first, last), slice(start, int(ends[last - 1]))))
        first, start = last, int(ends[last - 1])
    return tiles
