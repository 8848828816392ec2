"""Untrained weights of embedders whose trained ones would have to be fetched: for trying commands, tests and speed.

Fixed parts of a network (the matrices of PANNs' spectrogram and mel bands) are what they are in the official files; all
else is drawn from a seeded generator by the initialisation of torch's layers. Scores under such weights mean nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from torch import Tensor, nn


def write_random_weights(name: str, path: Path, *, seed: int) -> str:
    """Write untrained weights of an embedder as safetensors, and return their SHA-256.

    Raises:
        MetricsError: an embedder that this is not offered for, another suffix, or a file that cannot be written.
    """
    if name not in NETWORKS:
        raise MetricsError(f"random weights are not offered for {name!r}; there are {', '.join(NETWORKS)}")
    if path.suffix != ".safetensors":
        raise MetricsError(f"--out {path} has suffix {path.suffix!r}; expected .safetensors")
    state = random_state(name, seed=seed)
    contiguous = {key: part.contiguous() for key, part in state.items()}
    # One entry: safetensors writes several in any order, and the file's digest is part of protocols.
    data = safetensors.torch.save(contiguous, {"random": f"{name}, seed {seed}"})
    try:
        write_whole(path, data)
    except OSError as error:
        raise MetricsError(f"--out {path} cannot be written ({error.strerror}); choose another file") from error
    return hashlib.sha256(data).hexdigest()


def random_state(name: str, *, seed: int) -> dict[str, Tensor]:
    """The state of an untrained network, by its official names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {key: part.clone() for key, part in NETWORKS[name]().state_dict().items()}


def _vggish() -> nn.Module:
    from clipsonic_metrics.embedders.vggish_network import VGGish

    return VGGish()


def _cnn14(rate_hz: int, fft: int) -> nn.Module:
    from torchaudio.functional import melscale_fbanks

    from clipsonic_metrics.embedders.panns_network import Cnn14

    network = Cnn14(fft, rate_hz // 100)
    time = torch.arange(fft, dtype=torch.float64)
    angles = 2 * torch.pi * torch.arange(fft // 2 + 1, dtype=torch.float64)[:, None] * time / fft
    window = torch.hann_window(fft, periodic=True, dtype=torch.float64)
    top = 8000.0 if rate_hz == 16_000 else 14_000.0
    real, imaginary = (network.spectrogram_extractor.stft[part].weight for part in ("conv_real", "conv_imag"))
    assert isinstance(real, torch.Tensor) and isinstance(imaginary, torch.Tensor)
    with torch.no_grad():
        real.copy_((torch.cos(angles) * window)[:, None])
        imaginary.copy_((-torch.sin(angles) * window)[:, None])
        bands = melscale_fbanks(fft // 2 + 1, 50.0, top, 64, rate_hz, norm="slaney", mel_scale="slaney")
        network.logmel_extractor.melW.copy_(bands)
    return network


def _wav2clip() -> nn.Module:
    from clipsonic_metrics.embedders.wav2clip import build_network

    return build_network()


def _passt() -> nn.Module:
    from clipsonic_metrics.embedders.passt import build_network

    network: nn.Module = build_network()
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vggish": _vggish,
    "panns-cnn14-16k": lambda: _cnn14(16_000, 512),
    "panns-cnn14-32k": lambda: _cnn14(32_000, 1024),
    "passt": _passt,
    "wav2clip": _wav2clip,
}
