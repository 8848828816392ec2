"""Loudness and true peak against closed forms (EBU Tech 3341, BS.2217), and against another implementation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from clipsonic_listening_test.prepare.loudness import measure

RATE = 48_000
TOLERANCE_LU = 0.1  # EBU Tech 3341


def sine(level_dbfs: float, seconds: float, hz: float = 997.0, rate_hz: int = RATE, channels: int = 2) -> np.ndarray:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.repeat(10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * time)[:, None], channels, axis=1)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("level", [-23.0, -33.0, -60.0])
def test_997_hz_in_two_channels_is_as_loud_as_its_level(level: float, rate_hz: int) -> None:
    """BS.1770-4: a 997 Hz sine of 0 dBFS in one front channel has -3.01 LKFS, in two 0."""
    assert measure(sine(level, 4, rate_hz=rate_hz), rate_hz).lufs == pytest.approx(level, abs=TOLERANCE_LU)
    one = measure(sine(level, 4, rate_hz=rate_hz, channels=1), rate_hz).lufs
    assert one == pytest.approx(level - 3.01, abs=TOLERANCE_LU)


@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),  # Tech 3341 case 3: relative gate
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),  # case 4: absolute gate
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),  # case 5
    ],
)
def test_gates_of_ebu_tech_3341(parts: list[tuple[float, float]], lufs: float) -> None:
    sound = np.concatenate([sine(level, seconds, 1000.0) for level, seconds in parts])
    assert measure(sound, RATE).lufs == pytest.approx(lufs, abs=TOLERANCE_LU)


def test_without_the_relative_gate_pauses_would_count() -> None:
    sound = np.concatenate([sine(-50, 10), sine(-23, 6), sine(-50, 10)])
    ungated = 10 * np.log10(np.mean(sound**2) * 2)
    assert abs(ungated - (-23)) > 5 and measure(sound, RATE).lufs == pytest.approx(-23, abs=0.3)


@pytest.mark.parametrize(("phase", "expected"), [(0.0, -6.0), (45.0, -6.0), (67.5, -6.0)])
@pytest.mark.parametrize("divisor", [4, 6, 8])
def test_true_peak_of_ebu_tech_3341(phase: float, expected: float, divisor: int) -> None:
    """Cases 15 to 19: sines of rate/4, /6, /8 whose samples may miss the peak; +0.2 and -0.4 dB are allowed."""
    time = np.arange(RATE) / RATE
    ramp = np.clip(np.minimum(time, time[::-1]) / 0.02, 0, 1)
    tone = 0.5 * np.sin(2 * np.pi * RATE / divisor * time + np.deg2rad(phase)) * ramp
    found = measure(np.stack([tone, tone], axis=1), RATE).true_peak_dbtp
    assert expected - 0.4 <= found <= expected + 0.2


def test_the_sample_peak_is_no_true_peak() -> None:
    """What would pass for a guard: at a quarter of the rate and 45 degrees the samples miss the peak by 3 dB."""
    time = np.arange(RATE)
    ramp = np.clip(np.minimum(time, time[::-1]) / 1000, 0, 1)
    tone = (0.5 * np.sin(np.pi / 2 * time + np.pi / 4) * ramp)[:, None]
    sample_peak = 20 * np.log10(np.max(np.abs(tone)))
    assert sample_peak == pytest.approx(-9.03, abs=0.01)
    assert measure(tone, RATE).true_peak_dbtp == pytest.approx(-6.02, abs=0.3)


def test_gain_moves_both_alike() -> None:
    sound = np.random.default_rng(0).standard_normal((3 * RATE, 2)) * 0.05
    loud, soft = measure(sound, RATE), measure(sound * 0.01, RATE)
    assert loud.lufs is not None and soft.lufs is not None
    assert loud.lufs - soft.lufs == pytest.approx(40, abs=1e-6)
    assert loud.true_peak_dbtp - soft.true_peak_dbtp == pytest.approx(40, abs=1e-6)


def test_what_no_block_holds_has_no_loudness() -> None:
    """A click after the last whole block of 400 ms; the filter says -70 then, which would be no measurement."""
    click = np.zeros((round(0.55 * RATE), 1))
    click[-100] = 1.0
    level = measure(click, RATE)
    assert level.lufs is None and level.true_peak_dbtp == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_another_implementation_agrees(rate_hz: int) -> None:
    """pyloudnorm with the coefficients of De Man, which are BS.1770's at any rate; its default ones are 0.04 LU off."""
    pyloudnorm = pytest.importorskip("pyloudnorm")
    meter = pyloudnorm.Meter(rate_hz, filter_class="DeMan")
    rng = np.random.default_rng(0)
    for tilt in (0.0, 0.9, 0.99):
        noise = rng.standard_normal((6 * rate_hz, 2))
        for at in range(1, 4):
            noise[at * rate_hz : (at + 1) * rate_hz] *= 10 ** (-at * 8 / 20)
        sound = signal.lfilter([1 - tilt], [1, -tilt], noise, axis=0)
        sound *= 0.2 / np.max(np.abs(sound))
        assert measure(sound, rate_hz).lufs == pytest.approx(meter.integrated_loudness(sound), abs=0.05)
