"""A prior as a folder that names its CLIP space, and its place in a model folder.

diffusers' PriorTransformer (`config.json`, safetensors) and `prior.json`: the CLIP by name and digest, the mean image
and text vectors of the pairs it was trained on, and what it scored on pairs that were held out. Attached to a model
folder, it is one of the folder's routes: `prior_pd` (trained on image-caption pairs without sound) or `prior_sd` (on
the captions of the audio training set).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from filecmp import cmp
from pathlib import Path
from typing import Any, Final, Literal

from diffusers import PriorTransformer

from clipsonic.checkpoint import give_usual_mode, named_if_unwritten
from clipsonic.model_folder import INDEX, WEIGHTS, check_model_folder, check_part
from clipsonic.prior_preset import PriorSampling
from clipsonic.settings import Settings
from clipsonic.sounds import replace_text

Role = Literal["pd", "sd"]
ROLES: Final[tuple[Role, ...]] = ("pd", "sd")
RECORD: Final = "prior.json"
_FILES: Final = (RECORD, "config.json", WEIGHTS)


@dataclass(frozen=True)
class PriorRecord:
    """Whose vectors a prior turns into whose, and how well.

    clip, clip_sha256: name and digest of the CLIP; the digest is None where the vectors came without it.
    image_mean, text_mean: of its training pairs; they serve the mean-shift route.
    guidance_scale, steps, samples: how it is sampled unless somebody says otherwise, and was for its scores.
    scores: means over held-out pairs, see prior_training.
    """

    clip: str
    clip_sha256: str | None
    dim: int
    pairs: int
    guidance_scale: float
    steps: int
    samples: int
    image_mean: tuple[float, ...]
    text_mean: tuple[float, ...]
    scores: dict[str, Any]

    def __post_init__(self) -> None:
        if type(self.steps) is not int or type(self.samples) is not int:
            raise ValueError(f"steps {self.steps!r} and samples {self.samples!r} must be whole numbers")
        if not isinstance(self.guidance_scale, int | float) or isinstance(self.guidance_scale, bool):
            raise ValueError(f"guidance_scale must be a number, found {self.guidance_scale!r}")
        PriorSampling(self.guidance_scale, self.steps, self.samples)


def save_prior(prior: PriorTransformer, record: PriorRecord, folder: Path) -> None:
    """Write a prior folder, whole or not at all; one that is there is replaced.

    Raises:
        OSError: naming the folder, if it cannot be written (full disk).
    """
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with named_if_unwritten(folder):
            prior.save_pretrained(str(partial), safe_serialization=True)
            write_record(record, partial)
            give_usual_mode(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_record(record: PriorRecord, folder: Path) -> None:
    """Write what a prior says of itself beside its weights."""
    replace_text(folder / RECORD, json.dumps({"schema": 1, **asdict(record)}, indent=1) + "\n")


def find_record(folder: Path) -> PriorRecord | None:
    """The record of a prior in a model folder; None where it has none, as those that ship."""
    return read_record(folder) if (folder / RECORD).is_file() else None


def read_record(folder: Path) -> PriorRecord:
    """What a prior folder says of itself.

    Raises:
        ValueError: not a prior folder, or a record with a missing or unknown key.
    """
    if not (folder / RECORD).is_file():
        is_run = (folder / "prior" / RECORD).is_file()
        told = f"type {folder / 'prior'}" if is_run else "clipsonic train-prior writes such a folder"
        raise ValueError(f"{folder} holds no prior: {RECORD} is missing ({told})")
    try:
        values = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if values.pop("schema") != 1:
            raise ValueError("its schema is not 1")
        means = {key: tuple(values[key]) for key in ("image_mean", "text_mean")}
        return PriorRecord(**{**values, **means})
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / RECORD} cannot be used: {str(error).split('__init__() ')[-1]}") from error


def load_prior(folder: Path) -> PriorTransformer:
    """The prior of a folder, in evaluation mode.

    Raises:
        ValueError: a key or tensor that is missing, unknown or of another shape; diffusers would draw it at random.
    """
    check_part(folder, "prior_pd", PriorTransformer)
    try:
        prior = PriorTransformer.from_pretrained(str(folder), low_cpu_mem_usage=False)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} cannot be read as a prior: {error}") from error
    return prior.eval().requires_grad_(False)


def check_space(folder: Path, record: PriorRecord, clip: str | None, clip_sha256: str | None, dim: int) -> None:
    """Make sure that a prior lives in the space that a model was trained in.

    Args:
        clip, clip_sha256, dim: the model's; the digest is None where it is not known.

    Raises:
        ValueError: a model without CLIP, another dimension, or another CLIP.
    """
    told = f"prior {folder} was trained on vectors of CLIP {record.clip}"
    if clip is None:
        raise ValueError(f"{told}, but this model is asked by vectors of another encoder: it takes no prior")
    if record.dim != dim:
        raise ValueError(f"{told} with {record.dim} dimensions, the model takes {dim} of CLIP {clip}: another space")
    if None not in (record.clip_sha256, clip_sha256):
        if record.clip_sha256 != clip_sha256:
            raise ValueError(
                f"{told} (sha256 {str(record.clip_sha256)[:12]}), the model on those of CLIP {clip} "
                f"(sha256 {str(clip_sha256)[:12]}): another space"
            )
    elif record.clip != clip:
        raise ValueError(f"{told}, the model on those of CLIP {clip}: another space")


def attach_prior(model: Path, prior: Path, role: Role) -> None:
    """Put a prior into a model folder, so that `text+prior-ROLE` is one of its routes, and the pairs' means if it has
    none, so that `text+shift` is. The folder is usable at every moment: `model_index.json` is replaced last. Where this
    prior is already, byte for byte, nothing is done.

    Raises:
        ValueError: of another space, or the model folder has another such prior already.
        OSError: naming the folder, if it cannot be written (full disk).
    """
    what = check_model_folder(model)
    record = read_record(prior)
    load_prior(prior)
    index = json.loads((model / INDEX).read_text(encoding="utf-8"))
    name = f"prior_{role}"
    if index.get(name, [None])[0] is not None:
        if _same_bytes(prior, model / name):
            return
        raise ValueError(f"{model} has another {name} already: attach to a copy of the folder, or as the other")
    check_space(prior, record, what.clip, clip_digest(what), what.conditioning.dim)
    conditioning = index["settings"]["conditioning"]
    if not conditioning["image_mean"]:
        conditioning |= {"image_mean": list(record.image_mean), "text_mean": list(record.text_mean)}
    index[name] = ["diffusers", "PriorTransformer"]
    partial = model / f".{name}.part"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with named_if_unwritten(model / name):
            shutil.copytree(prior, partial)
        shutil.rmtree(model / name, ignore_errors=True)  # left by a command that was killed before it was done
        os.replace(partial, model / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    replace_text(model / INDEX, json.dumps(index, indent=2, sort_keys=True) + "\n")


def _same_bytes(one: Path, other: Path) -> bool:
    """Whether two prior folders hold the same record, configuration and weights."""
    return all((other / name).is_file() and cmp(one / name, other / name, shallow=False) for name in _FILES)


def clip_digest(what: Settings) -> str | None:
    """The digest of a model's CLIP: recorded, or else of the CLIP that its name leads to."""
    if what.clip_sha256 is not None or what.clip is None:
        return what.clip_sha256
    from clipsonic.clip import FrozenClip

    return FrozenClip(what.clip).digest
