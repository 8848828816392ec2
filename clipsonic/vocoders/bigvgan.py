"""NVIDIA's BigVGAN v2 (Lee et al. 2023) from its official files, `config.json` and `bigvgan_generator.pt`.

The package's own `from_pretrained` fails with huggingface_hub 1 and later, so the files are read here: the network from
the package, the weights as tensors and nothing else, each accounted for. The mel definition is BigVGAN's
`meldataset.py`: see `clipsonic.mel`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import Tensor

from clipsonic.mel import MelConfig
from clipsonic.weights.fetch import cached_folder

CONFIG: Final = "config.json"
GENERATOR: Final = "bigvgan_generator.pt"
_COMMON: Final = {"n_fft": 1024, "hop": 256, "f_min_hz": 0.0, "floor": 1e-5}
MELS: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "bigvgan-v2-24khz-100band": {**_COMMON, "rate_hz": 24_000, "bands": 100, "f_max_hz": 12_000.0},
        "bigvgan-v2-22khz-80band": {**_COMMON, "rate_hz": 22_050, "bands": 80, "f_max_hz": 11_025.0},
    }
)
"""What each checkpoint was trained on, in `MelConfig`'s names."""
_THEIRS: Final = {"rate_hz": "sampling_rate", "n_fft": "n_fft", "hop": "hop_size", "bands": "num_mels",
                  "f_min_hz": "fmin", "f_max_hz": "fmax"}  # fmt: skip
"""The same in BigVGAN's config; its floor is in its code."""


class BigVGANVocoder(torch.nn.Module):
    """A loaded BigVGAN as a vocoder. One item at a time: company would change a sound's rounding."""

    def __init__(self, generator: torch.nn.Module) -> None:
        super().__init__()
        self.generator = generator

    @torch.no_grad()
    def forward(self, log_mel: Tensor) -> Tensor:
        """(items, bands, frames) to (items, frames * hop) samples in [-1, 1]."""
        return torch.cat([self.generator(item[None])[:, 0] for item in log_mel])


def check_mel(name: str, mel: MelConfig) -> None:
    """Make sure that a model of this mel definition can be heard through a BigVGAN.

    Raises:
        ValueError: naming every value that differs.
    """
    wanted = MELS[name].items()
    differs = [f"{key} {getattr(mel, key):g} (wanted {value:g})" for key, value in wanted if getattr(mel, key) != value]
    if differs:
        raise ValueError(
            f"vocoder {name!r} does not take this model's mel: {', '.join(differs)}; "
            "--vocoder griffin-lim takes any, or train with a preset made for it"
        )


def load_bigvgan(name: str, mel: MelConfig, weights: Path | None = None) -> BigVGANVocoder:
    """Read a BigVGAN from a folder of its two files, or from the hub's cache.

    Raises:
        ValueError: the package or a file is missing, or the files are not those of a BigVGAN of this mel definition.
    """
    check_mel(name, mel)
    folder = _folder(name, weights)
    state = _read_state(folder / GENERATOR)
    config = _read_config(name, folder / CONFIG)
    return BigVGANVocoder(_build(config, state, folder)).eval().requires_grad_(False)


def _folder(name: str, weights: Path | None) -> Path:
    folder = cached_folder(name) if weights is None else weights
    if folder is None:
        raise ValueError(
            f"the weights of vocoder {name!r} are not on this machine: clipsonic weights fetch {name}, "
            f"or --vocoder-weights FOLDER with {CONFIG} and {GENERATOR}"
        )
    if missing := [file for file in (CONFIG, GENERATOR) if not (folder / file).is_file()]:
        raise ValueError(f"{folder} holds no BigVGAN: {' and '.join(missing)} missing")
    return folder


def _read_config(name: str, file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if missing := [key for key in _THEIRS.values() if not isinstance(config, dict) or key not in config]:
        raise ValueError(f"{file} is no BigVGAN config: {', '.join(missing)} missing")
    found = {**config, "fmax": config["sampling_rate"] / 2 if config["fmax"] is None else config["fmax"]}
    pairs = [(theirs, MELS[name][ours]) for ours, theirs in _THEIRS.items()]
    if differs := [f"{key} {found[key]} (wanted {value:g})" for key, value in pairs if found[key] != value]:
        raise ValueError(f"{file} is not of {name!r}: {', '.join(differs)}")
    return dict(config)


def _read_state(file: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler takes any bytes for commands: whatever they do may go wrong
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{file} is no BigVGAN checkpoint: {said}") from error
    if not isinstance(content, dict) or not isinstance(content.get("generator"), dict):
        raise ValueError(f"{file} is no BigVGAN checkpoint: expected tensors under the key 'generator'")
    state: dict[str, Tensor] = content["generator"]
    return state


def _build(config: dict[str, Any], state: Mapping[str, Tensor], folder: Path) -> torch.nn.Module:
    """The package's network with these weights and without weight normalisation, whichever form the file has."""
    try:
        from bigvgan.bigvgan import BigVGAN
        from bigvgan.env import AttrDict
    except ImportError as error:
        raise ValueError(
            f'BigVGAN needs the extra "vocoder": pip install "clipsonic[vocoder]" ({error.name} is missing)'
        ) from error
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # weights are drawn before they are read
        warnings.simplefilter("ignore", FutureWarning)  # of torch.nn.utils.weight_norm
        try:
            network: torch.nn.Module = BigVGAN(AttrDict(config), use_cuda_kernel=False)
        except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as error:
            raise ValueError(f"{folder / CONFIG} is no BigVGAN config: {error}") from error
        normalised = any(key.endswith("weight_g") for key in state)
        try:
            if normalised:
                network.load_state_dict(state)
            for module in network.modules():  # what the package's remove_weight_norm does, which prints
                if hasattr(module, "weight_g"):
                    torch.nn.utils.remove_weight_norm(module)
            if not normalised:
                network.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"{folder / GENERATOR} does not fit its config: {' '.join(str(error).split())[:200]}"
            ) from error
    return network
