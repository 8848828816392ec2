"""LAION's official CLAP checkpoints: what network a state is of, and its names in transformers' `ClapModel`.

How wide and deep the towers are, and whether there is fusion, is read from the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from torch import Tensor

_UNUSED: Final = re.compile(
    r"audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\.|(text|audio)_transform\."
    r"|.*\.attn_mask$|text_branch\.embeddings\.(position|token_type)_ids$"
)
_RENAMED: Final = (
    (r"^text_branch\.", "text_model."),
    (r"^audio_branch\.bn0\.", "audio_model.audio_encoder.batch_norm."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"(text|audio)_projection\.0\.", r"\1_projection.linear1."),
    (r"(text|audio)_projection\.2\.", r"\1_projection.linear2."),
    (r"(blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"(blocks\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"(blocks\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"(blocks\.\d+)\.attn\.proj\.", r"\1.attention.output.dense."),
    (r"(blocks\.\d+)\.attn\.", r"\1.attention.self."),
)


def official_file(found: Path) -> Path:
    """The checkpoint of a folder that holds one, or the file itself.

    Raises:
        MetricsError: the folder holds no .pt, or several.
    """
    if not found.is_dir():
        return found
    files = sorted(found.glob("*.pt"))
    if len(files) != 1:
        raise MetricsError(f"{found} holds {len(files)} .pt files; expected one, or give the file by --weights")
    return files[0]


def audio_sizes(state: Mapping[str, Tensor], path: Path) -> tuple[int, list[int], str]:
    """Width of the first layer, blocks per layer, and "fusion" or "none", of an official checkpoint's audio tower.

    Raises:
        MetricsError: the state is not that of a CLAP with HTS-AT and RoBERTa.
    """
    patch, words = "audio_branch.patch_embed.proj.weight", "text_branch.embeddings.word_embeddings.weight"
    if patch not in state or words not in state:
        raise MetricsError(f"{path} is not an official CLAP with HTS-AT and RoBERTa: it has no {patch}, {words}")
    depths = []
    for layer in range(4):
        begin = f"audio_branch.layers.{layer}.blocks."
        depths.append(len({name.split(".")[4] for name in state if name.startswith(begin)}))
    fusion = "fusion" if "audio_branch.patch_embed.mel_conv2d.weight" in state else "none"
    return state[patch].shape[0], depths, fusion


def text_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What RoBERTa's configuration says of an official checkpoint's text tower."""
    words = state["text_branch.embeddings.word_embeddings.weight"]
    layers = {name.split(".")[3] for name in state if name.startswith("text_branch.encoder.layer.")}
    return {
        "vocab_size": words.shape[0],
        "hidden_size": words.shape[1],
        "num_hidden_layers": len(layers),
        "num_attention_heads": words.shape[1] // 64,
        "intermediate_size": state["text_branch.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": state["text_branch.embeddings.position_embeddings.weight"].shape[0],
        "type_vocab_size": 1,
    }


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An official state under the names of `ClapModel`: queries, keys and values apart, unused parts left out."""
    found: dict[str, Tensor] = {}
    for official, part in state.items():
        if _UNUSED.match(official):
            continue
        name = official
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        if ".qkv." in name:
            for role, third in zip(("query", "key", "value"), part.chunk(3), strict=True):
                found[name.replace(".qkv.", f".{role}.")] = third
        else:
            found[name] = part
    return found
