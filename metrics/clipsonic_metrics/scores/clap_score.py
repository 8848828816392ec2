"""CLAP score: mean cosine between a sound and its caption in the space of an audio-text encoder.

Conventions: audio is (items, dim), (items, frames, dim), or a sequence of (frames, dim): a sound of several windows is
the normalised mean of its unit window vectors. text is (items, dim), item i the caption of sound i. Neither clipped nor
scaled: range -1 to 1, higher is better. Source: Wu et al. 2023 (LAION-CLAP), arXiv:2211.06687, cosine of eq. 1; the
convention of audiocraft and stable-audio-metrics. It compares with the caption, and so favours systems that were asked
by the caption over systems that were asked by an image.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from clipsonic_metrics.arrays import Array, Embeddings, cosines_of, matrix, same_length, unit_items, unit_rows
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import LEVEL, mean_interval

NAME = "clap-score"
VERSION = 1
UNIT = "cosine"
DIRECTION: Direction = "higher"


def clap_score(
    audio: Embeddings, text: ArrayLike, *, seed: int = 0, level: float = LEVEL, protocol: str = "arrays"
) -> Score:
    """Mean cosine of paired sounds and captions, with `per_item`.

    Raises:
        MetricsError: unequal items or dimensions, rows that are zero or not finite.
    """
    cosines = clap_cosines(audio, text)
    interval = mean_interval(cosines, seed=seed, level=level, within=(-1, 1))
    return Score(
        NAME,
        VERSION,
        float(cosines.mean()),
        interval.low,
        interval.high,
        level,
        len(cosines),
        UNIT,
        DIRECTION,
        protocol_id(NAME, VERSION, protocol),
        interval.method,
        per_item=cosines,
    )


def clap_cosines(audio: Embeddings, text: ArrayLike) -> Array:
    """Cosine of each pair, shape (items,); raises as `clap_score`."""
    sounds = unit_items(audio, "audio")
    captions = unit_rows(matrix(text, "text"), "text")
    same_length(sounds, captions, ("audio", "text"))
    return cosines_of(sounds, captions)
