"""CLIPSonic and its relatives as systems: one trained network asked by different routes, and the controls made with
it.

The model is the system's argument, or the run's: a model folder, or the name of one that ships with `clipsonic`.
This module is the only one that imports the model stack, and only when something is generated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import tree_digest
from clipsonic_benchmarks.registry import SYSTEMS
from clipsonic_benchmarks.split import Item, read_item_sound
from clipsonic_benchmarks.suite import EncoderSpec
from clipsonic_benchmarks.system import Context, cached_split
from clipsonic_benchmarks.work import settle_torch
from clipsonic_metrics.sound import Sound

if TYPE_CHECKING:
    from clipsonic.pipeline import CLIPSonicPipeline

Vectors = NDArray[np.float32]

ROUTES: Final = {
    "clipsonic-iq": "image",
    "clipsonic-pd": "text+prior-pd",
    "clipsonic-sd": "text+prior-sd",
    "clipsonic-zs": "text",
    "clipsonic-shift": "text+shift",
    "clip-tta": "text",
}
PRIORS: Final = {"text+prior-pd": "prior_pd", "text+prior-sd": "prior_sd"}
ROWS: Final = 10
"""Items that are generated together."""
OWN_MODELS: Final = {"clip-tta": "micro-clip-tta", "clap-tta": "micro-clap-tta"}
"""Systems whose network is not the run's CLIPSonic but one trained on captions."""


def find_model(name: str) -> Path:
    """A model folder, by path or by the name of a shipped one.

    Raises:
        BenchmarkError: neither.
    """
    from clipsonic.weights import model_folder

    if (Path(name) / "model_index.json").is_file():
        return Path(name)
    if Path(name).exists() or "/" in name:
        raise BenchmarkError(
            f"{name} holds no model: model_index.json is missing; expected what clipsonic train writes"
        )
    try:
        return model_folder(name)
    except ValueError as error:
        raise BenchmarkError(str(error)) from error


def model_identity(folder: Path) -> dict[str, str | int | float | None]:
    """Digests of a model folder and of the CLIP it is asked through, with its sampling settings. Loads no weights.

    Raises:
        BenchmarkError: a folder whose `model_index.json` cannot be used.
    """
    try:
        settings = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["settings"]
    except (KeyError, json.JSONDecodeError) as error:
        raise BenchmarkError(
            f"{folder / 'model_index.json'} is not a CLIPSonic's ({error}); make it with clipsonic train"
        ) from None
    identity: dict[str, str | int | float | None] = {"model": folder.name, "weights_sha256": tree_digest(folder)}
    identity |= {key: settings[key] for key in ("guidance_scale", "steps", "prior_guidance_scale", "prior_steps")}
    return identity | {"clip": settings["clip"], "clip_sha256": _clip_digest(settings["clip"])}


def prior_sampling(folder: Path, prior: str | None) -> dict[str, str | int | float | None]:
    """How a model folder's prior is sampled where its `prior.json` says so, which goes before the settings."""
    if prior is None or not (record := folder / prior / "prior.json").is_file():
        return {}
    told = json.loads(record.read_text(encoding="utf-8"))
    return {f"prior_{key}": told[key] for key in ("guidance_scale", "steps", "samples")}


def _clip_digest(name: str | None) -> str | None:
    """Digest of the CLIP's folder; None where there is none, or where its name alone says which it is."""
    import clipsonic

    if name is None:
        return None
    folder = Path(clipsonic.__file__).parent / "weights" / "clip" if name == "micro" else Path(name)
    return tree_digest(folder) if folder.is_dir() else None


@lru_cache(maxsize=4)
def pipeline(folder: Path) -> CLIPSonicPipeline:
    """A model folder in evaluation mode, loaded once per process."""
    settle_torch()
    _quiet_diffusers()
    from clipsonic.pipeline import load_model

    try:
        return load_model(folder)
    except (ValueError, OSError) as error:
        raise BenchmarkError(f"{folder} cannot be loaded as a model: {error}") from error


def _quiet_diffusers() -> None:
    """In a worker process, no loading bars and advice of diffusers between the lines of our own progress."""
    if parent_process() is None:
        return
    from diffusers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def frames_of(items: Sequence[Item]) -> list[Any]:
    """The items' frames as pictures, as CLIP takes them."""
    from PIL import Image

    return [Image.fromarray(item.frame) for item in items if item.frame is not None]


def captions_of(items: Sequence[Item]) -> list[str]:
    return [item.caption for item in items if item.caption is not None]


class _Model:
    """A model folder, and what it has in common whatever it is used for."""

    @staticmethod
    def check(name: str, argument: str | None, model: str) -> None:
        find_model(argument or OWN_MODELS.get(name, model))

    def __init__(self, name: str, argument: str | None, context: Context) -> None:
        self.name = name
        self.context = context
        self.folder = find_model(argument or OWN_MODELS.get(name, context.model))

    @property
    def pipe(self) -> CLIPSonicPipeline:
        return pipeline(self.folder)

    def identity(self) -> Mapping[str, str | int | float | None]:
        return model_identity(self.folder)

    def unanswered(self, items: Sequence[Item]) -> Mapping[str, str]:
        return {}

    def generate(self, items: Sequence[Item], seed: int) -> list[Sound]:
        """Sounds of any number of items, made in groups that always have `ROWS` items, the last one filled up.

        The arithmetic of an item is then the same whatever it is generated with. Without it, rounding differs in the
        sixth digit of the log-mel, and the vocoder's search for phases turns that into another waveform.
        """
        made: list[Sound] = []
        for start in range(0, len(items), ROWS):
            group = list(items[start : start + ROWS])
            filled = group + group[:1] * (ROWS - len(group))
            made += self.group(filled, seed)[: len(group)]
        return made

    def group(self, items: Sequence[Item], seed: int) -> list[Sound]:
        raise NotImplementedError

    def sounds(self, condition: Vectors | None, items: Sequence[Item], seed: int) -> list[Sound]:
        made = self.pipe.generate(condition, [item.id for item in items], seed=seed, batch_size=len(items))
        return [Sound.of(item.id, row, made.rate_hz) for item, row in zip(items, made.samples, strict=True)]


class Routed(_Model):
    """A CLIPSonic asked by one route."""

    def identity(self) -> Mapping[str, str | int | float | None]:
        route = ROUTES[self.name]
        return {"route": route, **super().identity(), **prior_sampling(self.folder, PRIORS.get(route))}

    def group(self, items: Sequence[Item], seed: int) -> list[Sound]:
        return self.sounds(route_condition(self.pipe, ROUTES[self.name], items, seed), items, seed)


def route_condition(pipe: CLIPSonicPipeline, route: str, items: Sequence[Item], seed: int) -> Vectors | None:
    """Conditions of items by a route, (items, dim) unit vectors."""
    ids = [item.id for item in items]
    if route == "image":
        return pipe.condition(route, ids, image=pipe.encode_image(frames_of(items)), seed=seed)
    return pipe.condition(route, ids, text=pipe.encode_text(captions_of(items)), seed=seed)


class ClapConditioned(_Model):
    """CLAP-TTA: its conditions are text vectors of the CLAP that also scores it, handed in."""

    def identity(self) -> Mapping[str, str | int | float | None]:
        return {"route": "clap-text", "clap": self.context.encoders.sound_text, **super().identity()}

    def group(self, items: Sequence[Item], seed: int) -> list[Sound]:
        return self.sounds(_clap(self.context.encoders).embed_texts(captions_of(items)), items, seed)


@lru_cache(maxsize=1)
def _clap(encoders: EncoderSpec) -> Any:
    from clipsonic_metrics import load_embedder

    settle_torch()
    return load_embedder(encoders.sound_text)


class Unconditional(_Model):
    """The network asked nothing: what it makes on its own."""

    def identity(self) -> Mapping[str, str | int | float | None]:
        return {"route": "unconditional", **super().identity()}

    def group(self, items: Sequence[Item], seed: int) -> list[Sound]:
        return self.sounds(None, items, seed)


class Resynthesis(_Model):
    """The item's own sound through the model's log-mel and vocoder: the best any system of this model can do.

    A sound longer than the model makes is cut to its first seconds; a shorter one is repeated to fill them.
    """

    def identity(self) -> Mapping[str, str | int | float | None]:
        return {
            "route": "log-mel and vocoder",
            **super().identity(),
            "sounds_sha256": cached_split(self.context.items).digest,
        }

    def group(self, items: Sequence[Item], seed: int) -> list[Sound]:
        mel = self.pipe.what.mel
        own = np.stack(
            [np.resize(read_item_sound(item).resampled(mel.rate_hz)[: mel.samples], mel.samples) for item in items]
        )
        made = self.pipe.vocode(self.pipe.log_mel(own))
        return [Sound.of(item.id, row, mel.rate_hz) for item, row in zip(items, made, strict=True)]


class Nearest(_Model):
    """Retrieval: the sound of the reference-set item whose frame is nearest to the query's in the model's CLIP."""

    def __init__(self, name: str, argument: str | None, context: Context) -> None:
        super().__init__(name, argument, context)
        if context.reference is None:
            raise BenchmarkError(
                "system 'nearest' needs a reference set to play from, which this suite has not; leave it out"
            )
        self._bank = cached_split(context.reference)

    def identity(self) -> Mapping[str, str | int | float | None]:
        return {"route": "retrieval", **super().identity(), "bank_sha256": self._bank.digest}

    @cached_property
    def _bank_vectors(self) -> Vectors:
        return self.pipe.encode_image(frames_of(self._bank.items))

    def group(self, items: Sequence[Item], seed: int) -> list[Sound]:
        nearest = (self.pipe.encode_image(frames_of(items)) @ self._bank_vectors.T).argmax(axis=1)
        sounds = [read_item_sound(self._bank.items[index]) for index in nearest]
        return [Sound(item.id, sound.channels, sound.rate_hz) for item, sound in zip(items, sounds, strict=True)]


def gap_conditions(model: str, items: Path, seed: int) -> tuple[Vectors, dict[str, Vectors]]:
    """Image embeddings of the items that have both frame and caption, and their conditions by every route.

    A route that the model folder has no prior for is left out.
    """
    pipe = pipeline(find_model(model))
    chosen = [item for item in cached_split(items).items if item.has("frame") and item.has("caption")]
    conditions: dict[str, Vectors] = {}
    for name, route in ROUTES.items():
        if SYSTEMS[name].family != "route" or (route in PRIORS and getattr(pipe, PRIORS[route]) is None):
            continue
        found = route_condition(pipe, route, chosen, seed)
        assert found is not None
        conditions[name] = found
    return pipe.encode_image(frames_of(chosen)), conditions
