"""Presets of priors: one TOML file per size in presets/prior/, every key with its provenance in a comment beside it."""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from clipsonic.training.config import TrainingConfig, check_types

PRESETS: Final = Path(__file__).parent / "presets" / "prior"


@dataclass(frozen=True)
class PriorNetwork:
    """Size of the transformer: its width is heads * head_dim."""

    heads: int
    head_dim: int
    layers: int

    def __post_init__(self) -> None:
        if small := [name for name in ("heads", "head_dim", "layers") if getattr(self, name) < 1]:
            raise ValueError(f"network: {', '.join(small)} must be at least 1")


@dataclass(frozen=True)
class PriorSampling:
    """How a prior is sampled, as in `clipsonic.prior.sample_image_embedding`."""

    most_steps: ClassVar[int] = 999
    """DPM-Solver++ takes one step fewer than there are noise levels (`clipsonic.diffusion.set_steps`)."""

    guidance_scale: float
    steps: int
    samples: int

    def __post_init__(self) -> None:
        if self.steps < 1 or self.samples < 1:
            raise ValueError(f"sampling: {self.steps} steps and {self.samples} samples; at least 1 of each is needed")
        if self.steps > self.most_steps:
            raise ValueError(f"sampling: {self.steps} steps of a prior, expected 1 to {self.most_steps}")
        if not math.isfinite(self.guidance_scale):
            raise ValueError(f"sampling: guidance scale {self.guidance_scale} of a prior, expected a finite number")


@dataclass(frozen=True)
class PriorPreset:
    """All that a size of prior is made of, one section of the TOML file each.

    Of `training`, `condition_dropout` drops the text; `standardise` scales image vectors per dimension (Karlo) instead
    of all by the square root of their dimension (LAION).
    """

    network: PriorNetwork
    training: TrainingConfig
    sampling: PriorSampling

    def __post_init__(self) -> None:
        if self.training.weighting != "uniform":
            raise ValueError(f"training: weighting {self.training.weighting!r} is not for priors; choose uniform")
        if self.training.activation_checkpointing:
            raise ValueError("training: activation_checkpointing is not for priors, which are small; leave it out")


_SECTIONS: Final[dict[str, type]] = {"network": PriorNetwork, "training": TrainingConfig, "sampling": PriorSampling}


def prior_preset_names() -> list[str]:
    """Names of the priors' presets that ship."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_prior_preset(name: str) -> PriorPreset:
    """Read a prior's preset by name, or from a TOML file by path.

    Raises:
        ValueError: naming the nearest preset, or the unknown or missing key.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        near = difflib.get_close_matches(name, prior_preset_names(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        known = ", ".join(prior_preset_names())
        raise ValueError(f"preset {name!r} of a prior does not exist{hint} presets: {known}, or a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    if unknown := set(table) - set(_SECTIONS):
        raise ValueError(f"{path}: unknown section {', '.join(sorted(unknown))}; known: {', '.join(_SECTIONS)}")
    parts: dict[str, Any] = {}
    for section, kind in _SECTIONS.items():
        if not isinstance(values := table.get(section, {}), dict):
            raise ValueError(f"{path}: {section} = {values!r}: expected a section [{section}]")
        try:
            check_types(kind, values)
            parts[section] = kind(**values)
        except TypeError as error:
            raise ValueError(f"{path}: [{section}] {str(error).split('__init__() ')[-1]}") from error
        except ValueError as error:
            raise ValueError(f"{path}: [{section}] {error}") from error
    try:
        return PriorPreset(**parts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
