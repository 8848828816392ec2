"""Pictures and sounds of the report: truthful enough to look at and to hear."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from clipsonic_benchmarks.media import frame_uri, mel_levels, mel_uri, sound_uri

RATE_HZ = 16_000


def test_a_tone_stands_at_its_band_and_level() -> None:
    time = np.arange(RATE_HZ) / RATE_HZ
    low, high = (mel_levels(np.sin(2 * np.pi * f * time), RATE_HZ) for f in (300.0, 3000.0))
    inner = slice(4, -6)
    assert low[:, inner].mean(axis=1).argmax() < high[:, inner].mean(axis=1).argmax()
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66)[1:-1] / 2595) - 1)
    assert abs(centres[high[:, inner].mean(axis=1).argmax()] - 3000) < 200
    assert abs(high[:, inner].max()) < 3, "a full-scale tone is near 0 dB"


def test_silence_is_at_the_floor() -> None:
    assert mel_levels(np.zeros(RATE_HZ), RATE_HZ).max() == -90


def test_long_sounds_get_no_wider_picture() -> None:
    assert mel_levels(np.zeros(RATE_HZ), RATE_HZ).shape[1] <= 160
    assert mel_levels(np.zeros(60 * RATE_HZ), RATE_HZ).shape[1] <= 161


def test_data_uris_decode_to_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE_HZ) / RATE_HZ)
    soundfile.write(path, wave, RATE_HZ)
    kind, data = sound_uri(path).split(",")
    assert kind == "data:audio/mpeg;base64"
    heard, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate_hz == RATE_HZ
    assert abs(len(heard) - len(wave)) < 3000
    assert np.abs(np.fft.rfft(heard[4000:20_000])).argmax() == 440
    picture = Image.open(io.BytesIO(base64.b64decode(mel_uri(path).split(",")[1])))
    assert picture.size[1] == 64


def test_large_frames_are_shrunk_and_small_ones_kept() -> None:
    small = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    kept = Image.open(io.BytesIO(base64.b64decode(frame_uri(small).split(",")[1])))
    assert np.array_equal(np.asarray(kept), small)
    large = np.zeros((600, 900, 3), np.uint8)
    assert Image.open(io.BytesIO(base64.b64decode(frame_uri(large).split(",")[1]))).size == (256, 171)
