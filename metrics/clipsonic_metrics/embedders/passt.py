"""PaSST (Koutini et al. 2022, arXiv 2110.05069): 768 dimensions and 527 logits per 10 s at 32 kHz.

The network is hear21passt's own class, built without its loader, which would fetch weights and print them. The front
end is written out here because that package rebuilds its filters for every batch and calls the STFT in a way that torch
is about to remove: pre-emphasis 0.97; STFT of 1024 every 320, window of 800 (symmetric Hann), centred; power; Kaldi's
128 mel bands from 0 to 15 kHz; log(band + 1e-5); (x + 4.5) / 5.

The embedding is the mean of the class and distillation tokens, the logits are what the head makes of it: the two halves
of hear21passt's "all". Windows are 10 s at most, as far as the network's encodings of time reach; shorter ones are
heard as they are. The names of the state are those of `passt-s-f128-p16-s10-ap.476-swa.pt`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from clipsonic_metrics.embedder import WindowedClassifier
from clipsonic_metrics.embedders.files import digest, kept_random_state, load_state, read_state
from clipsonic_metrics.embedders.panns import LABELS
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sources import find_weights

if TYPE_CHECKING:
    from torch import Tensor

VERSION: Final = 1
RATE_HZ: Final = 32_000
WINDOW: Final = 320_000
LISTENING: Final = Listening(rate_hz=RATE_HZ, window=WINDOW, tail="half", short="repeat")
_ROWS: Final = 4
_FFT, _STEP, _FRAME, _BANDS, _HIGHEST_HZ = 1024, 320, 800, 128, 15_000.0


class Network(Protocol):
    """What hear21passt's PaSST does: (items, 1, bands, frames) to logits and features."""

    def __call__(self, log_mel: Tensor) -> tuple[Tensor, Tensor]: ...


class LogMel:
    """The front end, from samples (items, time) to (items, 1, 128, frames)."""

    def __init__(self) -> None:
        import torch
        from torch.nn.functional import pad
        from torchaudio.compliance.kaldi import get_mel_banks

        self._emphasis = torch.tensor([[[-0.97, 1.0]]])
        self._window = torch.hann_window(_FRAME, periodic=False)
        bands, _ = get_mel_banks(_BANDS, _FFT, RATE_HZ, 0.0, _HIGHEST_HZ, 100.0, -500.0, 1.0)
        self._bands = pad(bands, (0, 1))  # Kaldi has no weight for the highest bin

    def __call__(self, samples: Tensor) -> Tensor:
        import torch
        from torch.nn.functional import conv1d

        emphasised = conv1d(samples[:, None], self._emphasis)[:, 0]
        spectrum = torch.stft(emphasised, _FFT, _STEP, _FRAME, self._window, center=True, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return ((torch.log(self._bands @ power + 1e-5) + 4.5) / 5)[:, None]


def load_passt(weights: Path | None = None, listening: Listening | None = None) -> WindowedClassifier:
    """Load `passt`.

    Raises:
        MetricsError: hear21passt is not installed, no weights, weights that do not fit, another rate, or windows of
            other than 0.16 to 10 s.
    """
    heard = agreed("passt", LISTENING, listening, windows=range(5120, WINDOW + 1))
    path = find_weights("passt", weights)

    @cache
    def build() -> tuple[Network, LogMel]:
        return _network(path, 1 + ((heard.window or WINDOW) - 1) // _STEP), LogMel()

    def both(samples: Tensor) -> tuple[Tensor, Tensor]:
        network, front = build()
        logits, embeddings = network(front(samples))
        return embeddings, logits

    return WindowedClassifier(
        name="passt",
        version=VERSION,
        listening=heard,
        sha256=digest(path),
        encode=lambda samples: both(samples)[0],
        dim=768,
        rows=_ROWS,
        classify=lambda samples: both(samples)[1],
        both=both,
        labels=LABELS,
        build=build,
    )


def build_network() -> Any:
    """An untrained PaSST of hear21passt.

    Raises:
        MetricsError: hear21passt is not installed.
    """
    try:
        passt: Any = import_module("hear21passt.models.passt")
    except ModuleNotFoundError as error:
        raise MetricsError("passt needs hear21passt; type: pip install 'clipsonic[embedders]'") from error
    passt.first_RUN = False  # or its first batch prints shapes to stdout, where results go
    return passt.PaSST(
        img_size=(_BANDS, 998),
        patch_size=16,
        stride=(10, 10),
        embed_dim=768,
        depth=12,
        num_heads=12,
        num_classes=len(LABELS),
        distilled=True,
    )


def _network(path: Path, frames: int) -> Network:
    state = read_state(path)
    with kept_random_state():
        network = build_network()
    load_state(network, state, path)
    network.patch_embed.img_size = (_BANDS, frames)  # or it warns that 10 s are 1000 frames and not 998
    result: Network = network
    return result
