"""Sounds made here: the tones of the headphone check, and the noise by which the volume is set.

Headphone check (Woods, Siegel, Traer & McDermott 2017): three tones of 200 Hz, one of which is 6 dB quieter, one in
antiphase between the ears. Over loudspeakers the antiphase tone cancels and seems the quietest; over headphones it
does not. Tones last 1 s with 100 ms raised-cosine ramps.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

TONE_HZ: Final = 200.0
TONE_S: Final = 1.0
RAMP_S: Final = 0.1
QUIETER_DB: Final = 6.0
NOISE_S: Final = 8.0
_NOISE_HZ: Final = (60.0, 7000.0)

Samples = NDArray[np.float64]


def tones(rate_hz: int) -> dict[str, Samples]:
    """`full`, `quiet` and `antiphase`: (frames, 2), peak 0.5 for the full one."""
    time = np.arange(round(TONE_S * rate_hz)) / rate_hz
    tone = 0.5 * np.sin(2 * np.pi * TONE_HZ * time) * _ramps(len(time), rate_hz)
    return {
        "full": np.stack([tone, tone], axis=1),
        "quiet": np.stack([tone, tone], axis=1) * 10 ** (-QUIETER_DB / 20),
        "antiphase": np.stack([tone, -tone], axis=1),
    }


def volume_noise(rate_hz: int, channels: int, seed: int) -> Samples:
    """Pink noise from 60 Hz to 7 kHz, the same in all channels, peak 0.5, (frames, channels)."""
    frames = round(NOISE_S * rate_hz)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(frames))
    frequencies = np.fft.rfftfreq(frames, 1 / rate_hz)
    low, high = _NOISE_HZ
    weight = np.where((frequencies >= low) & (frequencies <= high), 1 / np.sqrt(np.maximum(frequencies, low)), 0.0)
    noise = np.fft.irfft(spectrum * weight, frames) * _ramps(frames, rate_hz)
    return np.repeat(0.5 * noise[:, None] / np.max(np.abs(noise)), channels, axis=1)


def _ramps(frames: int, rate_hz: int) -> Samples:
    count = round(RAMP_S * rate_hz)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    shape = np.ones(frames)
    shape[:count] = rise
    shape[frames - count :] = rise[::-1]
    return shape
