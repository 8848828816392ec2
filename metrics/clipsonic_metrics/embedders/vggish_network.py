"""VGGish's network and its front end, in torch. What they are is told in vggish.py."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clipsonic_metrics.embedders.vggish import RATE_HZ, WINDOW

_FRAME, _STEP, _FFT, _BANDS = 400, 160, 512, 64
_CHANNELS: Final = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)
"""Channels of the 3 x 3 convolutions; 0 halves both axes by a maximum."""


class VGGish(nn.Module):
    """The network, from log-mel patches (items, 1, 96, 64) to (items, 128) before the last ReLU."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for channels in _CHANNELS:
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()] if channels else [nn.MaxPool2d(2)]
            before = channels or before
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128)
        )

    def forward(self, patches: Tensor) -> Tensor:
        found = self.features(patches).permute(0, 2, 3, 1)  # TensorFlow's order: time, band, channel
        result: Tensor = self.embeddings(found.flatten(1))
        return result


class LogMel(nn.Module):
    """The front end, from samples (items, time) to patches (items, 1, 96, 64); at least 15 600 samples."""

    window: Tensor
    bands: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(_FRAME, periodic=True, dtype=torch.float64).float()
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands", torch.from_numpy(mel_bands().astype(np.float32)), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        frames = samples[:, :WINDOW].unfold(1, _FRAME, _STEP) * self.window
        return torch.log(torch.fft.rfft(frames, _FFT).abs() @ self.bands + 0.01)[:, None]


def mel_bands() -> NDArray[np.float64]:
    """Weights of the 64 bands, (257 bins, 64): triangles whose sides are straight in mel, not in hertz."""

    def mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1127.0 * np.log1p(hertz / 700.0), dtype=np.float64)

    bins = mel(np.linspace(0, RATE_HZ / 2, _FFT // 2 + 1))[:, None]
    lowest, highest = mel(np.array([125.0, 7500.0])).tolist()
    edges = np.linspace(lowest, highest, _BANDS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bands = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    bands[0] = 0
    return np.asarray(bands, dtype=np.float64)
