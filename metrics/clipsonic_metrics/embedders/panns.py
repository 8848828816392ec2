"""PANNs' Cnn14 (Kong et al. 2020, arXiv 1912.10211), for 16 and for 32 kHz: 2048 dimensions and 527 logits per window.

    front end   STFT (Hann, centred, reflected at the ends) of 512 samples every 160 at 16 kHz, of 1024 every 320 at
                32 kHz; power; 64 bands; 10 log10 with a floor of 1e-10. Its matrices are part of the official state, as
                torchlibrosa writes them, and are used as they are: weights of the other rate do not fit.
    embedding   the ReLU of `fc1`: "FD", "FD-PANN" of the tools
    logits      `fc_audioset` of it, for AudioSet's 527 classes in their official order; several may be true at once

The names of the state are PANNs' (`Cnn14_16k_mAP=0.438.pth`, `Cnn14_mAP=0.431.pth`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clipsonic_metrics.embedder import WindowedClassifier
from clipsonic_metrics.embedders.files import digest, load_state, read_state
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sources import find_weights

if TYPE_CHECKING:
    from clipsonic_metrics.embedders.panns_network import Cnn14

VERSION: Final = 1
CLASSES: Final = 527
LABELS: Final = tuple(f"audioset-{index}" for index in range(CLASSES))
"""AudioSet's classes by their index in its list of class labels."""
LISTENING_16K: Final = Listening(rate_hz=16_000, window=160_000, tail="half", short="repeat")
LISTENING_32K: Final = Listening(rate_hz=32_000, window=320_000, tail="half", short="repeat")
_ROWS: Final = 4
_SHORTEST_S: Final = 0.32
"""32 frames of 10 ms, which five halvings leave one of."""


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
    network = cache(lambda: _network(fft, own.rate_hz, path))
    return WindowedClassifier(
        name=name,
        version=VERSION,
        listening=heard,
        sha256=digest(path),
        encode=lambda samples: network().embed(samples),
        dim=2048,
        rows=_ROWS,
        classify=lambda samples: network().classify(samples),
        both=lambda samples: network().both(samples),
        labels=LABELS,
        build=network,
    )


def _network(fft: int, rate_hz: int, path: Path) -> Cnn14:
    import torch

    from clipsonic_metrics.embedders.panns_network import Cnn14

    state = read_state(path)
    with torch.device("meta"):  # neither time nor random numbers are spent on values that are about to be replaced
        network = Cnn14(fft, rate_hz // 100)
    load_state(network.to_empty(device="cpu"), state, path)
    return network
