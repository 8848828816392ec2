"""Sounds and pictures as data URIs, small enough for one HTML file: MP3 for the ear, a mel picture for the eye.

Mel picture: 64 HTK mel bands up to 8 kHz (or half the rate), 1024-point Hann windows, at most 160 columns, decibels
from -90 to 0 of full scale on one scale for all sounds, so that loud and quiet look different. For looking at, not
for scoring.
"""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

_BANDS: Final = 64
_WINDOW: Final = 1024
_COLUMNS: Final = 160
_FLOOR_DB: Final = -90.0
_LARGEST_FRAME: Final = 256
_ANCHORS: Final = ((8, 8, 24), (46, 18, 92), (130, 32, 118), (212, 72, 82), (248, 150, 66), (252, 246, 190))


def _uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def sound_uri(path: Path) -> str:
    """A sound file as MP3."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.mean(axis=1), rate_hz, format="MP3", subtype="MPEG_LAYER_III")
    return _uri("audio/mpeg", buffer.getvalue())


def mel_uri(path: Path) -> str:
    """The mel picture of a sound file, as PNG."""
    samples, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    levels = mel_levels(samples.mean(axis=1), rate_hz)
    shade = np.clip((levels - _FLOOR_DB) / -_FLOOR_DB * 255, 0, 255).astype(np.uint8)
    picture = Image.fromarray(shade[::-1]).convert("P")
    picture.putpalette(_palette())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return _uri("image/png", buffer.getvalue())


def frame_uri(frame: NDArray[np.uint8]) -> str:
    """A frame, at most 256 pixels on its longer side: PNG where it is that small already, JPEG where it was larger."""
    picture = Image.fromarray(frame)
    buffer = io.BytesIO()
    if max(picture.size) <= _LARGEST_FRAME:
        picture.save(buffer, "PNG", optimize=True)
        return _uri("image/png", buffer.getvalue())
    picture.thumbnail((_LARGEST_FRAME, _LARGEST_FRAME))
    picture.save(buffer, "JPEG", quality=85)
    return _uri("image/jpeg", buffer.getvalue())


def mel_levels(samples: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Decibels of full scale, (bands, columns), low bands first."""
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    hop = max(_WINDOW // 4, int(np.ceil(len(samples) / _COLUMNS)))
    starts = np.arange(0, max(len(samples), 1), hop)
    pieces = np.stack([padded[start : start + _WINDOW] for start in starts])
    window = np.hanning(_WINDOW)
    spectra = np.abs(np.fft.rfft(pieces * window, axis=1)) * 2 / window.sum()
    bands = np.sqrt((spectra**2) @ _filters(rate_hz))
    return np.asarray(20 * np.log10(np.maximum(bands, 10 ** (_FLOOR_DB / 20))).T)


@lru_cache(maxsize=8)
def _filters(rate_hz: int) -> NDArray[np.float64]:
    """Triangles on the HTK mel scale, (bins, bands)."""
    highest = min(8000.0, rate_hz / 2)
    mels = np.linspace(0, 2595 * np.log10(1 + highest / 700), _BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = np.fft.rfftfreq(_WINDOW, 1 / rate_hz)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) + 1e-12)


@lru_cache(maxsize=1)
def _palette() -> list[int]:
    places = np.linspace(0, 255, len(_ANCHORS))
    channels = [np.interp(np.arange(256), places, [anchor[c] for anchor in _ANCHORS]) for c in range(3)]
    return [int(value) for value in np.stack(channels, axis=1).ravel()]
