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

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clipsonic_metrics.embedder import WindowedEmbedder
from clipsonic_metrics.embedders.files import digest, load_state, read_state
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sources import find_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

VERSION: Final = 1
RATE_HZ: Final = 16_000
WINDOW: Final = 15_600
HOP: Final = 15_360
LISTENING: Final = Listening(rate_hz=RATE_HZ, window=WINDOW, hop=HOP, tail="half", short="repeat")
_ROWS: Final = 32


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
    network = cache(lambda: _network(path))

    def encode(samples: Tensor) -> Tensor:
        found: Tensor = network()(samples)
        return found.relu() if name == "vggish-relu" else found

    return WindowedEmbedder(
        name=name,
        version=VERSION,
        listening=heard,
        sha256=digest(path),
        encode=encode,
        dim=128,
        rows=_ROWS,
        build=network,
    )


def _network(path: Path) -> nn.Module:
    """From samples (items, time) to (items, 128) before the last ReLU."""
    import torch

    from clipsonic_metrics.embedders.vggish_network import LogMel, VGGish

    state = read_state(path)
    with torch.device("meta"):  # neither time nor random numbers are spent on values that are about to be replaced
        network = VGGish()
    load_state(network.to_empty(device="cpu"), state, path)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on a CPU
    return torch.nn.Sequential(LogMel(), network)
