"""Low-pass anchors of ITU-R BS.1534-3: inside its mask and aligned to the sample, at every rate from 16 kHz on.

    low anchor   3.5 kHz: within ±0.1 dB up to 3.5 kHz, at least 25 dB down at 4 kHz, at least 50 dB at 4.5 kHz
    mid anchor   7 kHz: the same mask, 3.5 kHz higher

The filter is a Kaiser-windowed sinc of odd length. Its group delay, (taps - 1) / 2 samples, is taken out, so an anchor
has the length and the timing of its source. The length is the shortest that meets the mask with a margin (half the
ripple, 1 dB more attenuation), found by measuring.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.study import Filter

LOW_HZ: Final = 3500
MID_HZ: Final = 7000
LOWEST_RATE_HZ: Final = 16_000
PASS_RIPPLE_DB: Final = 0.1
STEPS: Final = ((500.0, 25.0), (1000.0, 50.0))  # Hz above the pass band's edge, attenuation in dB
_MARGIN: Final = (0.05, 1.0)  # less ripple, more attenuation, in dB
_BETA: Final = signal.kaiser_beta(51.0)
_LONGEST: Final = 4001
_GRID_HZ: Final = 10.0

Samples = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LowPass:
    """A filter and what was measured of it. taps: (n,) float64, n odd."""

    taps: Samples
    record: Filter


@cache
def low_pass(edge_hz: int, rate_hz: int) -> LowPass:
    """The anchor's filter with its pass band's edge at 3500 or 7000 Hz.

    Raises:
        ListeningTestError: the rate is below 16 kHz, where the mid anchor's mask has no room.
    """
    if rate_hz < LOWEST_RATE_HZ:
        raise ListeningTestError(
            f"anchors need a rate of {LOWEST_RATE_HZ} Hz or more, not {rate_hz}; give --rate 48000"
        )
    cut_hz = edge_hz + STEPS[0][0] / 2
    for length in range(_shortest(rate_hz), _LONGEST, 2):
        taps = signal.firwin(length, cut_hz, window=("kaiser", _BETA), fs=rate_hz)
        ripple_db, steps_db = measure(taps, edge_hz, rate_hz)
        if meets_mask(ripple_db + _MARGIN[0], [step - _MARGIN[1] for step in steps_db]):
            record = Filter("kaiser-fir", cut_hz, length, round(ripple_db, 4), round(steps_db[-1], 2))
            return LowPass(taps, record)
    raise ListeningTestError(f"no filter of up to {_LONGEST} taps meets the anchors' mask at {rate_hz} Hz")


def measure(taps: Samples, edge_hz: int, rate_hz: int) -> tuple[float, list[float]]:
    """Ripple in the pass band in dB, and the least attenuation at and above each step of the mask, in dB.

    A step above half the rate is met by the rate itself and counts as infinite.
    """
    count = int(np.ceil(rate_hz / 2 / _GRID_HZ)) + 1
    exact = np.array([edge_hz, *(edge_hz + above for above, _ in STEPS)], dtype=np.float64)
    grid = np.union1d(np.linspace(0, rate_hz / 2, count), exact[exact <= rate_hz / 2])
    _, response = signal.freqz(taps, worN=grid, fs=rate_hz)
    level_db = 20 * np.log10(np.maximum(np.abs(response), 1e-12))
    ripple_db = float(np.max(np.abs(level_db[grid <= edge_hz])))
    steps = [level_db[grid >= edge_hz + above] for above, _ in STEPS]
    return ripple_db, [float(-np.max(each)) if len(each) else float("inf") for each in steps]


def meets_mask(ripple_db: float, steps_db: list[float]) -> bool:
    """Whether what `measure` found lies inside the standard's mask."""
    return ripple_db <= PASS_RIPPLE_DB and all(
        found >= wanted for found, (_, wanted) in zip(steps_db, STEPS, strict=True)
    )


def apply(taps: Samples, samples: Samples) -> Samples:
    """Filter (frames, channels) and take the group delay out: the same length, the same timing."""
    half = len(taps) // 2
    filtered = signal.oaconvolve(samples, taps[:, None], mode="full", axes=0)
    return np.asarray(filtered[half : half + len(samples)])


def _shortest(rate_hz: int) -> int:
    """An odd length surely below what is needed: three quarters of Kaiser's estimate for a transition of 500 Hz."""
    estimate, _ = signal.kaiserord(51.0, 500.0 / (rate_hz / 2))
    return int(estimate * 0.75) // 2 * 2 + 1
