"""CLIP score of sounds: 100 x mean cosine between a sound and its image in the space of CLIP's image encoder.

    CS = 100 mean over items of mean over frames f of cos(image_f, audio)

Conventions: audio comes from an audio-to-CLIP encoder (Wav2CLIP): (items, dim), (items, windows, dim), or a sequence
of (windows, dim), windows averaged as in the CLAP score. image is (items, dim), or (items, frames, dim) or a sequence
of (frames, dim) for videos: each frame is compared with the whole sound, then averaged. Not clipped at zero (Hessel's
CLIPScore is, and has the factor 2.5). Range -100 to 100, higher is better.
Source: Sheffer & Adi 2023 (Im2Wav), arXiv:2211.03089, section 4; gamma = 100. It compares with the frame, and so
favours systems that were asked by the image over systems that were asked by a caption.
"""

from __future__ import annotations

import numpy as np

from clipsonic_metrics.arrays import Array, Embeddings, cosines_of, frames_of_items, unit_items, unit_rows
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.uncertainty import LEVEL, mean_interval

NAME = "clip-score"
VERSION = 1
UNIT = "100 x cosine"
DIRECTION: Direction = "higher"


def clip_score(
    audio: Embeddings, image: Embeddings, *, seed: int = 0, level: float = LEVEL, protocol: str = "arrays"
) -> Score:
    """100 x mean cosine of paired sounds and images, with `per_item`.

    Raises:
        MetricsError: unequal items or dimensions, rows that are zero or not finite.
    """
    per_item = clip_cosines(audio, image)
    interval = mean_interval(per_item, seed=seed, level=level, within=(-100, 100))
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
        per_item=per_item,
    )


def clip_cosines(audio: Embeddings, image: Embeddings) -> Array:
    """100 x mean cosine of each sound with its frames, shape (items,); raises as `clip_score`."""
    sounds = unit_items(audio, "audio")
    rows, frames = frames_of_items(image, "image")
    if len(sounds) != len(frames) or sounds.shape[1] != rows.shape[1]:
        found = f"audio has {len(sounds)} items of dim {sounds.shape[1]}, image {len(frames)} of dim {rows.shape[1]}"
        raise MetricsError(f"{found}; expected equal: pair by id, and embed both into one space")
    cosines = cosines_of(unit_rows(rows, "image"), np.repeat(sounds, frames, axis=0))
    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    return np.asarray(np.clip(100 * np.add.reduceat(cosines, starts) / frames, -100.0, 100.0))
