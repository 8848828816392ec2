"""EnCodec (Défossez et al. 2022, arXiv 2210.13438): the encoder's output before quantisation, 128 dimensions per frame.

    `encodec-24k`   24 kHz mono, 75 frames per second; windows of 10 s
    `encodec-48k`   48 kHz stereo, 150 frames per second; windows of 1 s, which its layers normalise over as a whole

The samples go in at their own level, as the other tools have it. (The 48 kHz codec itself scales each second to one
loudness first.)

The network is transformers' EncodecModel: the package `encodec` has not been released since 2022 and builds its layers
on an interface that torch has deprecated. Both namings of the weights are read: Meta's (`encodec_24khz-d7cc33bc.th`,
`encodec_48khz-7e698e3e.th`) and that of the converted `model.safetensors`. What belongs to the decoder and the
quantiser is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.embedder import WindowedEmbedder
from clipsonic_metrics.embedders.files import digest, kept_random_state, load_state, read_state
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sources import find_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

VERSION: Final = 1
DIM: Final = 128
LISTENING_24K: Final = Listening(rate_hz=24_000, window=240_000, tail="half", short="repeat")
LISTENING_48K: Final = Listening(rate_hz=48_000, window=48_000, tail="half", short="repeat", mono="stereo")
_LAYERS_24K: Final[Mapping[str, Any]] = {"norm_type": "weight_norm", "use_causal_conv": True}
_LAYERS_48K: Final[Mapping[str, Any]] = {"norm_type": "time_group_norm", "use_causal_conv": False, "audio_channels": 2}
_ROWS_24K, _ROWS_48K = 2, 4
_SHORTEST: Final = 320
"""What one frame advances by."""
_UNUSED: Final = ("decoder.", "quantizer.")
_NAMES: Final = (
    ("encoder.", ""),
    ("model.", "layers."),
    (".conv.conv.", ".conv."),
    (".conv.norm.", ".norm."),
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
)
"""Parts of names, Meta's and ours, in the order in which they are replaced."""


def load_encodec_24k(weights: Path | None = None, listening: Listening | None = None) -> WindowedEmbedder:
    """Load `encodec-24k`.

    Raises:
        MetricsError: transformers is not installed, no weights, weights that do not fit, or another rate than 24 kHz
            mono.
    """
    heard = agreed("encodec-24k", LISTENING_24K, listening, windows=None, shortest=_SHORTEST)
    return _load("encodec-24k", heard, _ROWS_24K, _LAYERS_24K, weights)


def load_encodec_48k(weights: Path | None = None, listening: Listening | None = None) -> WindowedEmbedder:
    """Load `encodec-48k`.

    Raises:
        MetricsError: transformers is not installed, no weights, weights that do not fit, or another rate than 48 kHz
            stereo.
    """
    heard = agreed("encodec-48k", LISTENING_48K, listening, windows=None, shortest=_SHORTEST)
    return _load("encodec-48k", heard, _ROWS_48K, _LAYERS_48K, weights)


def _load(name: str, heard: Listening, rows: int, layers: Mapping[str, Any], weights: Path | None) -> WindowedEmbedder:
    path = find_weights(name, weights)
    network, stereo = cache(lambda: _encoder(path, layers)), heard.sides == 2

    def encode(samples: Tensor) -> Tensor:
        found: Tensor = network()(samples if stereo else samples[:, None])
        return found.transpose(1, 2)

    return WindowedEmbedder(
        name=name,
        version=VERSION,
        listening=heard,
        sha256=digest(path),
        encode=encode,
        dim=DIM,
        rows=rows,
        build=network,
        one_frame=False,
    )


def _encoder(path: Path, layers: Mapping[str, Any]) -> nn.Module:
    from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

    try:
        from transformers import EncodecConfig, EncodecModel
    except ModuleNotFoundError as error:
        raise MetricsError("EnCodec needs transformers; type: pip install 'clipsonic[embedders]'") from error
    state = {name: part for name, part in read_state(path).items() if not name.startswith(_UNUSED)}
    with kept_random_state():
        encoder: nn.Module = EncodecModel(EncodecConfig(**layers)).encoder
    load_state(encoder, {_own_name(name): part for name, part in state.items()}, path)
    for layer in encoder.modules():
        if is_parametrized(layer, "weight"):
            remove_parametrizations(layer, "weight")  # the weight is fixed: no need to norm it anew for every batch
    return encoder


def _own_name(name: str) -> str:
    for theirs, ours in _NAMES:
        name = name.replace(theirs, ours)
    return name
