"""PANNs' Cnn14 (Kong et al. 2020, arXiv 1912.10211), for 16 and for 32 kHz: 2048 dimensions and 527 logits per window.

    front end   STFT (Hann, centred, reflected at the ends) of 512 samples every 160 at 16 kHz, of 1024 every 320 at
                32 kHz; power; 64 bands; 10 log10 with a floor of 1e-10. Its matrices are part of the official state, as
                torchlibrosa writes them, and are used as they are: weights of the other rate do not fit.
    embedding   the ReLU of `fc1`: "FD", "FD-PANN" of the tools
    logits      `fc_audioset` of it, for AudioSet's 527 classes in their official order; several may be true at once

The names of the state are PANNs' (`Cnn14_16k_mAP=0.438.pth`, `Cnn14_mAP=0.431.pth`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from clipsonic_metrics.embedder import WindowedClassifier
from clipsonic_metrics.embedders.files import digest, load_state, read_state
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sources import find_weights

VERSION: Final = 1
CLASSES: Final = 527
LABELS: Final = tuple(f"audioset-{index}" for index in range(CLASSES))
"""AudioSet's classes by their index in its list of class labels."""
LISTENING_16K: Final = Listening(rate_hz=16_000, window=160_000, tail="half", short="repeat")
LISTENING_32K: Final = Listening(rate_hz=32_000, window=320_000, tail="half", short="repeat")
_ROWS: Final = 4
_SHORTEST_S: Final = 0.32
"""32 frames of 10 ms, which five halvings leave one of."""


class Spectrogram(nn.Module):
    """Power of the STFT by two fixed convolutions, (items, time) to (items, 1, frames, bins)."""

    def __init__(self, fft: int, hop: int) -> None:
        super().__init__()
        self.stft = nn.ModuleDict(
            {part: nn.Conv1d(1, fft // 2 + 1, fft, hop, bias=False) for part in ("conv_real", "conv_imag")}
        )
        self._half = fft // 2

    def forward(self, samples: Tensor) -> Tensor:
        reflected = pad(samples[:, None], (self._half, self._half), mode="reflect")
        power = self.stft["conv_real"](reflected).square() + self.stft["conv_imag"](reflected).square()
        result: Tensor = power.transpose(1, 2)[:, None]
        return result


class LogMel(nn.Module):
    """Decibels of mel bands, (..., bins) to (..., bands)."""

    def __init__(self, bins: int, bands: int) -> None:
        super().__init__()
        self.melW = nn.Parameter(torch.empty(bins, bands))

    def forward(self, power: Tensor) -> Tensor:
        return 10 * torch.log10(torch.clamp(power @ self.melW, min=1e-10))


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation and ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, given: Tensor) -> Tensor:
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(given))))))


class Cnn14(nn.Module):
    """The network, from samples (items, time) to embeddings (items, 2048) and logits (items, 527)."""

    def __init__(self, fft: int, hop: int) -> None:
        super().__init__()
        self.spectrogram_extractor = Spectrogram(fft, hop)
        self.logmel_extractor = LogMel(fft // 2 + 1, 64)
        self.bn0 = nn.BatchNorm2d(64)
        self.conv_block1 = ConvBlock(1, 64)
        self.conv_block2 = ConvBlock(64, 128)
        self.conv_block3 = ConvBlock(128, 256)
        self.conv_block4 = ConvBlock(256, 512)
        self.conv_block5 = ConvBlock(512, 1024)
        self.conv_block6 = ConvBlock(1024, 2048)
        self.fc1 = nn.Linear(2048, 2048)
        self.fc_audioset = nn.Linear(2048, CLASSES)

    def embed(self, samples: Tensor) -> Tensor:
        """(items, 2048)."""
        found = self.logmel_extractor(self.spectrogram_extractor(samples))
        found = self.bn0(found.transpose(1, 3)).transpose(1, 3)  # normalised per band
        halved = (self.conv_block1, self.conv_block2, self.conv_block3, self.conv_block4, self.conv_block5)
        for block in halved:
            found = avg_pool2d(block(found), 2)
        over_bands = self.conv_block6(found).mean(dim=3)
        return torch.relu(self.fc1(over_bands.amax(dim=2) + over_bands.mean(dim=2)))

    def classify(self, samples: Tensor) -> Tensor:
        """Logits, (items, 527)."""
        result: Tensor = self.fc_audioset(self.embed(samples))
        return result


def load_cnn14_16k(weights: Path | None = None, listening: Listening | None = None) -> WindowedClassifier:
    """Load `panns-cnn14-16k`.

    Raises:
        MetricsError: no weights, weights that do not fit, another rate, or windows shorter than 0.32 s.
    """
    return _load("panns-cnn14-16k", 512, LISTENING_16K, weights, listening)


def load_cnn14_32k(weights: Path | None = None, listening: Listening | None = None) -> WindowedClassifier:
    """Load `panns-cnn14-32k`.

    Raises:
        MetricsError: as `load_cnn14_16k`.
    """
    return _load("panns-cnn14-32k", 1024, LISTENING_32K, weights, listening)


def _load(name: str, fft: int, own: Listening, weights: Path | None, asked: Listening | None) -> WindowedClassifier:
    heard = agreed(name, own, asked, windows=None, shortest=round(_SHORTEST_S * own.rate_hz))
    path = find_weights(name, weights)
    state = read_state(path)
    with torch.device("meta"):  # neither time nor random numbers are spent on values that are about to be replaced
        network = Cnn14(fft, own.rate_hz // 100)
    load_state(network.to_empty(device="cpu"), state, path)
    return WindowedClassifier(
        name=name,
        version=VERSION,
        listening=heard,
        sha256=digest(path),
        encode=network.embed,
        dim=2048,
        rows=_ROWS,
        classify=network.classify,
        labels=LABELS,
    )
