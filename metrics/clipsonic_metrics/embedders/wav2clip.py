"""`wav2clip`: sounds in the space of CLIP ViT-B/32's images (Wu et al. 2022), for the CLIP score of Im2Wav.

    hears       16 kHz mono, a whole sound as one row, as the CLIP score is defined: one vector per sound
    sees        log(power + 1e-7) of a spectrogram (512 samples, hop 353), standardised over the sound itself
    network     ResNet-18 on one channel, then a network of two layers; names of the official Wav2CLIP.pt
    gives       unit vectors of 512 numbers; the wav2clip package gives the same ones without unit length

The wav2clip package standardises over all sounds of a batch at once, so that the same sound has another embedding in
other company. What it gives for a sound by itself is the meant value, and what is given here for every sound.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.embedder import WindowedEmbedder, over_windows
from clipsonic_metrics.embedders.files import digest, kept_random_state, load_state, read_state
from clipsonic_metrics.embedders.sanity import check_sounds
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sources import find_weights, is_published

if TYPE_CHECKING:
    from torch import Tensor, nn

RATE_HZ: Final = 16_000
WHOLE: Final = Listening(rate_hz=RATE_HZ, window=None, at_least=RATE_HZ // 10, short="repeat")
DIM: Final = 512
_ROWS: Final = 8
_PARTS: Final = ("audio_encoder.", "audio_transform.")


def load_wav2clip(weights: Path | None, listening: Listening | None = None) -> WindowedEmbedder:
    """`wav2clip`: Wav2CLIP.pt as published.

    Raises:
        MetricsError: the weights are absent, do not fit or have collapsed, or the rate is not 16 kHz.
    """
    heard = agreed("wav2clip", WHOLE, listening, windows=None, shortest=RATE_HZ // 10)
    path = find_weights("wav2clip", weights)
    network = cache(lambda: _checked_network(path))
    return WindowedEmbedder(
        name="wav2clip",
        version=1,
        listening=heard,
        sha256=digest(path),
        encode=lambda rows: _unit(network(), rows),
        dim=DIM,
        rows=_ROWS,
        build=network,
        made_for="open-clip-vit-b-32",
        is_published=is_published("wav2clip", weights),
    )


def _checked_network(path: Path) -> nn.ModuleDict:
    with kept_random_state():
        network = build_network()
    # The file also holds what the training needed: projections of the images, scales.
    load_state(network, {key: part for key, part in read_state(path).items() if key.startswith(_PARTS)}, path)
    # Heard whole, whatever is asked for: another way may leave too little of short sounds.
    check_sounds(lambda sounds: over_windows(lambda rows: _unit(network, rows), WHOLE, sounds, _ROWS), str(path))
    return network


def _unit(network: nn.ModuleDict, rows: Tensor) -> Tensor:
    from torch.nn.functional import normalize

    return normalize(embed(network, rows), dim=-1)


def build_network() -> nn.ModuleDict:
    """The network, with the official names and random weights."""
    from torch import nn
    from torchaudio.transforms import Spectrogram
    from torchvision.models import resnet18

    encoder = resnet18(weights=None)
    encoder.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    encoder.fc = nn.Identity()
    encoder.spectrogram = Spectrogram(n_fft=512, hop_length=353)  # its window is in the official state
    transform = nn.Sequential(nn.Linear(DIM, DIM), nn.ReLU(), nn.Dropout(0.1), nn.Linear(DIM, DIM))
    return nn.ModuleDict({"audio_encoder": encoder, "audio_transform": nn.ModuleDict({"sequential": transform})})


def embed(network: nn.ModuleDict, rows: Tensor) -> Tensor:
    """(rows, time) samples at 16 kHz to (rows, 512), each standardised by itself, not of unit length."""
    encoder: Any = network["audio_encoder"]
    logarithm = (encoder.spectrogram(rows[:, None]) + 1e-7).log()
    over = (1, 2, 3)
    spread = logarithm.std(dim=over, keepdim=True) + 1e-9
    seen = (logarithm - logarithm.mean(dim=over, keepdim=True)) / spread
    transform: Any = network["audio_transform"]
    found: Tensor = transform["sequential"](encoder(seen))
    return found
