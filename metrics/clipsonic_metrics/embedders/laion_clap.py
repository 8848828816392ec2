"""`laion-clap-…`: LAION's official checkpoints (Wu et al. 2023) in the network of the package laion_clap 1.1.7.

Importing laion_clap fetches three tokenizers from a hub, and building its network fetches RoBERTa. So its network's
modules are imported here without the package around them, and their RoBERTa is built as it is, empty, to be filled from
the checkpoint. How many layers and bands the towers have is read from the checkpoint's own tensors, fusion too. The mel
is the network's own, in float32 (with fusion clap_mel.py's). The tokenizer is read from files (roberta.py).

Sounds are neither cropped at random nor rounded to 16 bits, which laion_clap does (a profile may ask for the rounding).
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.embedders.clap_checkpoint import audio_sizes, official_file, text_sizes
from clipsonic_metrics.embedders.clap_mel import BANDS, FFT, HOP, RANGE_HZ, RATE_HZ, SAMPLES, fused_mel
from clipsonic_metrics.embedders.files import digest, joint_digest, kept_random_state, load_state, read_state
from clipsonic_metrics.embedders.roberta import RobertaTexts, tokenizer_files
from clipsonic_metrics.embedders.sound_text import (
    SoundTextEmbedder,
    SoundTextNetwork,
    clap_listening,
    sound_text_embedder,
)
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.sources import find_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

_PRIVATE: Final = "clipsonic_metrics.embedders._laion_clap_modules"
_COMPUTED: Final = ("text_branch.embeddings.position_ids", "text_branch.embeddings.token_type_ids")


def load_630k_audioset(weights: Path | None, listening: Listening | None = None) -> SoundTextEmbedder:
    """`laion-clap-630k-audioset`: 630k-audioset-best.pt."""
    return _load("laion-clap-630k-audioset", weights, listening)


def load_630k_audioset_fusion(weights: Path | None, listening: Listening | None = None) -> SoundTextEmbedder:
    """`laion-clap-630k-audioset-fusion`: 630k-audioset-fusion-best.pt."""
    return _load("laion-clap-630k-audioset-fusion", weights, listening)


def load_music(weights: Path | None, listening: Listening | None = None) -> SoundTextEmbedder:
    """`laion-clap-music`: music_audioset_epoch_15_esc_90.14.pt."""
    return _load("laion-clap-music", weights, listening)


def load_music_speech_audioset(weights: Path | None, listening: Listening | None = None) -> SoundTextEmbedder:
    """`laion-clap-music-speech-audioset`: music_speech_audioset_epoch_15_esc_89.98.pt."""
    return _load("laion-clap-music-speech-audioset", weights, listening)


def build_network(width: int, depths: Sequence[int], fusion: str, text: Mapping[str, Any]) -> nn.Module:
    """laion_clap's own network, with random weights: audio tower of that first width and those blocks per layer, with
    "fusion" or "none", and a RoBERTa of the sizes that `text` names.

    Raises:
        MetricsError: laion_clap is not installed.
    """
    modules = _modules()
    from transformers import RobertaConfig, RobertaModel

    def audio_tower(config: Any, enable_fusion: bool, fusion_type: str) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch.meshgrid
            network: nn.Module = modules.htsat.HTSAT_Swin_Transformer(
                embed_dim=width,
                depths=list(depths),
                num_heads=[4, 8, 16, 32],
                num_classes=config.class_num,
                config=config,
                enable_fusion=enable_fusion,
                fusion_type=fusion_type,
            )
        return network

    def text_tower(name: str) -> nn.Module:
        return RobertaModel(RobertaConfig(layer_norm_eps=1e-5, **text))

    # These two names of its module are where it would fetch, and where it knows three sizes only.
    modules.model.RobertaModel = SimpleNamespace(from_pretrained=text_tower)
    modules.model.create_htsat_model = audio_tower
    audio = {
        "audio_length": 1024,
        "clip_samples": SAMPLES,
        "mel_bins": BANDS,
        "sample_rate": RATE_HZ,
        "window_size": FFT,
        "hop_size": HOP,
        "fmin": RANGE_HZ[0],
        "fmax": RANGE_HZ[1],
        "class_num": 527,
        "model_type": "HTSAT",
        "model_name": "tiny",
    }
    unused = {"context_length": 77, "vocab_size": 0, "width": 0, "heads": 0, "layers": 0, "model_type": "roberta"}
    options = {"enable_fusion": fusion == "fusion", "fusion_type": "aff_2d" if fusion == "fusion" else "None"}
    network: nn.Module = modules.model.CLAP(width * 8, audio, unused, **options)
    return network.eval()


def _load(name: str, weights: Path | None, listening: Listening | None) -> SoundTextEmbedder:
    path = official_file(find_weights(name, weights))
    state = read_state(path)  # mapped into memory: what it names says whether there is fusion
    _, _, fusion = audio_sizes(state, path)
    return sound_text_embedder(
        "laion-clap",
        clap_listening(name, fusion, listening),
        digest(path),
        lambda: _network(path),
        joint_digest(tokenizer_files(path.parent)),
        state["audio_projection.2.weight"].shape[0],
    )


def _network(path: Path) -> SoundTextNetwork:
    from torch.nn.functional import normalize

    state = read_state(path)
    width, depths, fusion = audio_sizes(state, path)
    with kept_random_state():
        network: Any = build_network(width, depths, fusion, text_sizes(state))
    load_state(network, state, path, left_out=_COMPUTED)

    def encode_sounds(rows: Tensor) -> Tensor:
        given: dict[str, Any] = {"waveform": rows}
        if fusion == "fusion":
            import torch

            mels, longer = zip(*(fused_mel(row) for row in rows), strict=True)
            given = {"mel_fusion": torch.stack(mels), "longer": torch.stack(longer)}
        heard = network.encode_audio(given, device="cpu")["embedding"]
        return normalize(network.audio_projection(heard), dim=-1)

    def encode_texts(rows: Tensor) -> Tensor:
        read = network.encode_text({"input_ids": rows[:, 0], "attention_mask": rows[:, 1]}, device="cpu")
        return normalize(read, dim=-1)

    return SoundTextNetwork(encode_sounds, RobertaTexts(path.parent, text_sizes(state)["vocab_size"]), encode_texts)


@functools.cache
def _modules() -> SimpleNamespace:
    """laion_clap's `model` and `htsat`, imported under a name of ours, without the package that fetches."""
    found = find_spec("laion_clap")
    if found is None or not found.submodule_search_locations:
        raise MetricsError(
            "laion_clap is not installed; install the extra 'clap' (numpy 1 only), or choose the embedder clap, "
            "which reads the same files"
        )
    package = ModuleType(_PRIVATE)
    package.__path__ = [str(Path(found.submodule_search_locations[0]) / "clap_module")]
    sys.modules[_PRIVATE] = package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that it imports
        return SimpleNamespace(
            model=import_module(f"{_PRIVATE}.model"),
            htsat=import_module(f"{_PRIVATE}.htsat"),
        )
