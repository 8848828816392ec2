"""`clap` and `clap-fused`: LAION's CLAP in transformers' `ClapModel`, with numpy 2 as well.

Weights are a converted checkpoint (a folder with config.json, model.safetensors or pytorch_model.bin, vocab.json and
merges.txt, such as laion/clap-htsat-unfused), or one of LAION's official files, whose names are turned into ClapModel's
(clap_checkpoint.py): it then gives the embeddings of `laion-clap-…`, to 1e-5.

The mel is clap_mel.py's, the one that the networks were trained with. transformers' own feature extractor crops at
random, marks a random sound as longer, and has a lowest frequency of 0 Hz unless the checkpoint's
preprocessor_config.json says otherwise; what that file says is followed, and named in the protocol if it is not LAION's
50 to 14000 Hz. Converted checkpoints also have 1e-12 where RoBERTa has 1e-5 in its layer norms: a converted file and
its original differ in their texts by a little.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.embedders.clap_checkpoint import audio_sizes, converted, official_file, text_sizes
from clipsonic_metrics.embedders.clap_mel import BANDS, FFT, HOP, RANGE_HZ, RATE_HZ, fused_mel, log_mel
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
    from torch import Tensor
    from transformers import ClapModel

_COMPUTED: Final = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
_STATES: Final = ("model.safetensors", "pytorch_model.bin")
_PROJECTED: Final = 512
"""What ClapConfig has where a file does not say."""
_MADE_FOR: Final = {"sampling_rate": RATE_HZ, "hop_length": HOP, "fft_window_size": FFT, "feature_size": BANDS}


def load_clap(weights: Path | None, listening: Listening | None = None) -> SoundTextEmbedder:
    """`clap`: laion/clap-htsat-unfused, or any converted or official checkpoint."""
    return _load("clap", weights, listening)


def load_clap_fused(weights: Path | None, listening: Listening | None = None) -> SoundTextEmbedder:
    """`clap-fused`: laion/clap-htsat-fused, or any converted or official checkpoint."""
    return _load("clap-fused", weights, listening)


@dataclass(frozen=True)
class _Checkpoint:
    """What a checkpoint says of itself before a network is built of it."""

    path: Path
    sha256: str
    fused: bool
    dim: int
    range_hz: tuple[float, float]
    build: Callable[[], ClapModel]


def _load(name: str, weights: Path | None, listening: Listening | None) -> SoundTextEmbedder:
    found = find_weights(name, weights)
    checkpoint = _converted_folder(found) if _is_converted(found) else _official(found)
    range_hz = checkpoint.range_hz
    return sound_text_embedder(
        "clap" if range_hz == RANGE_HZ else f"clap-mel-{range_hz[0]:g}-{range_hz[1]:g}Hz",
        clap_listening(name, "fusion" if checkpoint.fused else "none", listening),
        checkpoint.sha256,
        lambda: _network(checkpoint),
        joint_digest(tokenizer_files(checkpoint.path.parent)),
        checkpoint.dim,
    )


def _network(checkpoint: _Checkpoint) -> SoundTextNetwork:
    network: Any = checkpoint.build()

    def encode_sounds(rows: Tensor) -> Tensor:
        import torch

        if not checkpoint.fused:
            mels = log_mel(rows, "plain", checkpoint.range_hz)[:, None]
            vectors: Tensor = network.get_audio_features(input_features=mels).pooler_output
            return vectors
        parts, longer = zip(*(fused_mel(row, checkpoint.range_hz) for row in rows), strict=True)
        given = {"input_features": torch.stack(parts), "is_longer": torch.stack(longer)}
        vectors = network.get_audio_features(**given).pooler_output
        return vectors

    def encode_texts(rows: Tensor) -> Tensor:
        vectors: Tensor = network.get_text_features(input_ids=rows[:, 0], attention_mask=rows[:, 1]).pooler_output
        return vectors

    tokens = RobertaTexts(checkpoint.path.parent, network.config.text_config.vocab_size)
    return SoundTextNetwork(encode_sounds, tokens, encode_texts)


def _is_converted(found: Path) -> bool:
    return found.is_dir() and (found / "config.json").is_file()


def _official(found: Path) -> _Checkpoint:
    path = official_file(found)
    state = read_state(path)  # mapped into memory: what it names says what the network is
    width, depths, fusion = audio_sizes(state, path)
    dim = state["audio_projection.2.weight"].shape[0]
    audio = {
        "patch_embeds_hidden_size": width,
        "hidden_size": width * 8,
        "depths": depths,
        "enable_fusion": fusion == "fusion",
        "fusion_type": "aff_2d" if fusion == "fusion" else None,
        "projection_dim": dim,
    }
    text = text_sizes(state) | {"layer_norm_eps": 1e-5, "projection_dim": dim}
    config = {"audio_config": audio, "text_config": text, "projection_dim": dim}

    def build() -> ClapModel:
        return _filled(config, converted(read_state(path)), path)

    sha256 = joint_digest([path, path.parent / "config.json"]) if _is_converted(path.parent) else digest(path)
    return _Checkpoint(path, sha256, fusion == "fusion", dim, RANGE_HZ, build)


def _converted_folder(folder: Path) -> _Checkpoint:
    path = next((each for each in map(folder.joinpath, _STATES) if each.is_file()), None)
    if path is None:
        raise MetricsError(f"{folder} holds none of {', '.join(_STATES)}; expected a converted CLAP")
    config, range_hz = _json(folder / "config.json"), _range_hz(folder / "preprocessor_config.json")
    fused = bool((config.get("audio_config") or {}).get("enable_fusion", False))
    sha256 = joint_digest([path, folder / "config.json"])

    def build() -> ClapModel:
        return _filled(config, read_state(path), path)

    return _Checkpoint(path, sha256, fused, config.get("projection_dim", _PROJECTED), range_hz, build)


def _filled(config: dict[str, Any], state: Mapping[str, Tensor], path: Path) -> ClapModel:
    """The network that the configuration describes, with that state."""
    try:
        from transformers import ClapConfig, ClapModel
    except ModuleNotFoundError as error:
        raise MetricsError("clap needs transformers; type: pip install 'clipsonic[embedders]'") from error
    try:
        with kept_random_state():
            network = ClapModel(ClapConfig(**config))
    except (TypeError, ValueError, KeyError) as error:
        raise MetricsError(f"{path.parent / 'config.json'} is not the configuration of a CLAP ({error})") from error
    load_state(network, state, path, left_out=_COMPUTED)
    return network


def _range_hz(path: Path) -> tuple[float, float]:
    """The lowest and highest frequency that a checkpoint's own file names, or LAION's."""
    if not path.is_file():
        return RANGE_HZ
    says = _json(path)
    for key, expected in _MADE_FOR.items():
        if says.get(key, expected) != expected:
            raise MetricsError(f"{path} says {key} {says[key]}; a CLAP with {expected} is expected")
    return says.get("frequency_min", RANGE_HZ[0]), says.get("frequency_max", RANGE_HZ[1])


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MetricsError(f"{path} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise MetricsError(f"{path} is not a configuration; expected a JSON object")
    return found
