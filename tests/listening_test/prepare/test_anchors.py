"""Anchors are inside BS.1534-3's mask and on the reference's samples at every rate; older ways are not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from clipsonic_listening_test import ListeningTestError
from clipsonic_listening_test.prepare.anchors import LOW_HZ, MID_HZ, apply, low_pass, measure, meets_mask

RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
EDGES = (LOW_HZ, MID_HZ)


def response_db(taps: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels of a zero-padded DFT: another road than the one that `measure` takes."""
    size = 2**18
    levels = 20 * np.log10(np.maximum(np.abs(np.fft.rfft(taps, size)), 1e-12))
    return np.fft.rfftfreq(size, 1 / rate_hz), levels


def in_mask(taps: np.ndarray, edge_hz: int, rate_hz: int) -> bool:
    frequencies, levels = response_db(taps, rate_hz)
    passed = np.max(np.abs(levels[frequencies <= edge_hz])) <= 0.1
    steps = ((edge_hz + 500, -25), (edge_hz + 1000, -50))
    return bool(passed and all(np.all(levels[frequencies >= at] <= level) for at, level in steps))


def lag(samples: np.ndarray, reference: np.ndarray) -> int:
    """Where the cross-correlation is largest, in samples; positive if `samples` come late."""
    size = 2 * len(reference)
    product = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(reference, size))
    at = int(np.argmax(np.fft.irfft(product, size)))
    return at if at < size // 2 else at - size


@pytest.mark.parametrize("edge_hz", EDGES)
@pytest.mark.parametrize("rate_hz", RATES)
def test_the_filter_lies_inside_the_mask(rate_hz: int, edge_hz: int) -> None:
    made = low_pass(edge_hz, rate_hz)
    assert in_mask(made.taps, edge_hz, rate_hz)
    assert len(made.taps) % 2 == 1 and made.record.taps == len(made.taps)
    assert np.allclose(made.taps, made.taps[::-1], rtol=0, atol=1e-12)  # linear phase
    assert made.record.cut_hz == edge_hz + 250
    frequencies, levels = response_db(made.taps, rate_hz)
    assert made.record.pass_ripple_db == pytest.approx(np.max(np.abs(levels[frequencies <= edge_hz])), abs=0.005)
    assert made.record.stop_db == pytest.approx(-np.max(levels[frequencies >= edge_hz + 1000]), abs=0.5)
    assert made.record.pass_ripple_db <= 0.05 and made.record.stop_db >= 51


@pytest.mark.parametrize("edge_hz", EDGES)
@pytest.mark.parametrize("rate_hz", RATES)
def test_an_anchor_is_on_the_references_samples(rate_hz: int, edge_hz: int) -> None:
    noise = np.random.default_rng(0).standard_normal((rate_hz, 2))
    anchor = apply(low_pass(edge_hz, rate_hz).taps, noise)
    assert anchor.shape == noise.shape
    assert [lag(anchor[:, channel], noise[:, channel]) for channel in (0, 1)] == [0, 0]


def test_a_tone_in_the_pass_band_is_left_alone_and_one_above_is_gone() -> None:
    rate_hz = 48_000
    time = np.arange(rate_hz) / rate_hz
    taps = low_pass(LOW_HZ, rate_hz).taps
    for hz, gain in ((200, 1.0), (3400, 1.0), (4500, 0.0), (9000, 0.0)):
        tone = np.sin(2 * np.pi * hz * time)[:, None]
        inner = (apply(taps, tone) - gain * tone)[400:-400]
        assert np.max(np.abs(inner)) < 10 ** (-50 / 20)


def test_the_mask_is_told_by_its_edges() -> None:
    assert meets_mask(0.1, [25, 50])
    assert not meets_mask(0.11, [25, 50]) and not meets_mask(0.1, [24.9, 50]) and not meets_mask(0.1, [25, 49.9])


def test_a_rate_without_room_is_refused() -> None:
    with pytest.raises(ListeningTestError, match="16000 Hz or more, not 11025; give --rate 48000"):
        low_pass(LOW_HZ, 11_025)


def test_anchors_that_come_late_or_outside_the_mask_would_be_noticed() -> None:
    """Two ways that kits have had them wrong: a delay that is not taken out, and a filter that is too short."""
    rate_hz = 48_000
    noise = np.random.default_rng(1).standard_normal(rate_hz)
    taps = low_pass(LOW_HZ, rate_hz).taps
    delayed = signal.lfilter(taps, 1, noise)
    assert lag(delayed, noise) == (len(taps) - 1) // 2
    early = np.roll(noise, -104)  # 2.17 ms
    assert lag(early, noise) == -104
    short = signal.firwin(201, 3750, window=("kaiser", 4.6), fs=rate_hz)
    assert not in_mask(short, LOW_HZ, rate_hz)
    ripple_db, steps_db = measure(short, LOW_HZ, rate_hz)
    assert not meets_mask(ripple_db, steps_db)
    even = signal.firwin(342, 3750, window=("kaiser", 4.6), fs=rate_hz)  # half a sample cannot be taken out
    ahead = np.convolve(noise, even)[len(even) // 2 :][: len(noise)]
    behind = np.convolve(noise, even)[len(even) // 2 - 1 :][: len(noise)]
    assert np.max(np.abs(ahead[500:-500] - behind[500:-500])) > 0.05
