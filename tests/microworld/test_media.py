"""Frames and sounds: the same address gives the same media, and every factor can be seen and heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clipsonic_benchmarks.microworld.factors import KINDS, LEVELS, Factors, generator
from clipsonic_benchmarks.microworld.frames import FRAME_SIZE, FRAMES, render
from clipsonic_benchmarks.microworld.sounds import RATE_HZ, SAMPLES, synthesise

PLAIN = Factors("bell", "medium", 2, "metal", "studio")


def sound(factors: Factors, index: int = 0) -> np.ndarray:
    return synthesise(factors, generator(0, "test", index, "sound"))


def picture(factors: Factors, index: int = 0) -> np.ndarray:
    return render(factors, generator(0, "test", index, "frames"), frames=1)[0].astype(float)


def spectrum(samples: np.ndarray) -> np.ndarray:
    """Power by band, smoothed, unit sum: what phases and onsets do not change much."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    bands = np.array([band.sum() for band in np.array_split(power, 128)])
    return bands / bands.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_media_of_every_kind(kind: str) -> None:
    factors = replace(PLAIN, kind=kind)
    samples, frames = sound(factors), render(factors, generator(0, "test", 0, "frames"))
    assert samples.shape == (SAMPLES,) and samples.dtype == np.float32 and np.isfinite(samples).all()
    assert 0.45 < np.abs(samples).max() < 0.95
    assert frames.shape == (FRAMES, FRAME_SIZE, FRAME_SIZE, 3) and frames.dtype == np.uint8
    np.testing.assert_array_equal(samples, sound(factors))
    np.testing.assert_array_equal(frames, render(factors, generator(0, "test", 0, "frames")))
    np.testing.assert_array_equal(frames[0], picture(factors))  # fewer frames are the first ones
    assert all(np.abs(frames[k].astype(int) - frames[k + 1]).max() > 5 for k in range(FRAMES - 1))  # it moves
    assert np.abs(sound(factors, 1) - samples).max() > 0.1  # another item, the same factors: another take
    assert np.abs(picture(factors, 1) - picture(factors)).mean() > 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [name for name in LEVELS if name != "kind"])
def test_every_factor_of_every_kind_is_seen_and_heard(kind: str, factor: str) -> None:
    factors = replace(PLAIN, kind=kind)
    for level in LEVELS[factor]:
        if level != getattr(factors, factor):
            changed = replace(factors, **{factor: level})
            assert np.abs(sound(changed) - sound(factors)).max() > 0.05, level
            assert np.abs(picture(changed) - picture(factors)).mean() > 0.5, level


def test_kinds_look_and_sound_different() -> None:
    looks = [picture(replace(PLAIN, kind=kind)) for kind in KINDS]
    sounds = [spectrum(sound(replace(PLAIN, kind=kind))) for kind in KINDS]
    for one in range(len(KINDS)):
        for other in range(one):
            assert np.abs(looks[one] - looks[other]).mean() > 1.5
            assert np.abs(sounds[one] - sounds[other]).sum() > 0.3, (KINDS[one], KINDS[other])


@pytest.mark.parametrize("kind", ["siren", "flute", "bell"])
def test_large_is_low(kind: str) -> None:
    """Small and large lie 1.6 octaves apart, each drawn with a spread of a twentieth of one."""

    def centre_hz(size: str) -> float:
        power = np.mean([spectrum(sound(Factors(kind, size, 2, "wood", "studio"), k)) for k in range(8)], 0)
        return float(np.exp((power * np.log((np.arange(128) + 0.5) * RATE_HZ / 256)).sum()))

    octaves = np.log2(centre_hz("small") / centre_hz("large"))
    assert 1.0 < octaves < 2.0


@pytest.mark.parametrize("kind", ["drum", "dog", "clock"])
def test_more_is_more_often(kind: str) -> None:
    def onsets(count: int) -> float:
        rises = []
        for index in range(6):
            level = np.abs(sound(Factors(kind, "medium", count, "wood", "studio"), index)).reshape(-1, 256).max(1)
            loud = level > 0.3 * level.max()
            rises.append(np.sum(loud[1:] & ~loud[:-1]))
        return float(np.mean(rises))

    assert onsets(1) < onsets(2) < onsets(3)


def test_metal_is_brighter_than_wood() -> None:
    for kind in ("bell", "siren", "dog", "engine", "fire"):
        metal, wood = (
            np.mean([spectrum(sound(replace(PLAIN, kind=kind, material=m), k)) for k in range(6)], 0)
            for m in ("metal", "wood")
        )
        centre = np.arange(128)
        assert (metal * centre).sum() > (wood * centre).sum(), kind


def test_larger_covers_more_of_the_picture() -> None:
    backdrop = [picture(replace(PLAIN, kind="clock", size=size), 3) for size in ("small", "medium", "large")]
    small, medium, large = (np.abs(each - np.median(each, (0, 1))).mean() for each in backdrop)
    assert small < medium < large
