"""The sounds made here are those of the headphone check's paper, and a noise to set the volume by."""

from __future__ import annotations

import numpy as np
import pytest

from clipsonic_listening_test.prepare.signals import tones, volume_noise


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 96_000])
def test_tones_of_woods(rate_hz: int) -> None:
    made = tones(rate_hz)
    full, quiet, antiphase = made["full"], made["quiet"], made["antiphase"]
    assert full.shape == quiet.shape == antiphase.shape == (rate_hz, 2)
    assert np.array_equal(full[:, 0], full[:, 1]) and np.array_equal(full[:, 0], antiphase[:, 0])
    assert np.max(np.abs(antiphase.sum(axis=1))) == 0  # what meets in the air cancels
    assert 20 * np.log10(np.std(quiet) / np.std(full)) == pytest.approx(-6)
    spectrum = np.abs(np.fft.rfft(full[:, 0] * np.hanning(rate_hz)))
    assert np.argmax(spectrum) == 200  # bins of 1 Hz
    assert abs(full[0, 0]) < 1e-6 and abs(full[-1, 0]) < 1e-6
    middle = full[rate_hz // 4 : 3 * rate_hz // 4, 0]
    assert np.max(middle) == pytest.approx(0.5, abs=1e-3)


def test_volume_noise_is_pink_and_seeded() -> None:
    noise = volume_noise(48_000, 2, seed=0)
    assert noise.shape == (8 * 48_000, 2) and np.max(np.abs(noise)) == pytest.approx(0.5)
    assert np.array_equal(noise, volume_noise(48_000, 2, seed=0))
    power = np.abs(np.fft.rfft(noise[:, 0])) ** 2
    frequencies = np.fft.rfftfreq(len(noise), 1 / 48_000)

    def octave(low: float) -> float:
        return float(power[(frequencies >= low) & (frequencies < 2 * low)].sum())

    levels = [10 * np.log10(octave(low)) for low in (125, 250, 500, 1000, 2000)]
    assert np.ptp(levels) < 1.5  # the same power in each octave
    assert power[frequencies > 8000].sum() < 1e-4 * power.sum()
