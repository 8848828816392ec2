"""Cnn14's network and its front end, in torch. What they are is told in panns.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from clipsonic_metrics.embedders.panns import CLASSES


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
        return self.both(samples)[1]

    def both(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and logits."""
        embeddings = self.embed(samples)
        return embeddings, self.fc_audioset(embeddings)
