"""Synthesise the sound of an item: 2.048 s, 16 kHz, mono, float32 in [-1, 1].

Kind chooses the synthesis, size the pitch (large is low, about an octave each way), count how often or how fast it
sounds, material the brightness and decay (metal rings, wood is dull and short), background what lies around it
(nothing, reverberation, traffic rumble, wind). Nuisance, drawn anew per item: phases, onsets, small detuning, level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from clipsonic_benchmarks.microworld.factors import Factors

RATE_HZ: Final = 16_000
SAMPLES: Final = 32_768
DURATION_S: Final = SAMPLES / RATE_HZ

Wave = NDArray[np.float64]
_PITCH: Final = {"small": 2.0**0.8, "medium": 1.0, "large": 2.0**-0.8}
_TIME: Final = np.arange(SAMPLES) / RATE_HZ
_NYQUIST: Final = RATE_HZ / 2


def _filter(wave: Wave, kind: str, *edges_hz: float) -> Wave:
    edges = [min(edge, 0.95 * _NYQUIST) for edge in edges_hz]
    sos = butter(2, edges if len(edges) > 1 else edges[0], kind, fs=RATE_HZ, output="sos")
    return np.asarray(sosfilt(sos, wave))


def _onsets(rate_hz: float, rng: np.random.Generator, jitter: float = 0.08) -> list[float]:
    """Event times from a random start, a period apart give or take `jitter` periods."""
    period = 1.0 / rate_hz
    start = rng.uniform(0.02, min(period, 0.5))
    count = int(np.ceil((DURATION_S - start) / period))
    return [t for k in range(count) if 0 <= (t := start + period * (k + rng.normal(0, jitter))) < DURATION_S - 0.03]


def _add(wave: Wave, onset_s: float, event: Wave) -> None:
    first = int(onset_s * RATE_HZ)
    stop = min(SAMPLES, first + len(event))
    wave[first:stop] += event[: stop - first]


def _partials(time: Wave, frequencies: Wave, levels: Wave, rng: np.random.Generator) -> Wave:
    audible = frequencies < 0.95 * _NYQUIST
    phases = rng.uniform(0, 2 * np.pi, int(audible.sum()))
    return np.asarray(
        (levels[audible, None] * np.sin(2 * np.pi * frequencies[audible, None] * time + phases[:, None])).sum(0)
    )


def _bell(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    wave = np.zeros(SAMPLES)
    ratios = np.array([1.0, 2.0, 2.76, 4.1, 5.4, 6.8])
    for onset in _onsets((0.0, 1.0, 2.0, 3.6)[count], rng):
        time = _TIME[: int(1.2 * RATE_HZ)]
        bright = 0.75 if metal else 0.4
        decay = (2.2 if metal else 9.0) * np.sqrt(ratios)
        rings = np.exp(-decay[:, None] * time) * (bright ** np.arange(6))[:, None]
        tones = np.sin(
            2 * np.pi * np.minimum(440 * pitch * ratios, 7500)[:, None] * time + rng.uniform(0, 6.28, (6, 1))
        )
        _add(wave, onset, (rings * tones).sum(0))
    return wave


def _drum(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    wave = np.zeros(SAMPLES)
    for onset in _onsets((0.0, 1.6, 3.2, 5.5)[count], rng):
        time = _TIME[: int(0.35 * RATE_HZ)]
        sweep = 95 * pitch * (1 + 1.2 * np.exp(-time * 30))
        skin = np.sin(2 * np.pi * np.cumsum(sweep) / RATE_HZ) * np.exp(-time * 13)
        stick = rng.normal(0, 1, len(time)) * np.exp(-time * (22 if metal else 60)) * (0.5 if metal else 0.2)
        _add(wave, onset, skin + stick)
    return wave


def _siren(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    rate = (0.0, 0.8, 1.7, 3.4)[count]
    sweep = 700 * pitch * 2 ** (0.45 * np.sin(2 * np.pi * rate * _TIME + rng.uniform(0, 6.28)))
    phase = 2 * np.pi * np.cumsum(sweep) / RATE_HZ
    levels = (1.0, 0.6, 0.45, 0.3) if metal else (1.0, 0.15, 0.05, 0.0)
    return np.asarray(sum(level * np.sin((k + 1) * phase) * ((k + 1) * sweep < 7600) for k, level in enumerate(levels)))


def _water(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    wave = np.zeros(SAMPLES)
    for onset in np.sort(rng.uniform(0, DURATION_S - 0.06, (0, 7, 16, 34)[count])):
        time = _TIME[: int(0.07 * RATE_HZ)]
        rise = 900 * pitch * rng.uniform(0.75, 1.33) * (1 + 9.0 * time)
        drop = np.sin(2 * np.pi * np.cumsum(rise) / RATE_HZ) * np.exp(-time * (42 if metal else 95))
        _add(wave, float(onset), drop * rng.uniform(0.5, 1.0))
    return wave


def _dog(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    wave = np.zeros(SAMPLES)
    for onset in _onsets((0.0, 1.1, 2.1, 3.6)[count], rng):
        time = _TIME[: int(0.2 * RATE_HZ)]
        shape = np.sin(np.pi * np.minimum(time / 0.2, 1.0)) ** 0.7
        fall = 330 * pitch * (1.25 - 0.5 * time / 0.2)
        voice = np.sign(np.sin(2 * np.pi * np.cumsum(fall) / RATE_HZ)) + 0.7 * rng.normal(0, 1, len(time))
        _add(wave, onset, shape * _filter(voice, "bandpass", 450 * pitch**0.5, (3200 if metal else 1300) * pitch**0.5))
    return wave


def _bird(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    wave = np.zeros(SAMPLES)
    for onset in _onsets((0.0, 1.5, 3.0, 5.5)[count], rng):
        time = _TIME[: int(0.15 * RATE_HZ)]
        trill = 2700 * pitch**0.7 * (1 + 0.22 * np.sin(2 * np.pi * 26 * time + rng.uniform(0, 0.8)))
        phase = 2 * np.pi * np.cumsum(trill) / RATE_HZ
        song = np.sin(phase) + (0.5 * np.sin(2 * phase) * (2 * trill < 7600) if metal else 0.0)
        _add(wave, onset, song * np.sin(np.pi * time / 0.15))
    return wave


def _engine(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    firing = 62 * pitch * (1 + 0.03 * np.sin(2 * np.pi * 0.7 * _TIME + rng.uniform(0, 6.28)))
    phase = np.cumsum(firing) / RATE_HZ + rng.uniform()
    pulses = np.exp(-14 * (phase % 1.0)) * rng.normal(1, 0.15, SAMPLES)
    throb = 1 + 0.75 * np.sin(2 * np.pi * (0.0, 2.0, 4.5, 9.0)[count] * _TIME + rng.uniform(0, 6.28))
    return _filter(throb * (pulses - pulses.mean()), "lowpass", 2600 if metal else 650)


def _clock(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    wave = np.zeros(SAMPLES)
    for k, onset in enumerate(_onsets((0.0, 2.0, 4.0, 8.0)[count], rng, jitter=0.01)):
        time = _TIME[: int(0.06 * RATE_HZ)]
        tone = 2300 * pitch**0.8 * (1.0 if k % 2 else 0.84)
        tick = np.sin(2 * np.pi * tone * time) + 0.6 * rng.normal(0, 1, len(time)) * np.exp(-time * 400)
        _add(wave, onset, tick * np.exp(-time * (60 if metal else 190)))
    return wave


def _flute(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    rate = (0.0, 0.7, 1.6, 3.6)[count]
    steps = np.floor(_TIME * rate + rng.uniform(0, 1)).astype(int)
    scale = 2.0 ** (np.array([0, 4, 7, 2, 5, 9, 0, 7, 4, 2, 9, 5]) / 12)
    note = 560 * pitch * scale[(steps + int(rng.integers(12))) % 12]
    phase = 2 * np.pi * np.cumsum(note * (1 + 0.008 * np.sin(2 * np.pi * 5.5 * _TIME))) / RATE_HZ
    levels = (1.0, 0.5, 0.35, 0.2) if metal else (1.0, 0.12, 0.03, 0.0)
    tone = sum(level * np.sin((k + 1) * phase) * ((k + 1) * note < 7600) for k, level in enumerate(levels))
    within = (_TIME * rate + rng.uniform(0, 1e-9)) % 1.0
    breath = _filter(rng.normal(0, 1, SAMPLES), "bandpass", 2000, 6000) * (0.10 if metal else 0.05)
    return np.asarray((tone + breath) * (0.75 + 0.25 * np.cos(2 * np.pi * within)))


def _fire(pitch: float, count: int, metal: bool, rng: np.random.Generator) -> Wave:
    wave = 0.05 * _filter(rng.normal(0, 1, SAMPLES), "lowpass", 500 * pitch)
    for onset in rng.uniform(0, DURATION_S - 0.02, (0, 14, 40, 110)[count]):
        time = _TIME[: int(0.03 * RATE_HZ)]
        _add(
            wave,
            float(onset),
            rng.normal(0, 1, len(time)) * np.exp(-time * (120 if metal else 300)) * rng.exponential(0.5),
        )
    return _filter(wave, "bandpass", 180 * pitch, (6500 if metal else 2200) * pitch**0.5)


_SYNTHESES: Final[dict[str, Callable[[float, int, bool, np.random.Generator], Wave]]] = {
    "bell": _bell, "drum": _drum, "siren": _siren, "water": _water, "dog": _dog,
    "bird": _bird, "engine": _engine, "clock": _clock, "flute": _flute, "fire": _fire,
}  # fmt: skip


def _surround(wave: Wave, background: str, rng: np.random.Generator) -> Wave:
    """Put a sound of unit level into its background."""
    if background == "hall":
        time = _TIME[: int(0.9 * RATE_HZ)]
        tail = rng.normal(0, 1, len(time)) * np.exp(-time * 5.5)
        tail /= np.sqrt((tail**2).sum())
        return 0.75 * wave + 0.75 * np.asarray(fftconvolve(wave, tail)[:SAMPLES])
    if background == "street":
        rumble = _filter(rng.normal(0, 1, SAMPLES), "lowpass", 160)
        swell = 1 + 0.4 * np.sin(2 * np.pi * 0.5 * _TIME + rng.uniform(0, 6.28))
        return np.asarray(wave + 0.45 * rumble / rumble.std() * swell)
    if background == "wind":
        hiss = _filter(rng.normal(0, 1, SAMPLES), "bandpass", 700, 5500)
        swell = 1 + 0.6 * np.sin(2 * np.pi * 0.6 * _TIME + rng.uniform(0, 6.28))
        return np.asarray(wave + 0.22 * hiss / hiss.std() * swell)
    return wave


def synthesise(factors: Factors, rng: np.random.Generator) -> NDArray[np.float32]:
    """The sound of an item, shape (32768,), at `RATE_HZ`; its peak lies between about 0.5 and 0.9."""
    pitch = _PITCH[factors.size] * 2.0 ** rng.normal(0, 0.05)
    wave = _SYNTHESES[factors.kind](pitch, factors.count, factors.material == "metal", rng)
    wave = wave / max(np.sqrt((wave**2).mean()), 0.18 * np.abs(wave).max())
    wave = _surround(wave, factors.background, rng)
    peak = 0.9 * 10 ** (-rng.uniform(0, 5) / 20)
    return np.asarray(wave * (peak / np.abs(wave).max()) + rng.normal(0, 3e-4, SAMPLES), np.float32)
