"""The networks of the micro-world's evaluation encoders: a convolutional sound tower, and what is put on top of it.

All of them hear 2.048 s of mono sound at 16 kHz, shape (items, 32768), through their own log-mel front end (not the one
the generators are trained with), and treat every item alone: nothing is standardised over a batch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import open_clip
import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

RATE_HZ: Final = 16_000
SAMPLES: Final = 32_768
_N_FFT: Final = 512
_HOP: Final = 256
_BANDS: Final = 64
_FLOOR: Final = 1e-3
"""A log-mel below -60 dB full scale says nothing: codecs and vocoders leave their own noise there."""


class SoundTower(nn.Module):
    """Five strided convolutions over a log-mel; mean and deviation over time, kept per frequency. (items, width)."""

    window: Tensor
    filters: Tensor

    def __init__(self, width: int = 192) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(_N_FFT), persistent=False)
        filters = melscale_fbanks(_N_FFT // 2 + 1, 0.0, RATE_HZ / 2, _BANDS, RATE_HZ, "slaney", "htk")
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)
        channels = (1, 32, 48, 64, 96)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.SiLU()]
        layers += [
            nn.Conv2d(channels[-1], channels[-1], 3, padding=1, bias=False),
            nn.BatchNorm2d(channels[-1]),
            nn.SiLU(),
        ]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(2 * channels[-1] * _BANDS // 16, width), nn.SiLU())

    def log_mel(self, samples: Tensor) -> Tensor:
        """(items, SAMPLES) to (items, bands, frames), about zero mean and unit variance."""
        spectrum = torch.stft(samples, _N_FFT, _HOP, window=self.window, center=True, return_complex=True)[..., :-1]
        mel = self.filters @ torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-10)
        return (torch.log(torch.clamp(mel, min=_FLOOR)) + 2.5) / 2.5

    def forward(self, samples: Tensor) -> Tensor:
        found = self.trunk(self.log_mel(samples)[:, None])
        pooled = torch.cat([found.mean(-1), found.std(-1, correction=0)], 1)
        result: Tensor = self.head(pooled.flatten(1))
        return result


class SoundEncoder(nn.Module):
    """A sound tower with a linear projection: unit vectors, (items, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.tower = SoundTower()
        self.projection = nn.Linear(192, dim, bias=False)

    def forward(self, samples: Tensor) -> Tensor:
        return nn.functional.normalize(self.projection(self.tower(samples)), dim=-1)


class TextEncoder(nn.Module):
    """open_clip's text transformer at a small size: unit vectors, (items, dim), from CLIP tokens."""

    def __init__(self, vocabulary: int, context: int, dim: int) -> None:
        super().__init__()
        self.transformer = open_clip.model.TextTransformer(
            context_length=context, vocab_size=vocabulary, width=64, heads=2, layers=2, output_dim=dim
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return nn.functional.normalize(self.transformer(tokens), dim=-1)


class ContrastiveSoundText(nn.Module):
    """CLAP (Elizalde et al. 2022; Wu et al. 2023) at a small size: sound and text in one space of `dim` dimensions."""

    def __init__(self, vocabulary: int, context: int, dim: int = 64) -> None:
        super().__init__()
        self.sound = SoundEncoder(dim)
        self.text = TextEncoder(vocabulary, context, dim)


class FactorProbe(nn.Module):
    """Which level of each factor a sound has: logits (items, levels) by factor."""

    def __init__(self, levels: dict[str, int]) -> None:
        super().__init__()
        self.tower = SoundTower()
        self.heads = nn.ModuleDict({name: nn.Linear(192, count) for name, count in levels.items()})

    def forward(self, samples: Tensor) -> dict[str, Tensor]:
        heard = self.tower(samples)
        return {name: head(heard) for name, head in self.heads.items()}
