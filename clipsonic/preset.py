"""Presets: one TOML file per size of model, every key with its provenance in a comment beside it."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clipsonic.mel import MelConfig
from clipsonic.network import NetworkConfig

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained. `batch` is over all processes; `condition_dropout` a probability."""

    steps: int
    batch: int
    learning_rate: float
    warm_up: int
    weight_decay: float
    ema_decay: float
    condition_dropout: float
    precision: str
    standardise: bool
    save_every: int = 1000
    report_every: int = 100

    def __post_init__(self) -> None:
        counts = ("steps", "batch", "warm_up", "save_every", "report_every")
        if small := [name for name in counts if getattr(self, name) < 1]:
            raise ValueError(f"training: {', '.join(small)} must be at least 1")


@dataclass(frozen=True)
class SamplingConfig:
    """The defaults a model folder is saved with."""

    guidance_scale: float
    steps: int
    prior_guidance_scale: float
    prior_steps: int


@dataclass(frozen=True)
class Preset:
    """All that a size of model is made of, one section of the TOML file each."""

    mel: MelConfig
    network: NetworkConfig
    training: TrainingConfig
    sampling: SamplingConfig


_SECTIONS: Final[dict[str, type]] = {
    "mel": MelConfig,
    "network": NetworkConfig,
    "training": TrainingConfig,
    "sampling": SamplingConfig,
}


def preset_names() -> list[str]:
    """Names of the presets that ship."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """Read a preset by name, or from a TOML file by path.

    Raises:
        ValueError: naming the nearest preset, or the unknown or missing key.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        near = difflib.get_close_matches(name, preset_names(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise ValueError(f"preset {name!r} does not exist{hint} presets: {', '.join(preset_names())}, or a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    if unknown := set(table) - set(_SECTIONS):
        raise ValueError(f"{path}: unknown section {', '.join(sorted(unknown))}; known: {', '.join(_SECTIONS)}")
    parts: dict[str, Any] = {}
    for section, kind in _SECTIONS.items():
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.get(section, {}).items()}
        try:
            parts[section] = kind(**values)
        except TypeError as error:
            raise ValueError(f"{path}: [{section}] {str(error).split('__init__() ')[-1]}") from error
    return Preset(**parts)
