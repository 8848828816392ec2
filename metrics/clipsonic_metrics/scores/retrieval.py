"""Retrieval R@k: how often a sound's own caption is among the k captions nearest to it.

Conventions: audio (queries) and text (gallery) as in the CLAP score, item i of one belonging to item i of the other;
nearness is the cosine. Captions that tie with the right one (identical captions, above all) are ordered at random, in
expectation: an item scores the probability of being among the first k, so a collapsed encoder scores chance and not 1.
Range 0 to 1, higher is better; `extra` holds chance, k / items, on which the value depends: compare
at equal items only. k is part of the protocol. For text-to-audio retrieval, swap the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipsonic_metrics.arrays import Embeddings, same_length, unit_items
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import LEVEL, wilson

NAME = "retrieval"
VERSION = 1
UNIT = "share"
DIRECTION: Direction = "higher"
_TIE = 1e-9
"""Cosines closer than this are one: identical captions may differ by rounding."""


def retrieval(
    audio: Embeddings, text: Embeddings, *, k: Sequence[int] = (1, 10), level: float = LEVEL, protocol: str = "arrays"
) -> dict[int, Score]:
    """R@k for each k, with `per_item`; the metric is named `retrieval@k`.

    Raises:
        MetricsError: unequal items or dimensions, rows that are zero or not finite, or k outside 1 to items.
    """
    queries, gallery = unit_items(audio, "audio"), unit_items(text, "text")
    same_length(queries, gallery, ("audio", "text"))
    items = len(queries)
    wrong = [value for value in k if not 1 <= value <= items]
    if wrong:
        raise MetricsError(f"k = {wrong[0]} with {items} items; expected 1 to {items}")
    nearer, tied = np.zeros(items), np.zeros(items)
    for start in range(0, items, 1024):
        block = slice(start, min(start + 1024, items))
        cosines = queries[block] @ gallery.T
        own = cosines[np.arange(len(cosines)), np.arange(start, block.stop)][:, None]
        nearer[block] = (cosines > own + _TIE).sum(axis=1)
        tied[block] = (np.abs(cosines - own) <= _TIE).sum(axis=1)  # the right one included
    return {value: _recall(value, np.clip((value - nearer) / tied, 0, 1), level, protocol) for value in k}


def _recall(k: int, per_item: np.ndarray[tuple[int], np.dtype[np.float64]], level: float, protocol: str) -> Score:
    items = len(per_item)
    interval = wilson(float(per_item.sum()), items, level=level)
    return Score(
        f"{NAME}@{k}",
        VERSION,
        float(per_item.mean()),
        interval.low,
        interval.high,
        level,
        items,
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, f"k{k}/{protocol}"),
        interval.method,
        {"chance": k / items},
        per_item,
    )
