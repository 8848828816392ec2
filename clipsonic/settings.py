"""What a model folder says about itself beside its weights: one frozen record, kept in `model_index.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from clipsonic.diffusion import Diffusion
from clipsonic.mel import MelConfig


@dataclass(frozen=True)
class Conditioning:
    """How a CLIP vector becomes what the network sees: (vector - mean) * scale.

    `mean` and `scale` come from training image embeddings and are the same for every route, so the network is never
    told which modality asked. `image_mean` and `text_mean`, of image-caption pairs, serve the mean-shift route alone.
    """

    dim: int
    scale: float
    mean: tuple[float, ...] = ()
    image_mean: tuple[float, ...] = ()
    text_mean: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.dim < 1 or not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"conditioning: dim {self.dim} and scale {self.scale}, expected numbers above 0")
        for name in ("mean", "image_mean", "text_mean"):
            mean = getattr(self, name)
            if not isinstance(mean, tuple) or len(mean) not in (0, self.dim) or not all(map(_is_finite, mean)):
                raise ValueError(f"conditioning: {name} must be {self.dim} finite numbers, or none")
        if bool(self.image_mean) != bool(self.text_mean):
            raise ValueError("conditioning: image_mean and text_mean go together; one is missing")


@dataclass(frozen=True)
class Settings:
    """Everything that turns the weights of a model folder into sounds. `clip` is None where vectors are handed in.

    provenance: what the model was trained by and on, as texts; empty where that is not known.

    clip_sha256: `FrozenClip.digest` of the CLIP whose vectors the network was trained on; None where it is not known.
    space: of vectors that were handed in, as their file names it; None, and then not in the folder, where it does not.
    vocoder: a name in `clipsonic.vocoders.VOCODERS`.
    """

    mel: MelConfig
    conditioning: Conditioning
    clip: str | None
    clip_sha256: str | None = None
    diffusion: Diffusion = field(default_factory=Diffusion)
    vocoder: str = "griffin-lim"
    guidance_scale: float = 2.0
    steps: int = 20
    prior_guidance_scale: float = 2.0
    prior_steps: int = 25
    provenance: dict[str, str] = field(default_factory=dict)
    space: str | None = None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.guidance_scale, self.prior_guidance_scale))):
            raise ValueError("model settings: guidance_scale and prior_guidance_scale must be finite")
        if min(self.steps, self.prior_steps) < 1:
            raise ValueError(f"model settings: steps {self.steps}, prior_steps {self.prior_steps}; expected at least 1")
        for name in ("clip", "clip_sha256", "space"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"model settings: {name} must be a text or null, found {getattr(self, name)!r}")
        known = self.provenance
        if not isinstance(known, dict) or not all(isinstance(each, str) for pair in known.items() for each in pair):
            raise ValueError(f"model settings: provenance must be a table of texts, found {known!r}")

    def as_dict(self) -> dict[str, object]:
        conditioning = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self.conditioning).items()}
        values = {**asdict(self), "mel": self.mel.as_dict(), "conditioning": conditioning}
        return {key: value for key, value in values.items() if key != "space" or value is not None}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> Settings:
        """Read what `as_dict` wrote.

        Raises:
            ValueError: naming a key that is missing or unknown, or whose value cannot be.
        """
        _check_keys("model settings", {"space": None, **values}, cls)
        tables: dict[str, dict[str, Any]] = {}
        for key, kind in (("mel", MelConfig), ("conditioning", Conditioning), ("diffusion", Diffusion)):
            table = values[key]
            if not isinstance(table, dict):
                raise ValueError(f"model settings: {key} must be a table, found {table!r}")
            _check_keys(f"model settings, {key}", table, kind)
            tables[key] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        parts: dict[str, Any] = {
            "mel": MelConfig(**tables["mel"]),
            "conditioning": Conditioning(**tables["conditioning"]),
            "diffusion": Diffusion(**tables["diffusion"]),
        }
        return cls(**{**values, **parts})


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_KINDS: Final[dict[str, tuple[type | tuple[type, ...], str]]] = {
    "int": (int, "a number"),
    "float": ((int, float), "a number"),
    "str": (str, "a text"),
}


def _check_keys(what: str, values: Mapping[str, object], kind: type) -> None:
    known, found = {each.name: str(each.type) for each in fields(kind)}, set(values)
    if found != set(known):
        raise ValueError(f"{what}: missing {sorted(set(known) - found)}, unknown {sorted(found - set(known))}")
    for name, value in values.items():
        expected, told = _KINDS.get(known[name], (object, ""))
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not object):
            raise ValueError(f"{what}: {name} must be {told}, found {value!r}")
