"""What a model folder says about itself beside its weights: one frozen record, kept in `model_index.json`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from typing import Any

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


@dataclass(frozen=True)
class Settings:
    """Everything that turns the weights of a model folder into sounds. `clip` is None where vectors are handed in."""

    mel: MelConfig
    conditioning: Conditioning
    clip: str | None
    guidance_scale: float = 2.0
    steps: int = 20
    prior_guidance_scale: float = 2.0
    prior_steps: int = 25
    provenance: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        conditioning = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self.conditioning).items()}
        return {**asdict(self), "mel": self.mel.as_dict(), "conditioning": conditioning}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> Settings:
        """Read what `as_dict` wrote.

        Raises:
            ValueError: naming a key that is missing or unknown.
        """
        _check_keys("model settings", values, cls)
        conditioning, mel = values["conditioning"], values["mel"]
        if not isinstance(conditioning, dict) or not isinstance(mel, dict):
            raise ValueError("model settings: conditioning and mel must be tables")
        _check_keys("model settings, conditioning", conditioning, Conditioning)
        vectors: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in conditioning.items()}
        parts: dict[str, Any] = {"mel": MelConfig.from_dict(mel), "conditioning": Conditioning(**vectors)}
        return cls(**{**values, **parts})


def _check_keys(what: str, values: Collection[str], kind: type[Settings] | type[Conditioning]) -> None:
    known, found = {each.name for each in fields(kind)}, set(values)
    if found != known:
        raise ValueError(f"{what}: missing {sorted(known - found)}, unknown {sorted(found - known)}")
