"""VGGish (Hershey et al. 2017, arXiv 1609.09430): 128 dimensions per 0.96 s, the embedding of the first FAD.

    front end   25 ms frames every 10 ms at 16 kHz, periodic Hann, magnitude of an FFT of 512; 64 triangular bands,
                straight in HTK's mel from 125 to 7500 Hz, the DC bin left out; log(band + 0.01). 96 frames make one
                patch.
    `vggish`        the last layer before its ReLU: what the torch tools score
    `vggish-relu`   after it: what TensorFlow's graph called `vggish/embedding` at the time of the first FAD

A window is the 15 600 samples that 96 frames span, its hop the 15 360 that they advance: windows are then exactly the
patches that the tools in torch cut from the log-mel of a whole clip. A longer window gives one patch if it is shorter
than two; what lies behind its 96th frame is not looked at, as in Google's windows of 1 s. Neither PCA nor 8 bits.

The names of the state are torchvggish's (`vggish-10086976.pth`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clipsonic_metrics.embedder import WindowedEmbedder
from clipsonic_metrics.embedders.files import digest, load_state, read_state
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sources import find_weights

VERSION: Final = 1
RATE_HZ: Final = 16_000
WINDOW: Final = 15_600
HOP: Final = 15_360
LISTENING: Final = Listening(rate_hz=RATE_HZ, window=WINDOW, hop=HOP, tail="half", short="repeat")
_ROWS: Final = 32
_FRAME, _STEP, _FFT, _BANDS, _FRAMES = 400, 160, 512, 64, 96
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


class LogMel:
    """The front end, from samples (items, time) to patches (items, 1, 96, 64); at least 15 600 samples."""

    def __init__(self) -> None:
        self._window = torch.hann_window(_FRAME, periodic=True, dtype=torch.float64).float()
        self._bands = torch.from_numpy(mel_bands().astype(np.float32))

    def __call__(self, samples: Tensor) -> Tensor:
        frames = samples[:, :WINDOW].unfold(1, _FRAME, _STEP) * self._window
        return torch.log(torch.fft.rfft(frames, _FFT).abs() @ self._bands + 0.01)[:, None]


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


def load_vggish(weights: Path | None = None, listening: Listening | None = None) -> WindowedEmbedder:
    """Load `vggish`, the output before the last ReLU.

    Raises:
        MetricsError: no weights, weights that do not fit, or a window of other than 15 600 to 30 959 samples at 16 kHz.
    """
    return _load("vggish", weights, listening)


def load_vggish_relu(weights: Path | None = None, listening: Listening | None = None) -> WindowedEmbedder:
    """Load `vggish-relu`, the output after the last ReLU.

    Raises:
        MetricsError: as `load_vggish`.
    """
    return _load("vggish-relu", weights, listening)


def _load(name: str, weights: Path | None, listening: Listening | None) -> WindowedEmbedder:
    heard = agreed(name, LISTENING, listening, range(WINDOW, WINDOW + HOP))
    path = find_weights("vggish", weights)
    state = read_state(path)
    with torch.device("meta"):  # neither time nor random numbers are spent on values that are about to be replaced
        network = VGGish()
    load_state(network.to_empty(device="cpu"), state, path)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on a CPU
    front = LogMel()

    def before_relu(samples: Tensor) -> Tensor:
        result: Tensor = network(front(samples))
        return result

    def after_relu(samples: Tensor) -> Tensor:
        return torch.relu(before_relu(samples))

    encode = after_relu if name == "vggish-relu" else before_relu
    return WindowedEmbedder(
        name=name, version=VERSION, listening=heard, sha256=digest(path), encode=encode, dim=128, rows=_ROWS
    )
