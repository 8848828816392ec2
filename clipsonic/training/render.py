"""Fixed prompts, rendered while a training runs: what the averaged network makes of the same few conditions and noise.

Each time `samples/SEEN/` gets a WAV and a PNG of the log-mel per prompt, SEEN being the number of training items seen.
Sounds are made by Griffin-Lim, whatever vocoder the model will have: it needs no weights and fits any mel.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clipsonic.mel import MelConfig
from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic.sounds import write_wav
from clipsonic.training.dataset import TrainingSet

Prompts = Mapping[str, NDArray[np.float32]]
"""Unit condition vectors (dim,) by the id that addresses their noise."""

_PROMPTS = 4
_HEIGHT = 256
"""About how high a spectrogram is in a picture, in pixels; it is at least twice as wide."""
_LEFT, _BELOW, _EDGE = 64, 24, 24
"""Margins of a picture in pixels: for frequencies, for seconds, and on the other two sides."""
_SHOWN_HZ = (0, 250, 500, 1000, 2000, 4000, 8000, 16000)
_SHOWN_TIMES = 5


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
    for name, samples, log_mel, gain in zip(ids, made.samples, made.log_mel, made.gain, strict=True):
        stem = folder / quote(name, safe=" ")
        write_wav(stem.with_name(f"{stem.name}.wav"), samples, made.rate_hz, gain)
        write_picture(stem.with_name(f"{stem.name}.png"), log_mel, pipeline.what.mel)


def write_picture(path: Path, log_mel: NDArray[np.float32], mel: MelConfig) -> None:
    """A log-mel (bands, frames) as a grey PNG, atomically: black is the floor, white the ceiling; axes in s and Hz."""
    floor = np.log(mel.floor)
    shade = np.clip((log_mel - floor) / (mel.ceiling - floor), 0, 1) * 255
    high, wide = pixels_of_a_value(mel)
    pixels = np.repeat(np.repeat(np.round(shade[::-1]).astype(np.uint8), high, axis=0), wide, axis=1)
    partial = path.with_name(f".{path.name}.part")
    try:
        _with_axes(pixels, mel).save(partial, format="PNG")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def pixels_of_a_value(mel: MelConfig) -> tuple[int, int]:
    """Height of a band and width of a frame in a picture, in pixels."""
    high = max(1, _HEIGHT // mel.bands)
    return high, max(1, math.ceil(2 * high * mel.bands / mel.frames))


def _with_axes(pixels: NDArray[np.uint8], mel: MelConfig) -> Image.Image:
    height, width = pixels.shape
    picture = Image.new("L", (_LEFT + width + _EDGE, _EDGE + height + _BELOW), 255)
    picture.paste(Image.fromarray(pixels), (_LEFT, _EDGE))
    draw, foot = ImageDraw.Draw(picture), _EDGE + height
    lowest, highest = _slaney(mel.f_min_hz), _slaney(mel.f_max_hz)
    for hz in _SHOWN_HZ:
        # of mel.bands + 2 points at equal distance, the first is f_min and the last f_max; the others are band centres
        row = (_slaney(hz) - lowest) / (highest - lowest) * (mel.bands + 1) - 0.5
        if -1 < row < mel.bands + 1:
            y = foot - round(min(max(row, 0), mel.bands) / mel.bands * height)
            draw.line((_LEFT - 4, y, _LEFT - 1, y), fill=0)
            draw.text((_LEFT - 6, y), f"{hz} Hz", fill=0, anchor="rm")
    seconds = mel.samples / mel.rate_hz
    for tick in range(_SHOWN_TIMES):
        share = tick / (_SHOWN_TIMES - 1)
        x = _LEFT + round(share * (width - 1))
        draw.line((x, foot, x, foot + 3), fill=0)
        draw.text((x, foot + 5), f"{share * seconds:.2f} s", fill=0, anchor="ma")
    return picture


def _slaney(hz: float) -> float:
    """Hz to mel of Slaney's scale, which the filters have: linear to 1000 Hz, then logarithmic."""
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)
