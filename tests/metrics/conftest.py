"""Sounds, folders and a tiny embedder for the tests of the metrics package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from clipsonic_metrics.embedders import EMBEDDERS
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.sound import Sound

RATE_HZ = 8000
DIM = 6


class TinyEmbedder:
    """Band energies of a sound, letter counts of a text, mean colours of an image: one space of six dimensions."""

    protocol = "tiny@1/8000Hz/0.5s"
    space = "tiny"
    labels = tuple("abcdef")

    def __init__(self) -> None:
        self.embedded = 0

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
        self.embedded += len(sounds)
        return [self._embed(sound) for sound in sounds]

    def _embed(self, sound: Sound) -> np.ndarray:
        spectra = np.abs(np.fft.rfft(Listening(rate_hz=RATE_HZ, window=RATE_HZ // 2).windows(sound), axis=1))
        bands = np.stack([band.mean(axis=1) for band in np.array_split(spectra, DIM, axis=1)], axis=1)
        return _unit(np.log(bands + 1e-3))

    def classify_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
        return [5 * self._embed(sound) for sound in sounds]

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        counts = np.array([[text.count(letter) + 0.1 for letter in "aeiout"] for text in texts])
        return _unit(counts)

    def embed_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        means = np.array([np.concatenate([image.mean(axis=(0, 1)), image.std(axis=(0, 1)) + 1]) for image in images])
        return _unit(means)


class TinyProbe:
    """Tells low sounds from high ones."""

    protocol = "tiny-probe@1"
    space = "tiny-probe"
    factors = {"pitch": ("low", "high"), "length": ("short", "long")}  # noqa: RUF012

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
        return [self._logits(sound) for sound in sounds]

    def _logits(self, sound: Sound) -> np.ndarray:
        spectrum = np.abs(np.fft.rfft(sound.samples))
        high = float(np.fft.rfftfreq(len(sound.samples), 1 / sound.rate_hz)[spectrum.argmax()] > 600)
        return np.array([[1 - high, high, sound.duration_s < 1, sound.duration_s >= 1]], dtype=np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> TinyEmbedder:
    """The tiny embedder and probe, registered as `tiny` and `tiny-probe`."""
    embedder = TinyEmbedder()
    module = ModuleType("tiny_embedders_of_the_tests")
    module.load_tiny = lambda weights, listening: embedder  # type: ignore[attr-defined]
    module.load_probe = lambda weights, listening: TinyProbe()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(EMBEDDERS, "tiny", f"{module.__name__}:load_tiny")
    monkeypatch.setitem(EMBEDDERS, "tiny-probe", f"{module.__name__}:load_probe")
    return embedder


def tone(pitch_hz: float, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """A decaying tone with a little noise, float32."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(seed).normal(size=len(time))
    return (0.3 * np.sin(2 * np.pi * pitch_hz * time) * np.exp(-time) + 0.01 * noise).astype(np.float32)


@pytest.fixture
def sound_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of `n` tones named item-00.wav onwards."""

    def make(name: str, n: int = 12, pitch_hz: float = 200.0, seed: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for index in range(n):
            samples = tone(pitch_hz * (1 + index / 4), 1.0 + index / 10, seed + index)
            soundfile.write(folder / f"item-{index:02d}.wav", samples, RATE_HZ)
        return folder

    return make
