"""Fixed prompts, rendered while a training runs: what the averaged network makes of the same few conditions and noise.

Each time `samples/SEEN/` gets a WAV and a PNG of the log-mel per prompt, SEEN being the number of training items seen.
Sounds are made by Griffin-Lim, whatever vocoder the model will have: it needs no weights and fits any mel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipsonic.mel import MelConfig
from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic.sounds import write_wav
from clipsonic.training.dataset import TrainingSet

Prompts = Mapping[str, NDArray[np.float32]]
"""Unit condition vectors (dim,) by the id that addresses their noise."""

_PROMPTS = 4
_PIXELS = 4
"""Height of a mel band in a picture."""


def rows_as_prompts(data: TrainingSet) -> Prompts:
    """The middle vectors of a few rows, evenly spaced: what to render where nothing is asked for."""
    count = min(_PROMPTS, len(data.ids))
    rows = np.arange(count) * len(data.ids) // count
    found = data.conditions(rows)
    return {data.ids[row]: vectors[len(vectors) // 2] for row, vectors in zip(rows, found, strict=True)}


def render(pipeline: CLIPSonicPipeline, prompts: Prompts, seed: int, folder: Path) -> None:
    """Write `ID.wav` and `ID.png` of every prompt into `folder`; ids are quoted as in addresses on the web."""
    ids = list(prompts)
    made = pipeline.generate(np.stack([prompts[name] for name in ids]), ids, seed=seed, batch_size=len(ids))
    for name, samples, log_mel in zip(ids, made.samples, made.log_mel, strict=True):
        stem = folder / quote(name, safe=" ")
        write_wav(stem.with_name(f"{stem.name}.wav"), samples, made.rate_hz)
        write_picture(stem.with_name(f"{stem.name}.png"), log_mel, pipeline.what.mel)


def write_picture(path: Path, log_mel: NDArray[np.float32], mel: MelConfig) -> None:
    """A log-mel (bands, frames) as a grey PNG, low bands below, atomically: black is the floor, white the ceiling."""
    floor = np.log(mel.floor)
    shade = np.clip((log_mel - floor) / (mel.ceiling - floor), 0, 1) * 255
    pixels = np.repeat(np.round(shade[::-1]).astype(np.uint8), _PIXELS, axis=0)
    partial = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(pixels).save(partial, format="PNG")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
