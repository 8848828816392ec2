"""Log-mel to samples. A vocoder is asked for by name and must take the model's own mel definition.

`griffin-lim` is the embedded default: it needs no weights and takes any mel. The `bigvgan-…` are NVIDIA's checkpoints.
Nothing is loaded before a vocoder is used, and nothing is ever fetched here.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from clipsonic.mel import MelConfig

VOCODERS: Final = ("griffin-lim", "bigvgan-v2-24khz-100band", "bigvgan-v2-22khz-80band")


def check_vocoder(name: str, mel: MelConfig) -> None:
    """Make sure that a vocoder exists and takes this mel definition; reads no weights.

    Raises:
        ValueError: naming the nearest vocoder, or every value of the mel definition that it wants otherwise.
    """
    if name not in VOCODERS:
        near = difflib.get_close_matches(name, VOCODERS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"vocoder {name!r} does not exist; {hint}Vocoders: {', '.join(VOCODERS)}")
    if name != "griffin-lim":
        from clipsonic.vocoders.bigvgan import check_mel

        check_mel(name, mel)


def load_vocoder(name: str, mel: MelConfig, weights: Path | None = None) -> Module:
    """A module from log-mel (items, bands, frames) to samples (items, frames * hop), in evaluation mode on the CPU.

    Args:
        weights: folder of a BigVGAN's `config.json` and `bigvgan_generator.pt`; None looks in the hub's cache.

    Raises:
        ValueError: an unknown name, another mel definition, weights that are missing or do not fit.
    """
    check_vocoder(name, mel)
    if name == "griffin-lim":
        if weights is not None:
            raise ValueError(f"vocoder 'griffin-lim' has no weights, given {weights}: name a BigVGAN with --vocoder")
        from clipsonic.vocoders.griffin_lim import GriffinLimVocoder

        return GriffinLimVocoder(mel)
    from clipsonic.vocoders.bigvgan import load_bigvgan

    return load_bigvgan(name, mel, weights)


def vocoder_folder(name: str, weights: Path | None = None) -> Path | None:
    """Where `load_vocoder` finds the weights of a vocoder; None where it needs none, or they are not here."""
    if weights is not None or name == "griffin-lim":
        return weights
    from clipsonic.weights.fetch import cached_folder

    return cached_folder(name)


def within_full_scale(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Turn down each sound whose peak is beyond 1, instead of clipping it.

    Returns:
        The samples (items, time) in [-1, 1], and the gain of each item (items,), 1 where nothing was done.
    """
    gain = 1.0 / samples.abs().amax(1).clamp(min=1.0)
    return samples * gain[:, None], gain
