"""Presets: one TOML file per size of model, every key with its provenance in a comment behind it.

Provenance is `paper` (documented for CLIPSonic), `predecessor` (the first author's earlier code) or `choice` (ours),
and a reason where there is one: `hop = 256  # choice: BigVGAN's`.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clipsonic.diffusion import Diffusion
from clipsonic.mel import MelConfig
from clipsonic.network import NetworkConfig
from clipsonic.training.config import TrainingConfig, check_types
from clipsonic.vocoders import check_vocoder

PRESETS = Path(__file__).parent / "presets"
_KEY: Final = re.compile(r"(?P<key>\w+) *= *(?P<value>[^#]+?) *# *(?P<provenance>(paper|predecessor|choice)\b.*)")


@dataclass(frozen=True)
class SamplingConfig:
    """The defaults a model folder is saved with."""

    guidance_scale: float
    steps: int
    prior_guidance_scale: float
    prior_steps: int

    def __post_init__(self) -> None:
        if small := [name for name in ("steps", "prior_steps") if getattr(self, name) < 1]:
            raise ValueError(f"sampling: {', '.join(small)} must be at least 1")
        for name in ("guidance_scale", "prior_guidance_scale"):
            if not math.isfinite(value := getattr(self, name)):
                raise ValueError(f"sampling: {name} is {value}; expected a finite number")


@dataclass(frozen=True)
class Preset:
    """All that a size of model is made of, one section of the TOML file each, and two keys before the first section.

    clip: the CLIP to prepare with (`clipsonic.clip.FrozenClip`). vocoder: a name in `clipsonic.vocoders.VOCODERS`
    that takes the mel definition. name: as it was asked for; empty where it was not read from a file.
    """

    mel: MelConfig
    network: NetworkConfig
    diffusion: Diffusion
    training: TrainingConfig
    sampling: SamplingConfig
    clip: str = "micro"
    vocoder: str = "griffin-lim"
    name: str = ""

    def __post_init__(self) -> None:
        check_vocoder(self.vocoder, self.mel)


SECTIONS: Final[dict[str, type]] = {
    "mel": MelConfig,
    "network": NetworkConfig,
    "diffusion": Diffusion,
    "training": TrainingConfig,
    "sampling": SamplingConfig,
}


def preset_names() -> list[str]:
    """Names of the presets that ship."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset_file(name: str) -> Path:
    """The file of a preset: by name, or a TOML file by path.

    Raises:
        ValueError: naming the nearest preset.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        near = difflib.get_close_matches(name, preset_names(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise ValueError(f"preset {name!r} does not exist{hint} presets: {', '.join(preset_names())}, or a .toml file")
    return path


def load_preset(name: str) -> Preset:
    """Read a preset by name, or from a TOML file by path.

    Raises:
        ValueError: naming the nearest preset, or the section and key that is unknown, missing or of a value that it
            cannot have; or a vocoder that does not take the mel definition.
    """
    path = preset_file(name)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    names = {key: table.pop(key) for key in ("clip", "vocoder") if key in table}
    if wrong := [f"{key} = {value!r}" for key, value in names.items() if not isinstance(value, str)]:
        raise ValueError(f"{path}: {', '.join(wrong)}: expected a name in quotes")
    if unknown := [key for key, value in table.items() if key not in SECTIONS or not isinstance(value, dict)]:
        raise ValueError(f"{path}: unknown section {', '.join(sorted(unknown))}; known: {', '.join(SECTIONS)}")
    parts: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in table.get(section, {}).items()}
        try:
            check_types(kind, values)
            parts[section] = kind(**values)
        except TypeError as error:
            raise ValueError(f"{path}: [{section}] {str(error).split('__init__() ')[-1]}") from error
        except ValueError as error:
            raise ValueError(f"{path}: [{section}] {error}") from error
    try:
        return Preset(**parts, **names, name=name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def condition_dim(preset: Preset) -> int:
    """Dimension of the vectors of a preset's CLIP, by its name alone.

    Raises:
        ValueError: if it is neither the one that ships, a folder, nor an architecture of open_clip.
    """
    import open_clip

    from clipsonic.clip import MICRO_FOLDER

    folder = MICRO_FOLDER if preset.clip == "micro" else Path(preset.clip)
    if (config := folder / "open_clip_config.json").is_file():
        return int(json.loads(config.read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])
    if (known := open_clip.get_model_config(preset.clip.split("/")[0])) is None:
        raise ValueError(f"CLIP {preset.clip!r} of the preset is neither micro, a folder, nor known to open_clip")
    return int(known["embed_dim"])


@dataclass(frozen=True)
class Provenance:
    """A key of a preset as its file has it. `section` is empty for keys before the first section."""

    section: str
    key: str
    value: str
    provenance: str


def read_provenance(name: str) -> list[Provenance]:
    """The keys of a preset's file, in its order, with the comment behind each; those without one are left out."""
    section, found = "", []
    for line in preset_file(name).read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"\[(\w+)\]", line):
            section = heading[1]
        elif match := _KEY.match(line):
            found.append(Provenance(section, match["key"], match["value"], match["provenance"].strip()))
    return found
