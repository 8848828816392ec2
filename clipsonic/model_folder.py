"""The model folder: everything that turns a condition into sounds, self-sufficient, read strictly and written whole.

`model_index.json` names the parts and holds `clipsonic.settings.Settings`; each part has a folder with diffusers' own
configuration and, where it has weights, safetensors. diffusers fills a missing key with a default, ignores an unknown
one and draws missing weights at random, all with a log line at most; here each is an error before anything is built.
"""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import diffusers
import torch
from safetensors import SafetensorError, safe_open

from clipsonic.checkpoint import give_usual_mode
from clipsonic.network import POSITIONS
from clipsonic.settings import Settings

INDEX: Final = "model_index.json"
WEIGHTS: Final = "diffusion_pytorch_model.safetensors"
CLASS: Final = "CLIPSonicPipeline"
_PARTS: Final = ("unet", "scheduler", "prior_pd", "prior_sd")
_OPTIONAL: Final = ("prior_pd", "prior_sd")
_CLASSES: Final[Mapping[str, str]] = MappingProxyType(
    {"unet": "UNet2DConditionModel", "prior_pd": "PriorTransformer", "prior_sd": "PriorTransformer"}
)
_NEEDED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {  # the keys whose defaults are never meant; others may be added by a later diffusers
        "unet": frozenset(
            [
                *("attention_head_dim", "block_out_channels", "class_embed_type", "down_block_types", "in_channels"),
                *("layers_per_block", "mid_block_type", "norm_num_groups", "out_channels", "up_block_types"),
                *("projection_class_embeddings_input_dim", "resnet_time_scale_shift", "sample_size"),
            ]
        ),
        "prior_pd": frozenset(["attention_head_dim", "embedding_dim", "num_attention_heads", "num_layers"]),
        "prior_sd": frozenset(["attention_head_dim", "embedding_dim", "num_attention_heads", "num_layers"]),
        "scheduler": frozenset(["beta_schedule", "num_train_timesteps", "prediction_type"]),
    }
)


def find_model_folder(source: str | Path, revision: str | None = None) -> Path:
    """A model folder as it is, or that of a hub repository `owner/name` in the hub's cache. Fetches nothing.

    Raises:
        ValueError: if there is no such folder and the cache has none.
    """
    if Path(source).is_dir():
        return Path(source)
    if str(source).count("/") != 1 or str(source).startswith((".", "/")):
        raise ValueError(f"{source} is no folder, and no hub id either (owner/name)")
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors"]
    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=wanted, local_files_only=True))
    except Exception as error:  # the hub's errors have no common class below it
        if not type(error).__module__.startswith(("huggingface_hub", "httpx")) and not isinstance(error, OSError):
            raise
        which, fetching = "", f"clipsonic weights fetch --model {source}"
        if revision is not None:
            which, fetching = f" at revision {revision}", f"hf download {source} --revision {revision}"
        raise ValueError(
            f"{source} is no folder here, and as a repository of the hub it is not in the cache{which}; "
            f"to fetch it, type: {fetching}"
        ) from error


def check_model_folder(folder: Path) -> Settings:
    """Make sure that a folder is whole, and return its settings; reads no weights, only their names and shapes.

    Raises:
        ValueError: one line, naming what is missing, unknown or of another shape.
    """
    if not (folder / INDEX).is_file():
        raise ValueError(f"{folder} holds no model: {INDEX} is missing (clipsonic train writes such a folder)")
    index = _read_json(folder / INDEX)
    if index.get("_class_name") != CLASS:
        raise ValueError(f"{folder / INDEX}: _class_name is {index.get('_class_name')!r}, expected {CLASS!r}")
    found = {key for key in index if not key.startswith("_")}
    _compare(f"{folder / INDEX}", found, {*_PARTS, "settings"} - set(_OPTIONAL), {*_PARTS, "settings"})
    if not isinstance(index["settings"], dict):
        raise ValueError(f"{folder / INDEX}: settings must be a table, found {index['settings']!r}")
    for part in _PARTS:
        named = index.get(part) or [None, None]
        if not isinstance(named, list) or len(named) != 2:
            raise ValueError(f"{folder / INDEX}: {part} must be a library and a class, found {named!r}")
        library, name = named
        if name is None and part in _OPTIONAL:
            continue
        kind = getattr(diffusers, str(name), None)
        if library != "diffusers" or kind is None or name != _CLASSES.get(part, name):
            raise ValueError(
                f"{folder / INDEX}: {part} is {library}.{name}, expected {_CLASSES.get(part, 'a scheduler')}"
            )
        check_part(folder / part, part, kind)
    try:
        settings = Settings.from_dict(index["settings"])
    except ValueError as error:
        raise ValueError(f"{folder / INDEX}: {error}") from error
    _check_shapes(folder, settings, [part for part in _CLASSES if (index.get(part) or [None])[0] is not None])
    return settings


def _check_shapes(folder: Path, settings: Settings, parts: Collection[str]) -> None:
    """Refuse parts that were made for another mel definition or condition than the settings say."""
    mel, dim = settings.mel, settings.conditioning.dim
    wanted: dict[str, dict[str, object]] = {
        "unet": {
            "sample_size": list(mel.grid),
            "in_channels": mel.channels + POSITIONS,
            "out_channels": mel.channels,
            "projection_class_embeddings_input_dim": dim,
        },
        "prior_pd": {"embedding_dim": dim},
        "prior_sd": {"embedding_dim": dim},
    }
    for part in parts:
        config = _read_json(file := folder / part / "config.json")
        for key, value in wanted[part].items():
            if config[key] != value:
                raise ValueError(f"{file}: {key} is {config[key]!r}, the settings in {INDEX} ask for {value!r}")


def check_part(folder: Path, part: str, kind: Any) -> None:
    """Make sure that a folder is a whole part of a model: every key and tensor, none besides, and the shapes.

    Args:
        part: `unet`, `scheduler`, `prior_pd` or `prior_sd`. kind: its class of diffusers.

    Raises:
        ValueError: one line.
    """
    file = folder / ("scheduler_config.json" if part == "scheduler" else "config.json")
    if not file.is_file():
        raise ValueError(f"{file} is missing")
    read = _read_json(file)
    if (name := read.get("_class_name", kind.__name__)) != kind.__name__:
        raise ValueError(f"{file}: _class_name is {name!r}, expected {kind.__name__!r}")
    config = {key: value for key, value in read.items() if not key.startswith("_")}
    known = set(inspect.signature(kind.__init__).parameters)
    for other in (
        kind._get_compatibles() if part == "scheduler" else []
    ):  # a scheduler keeps the keys of the one it was made from
        known |= set(inspect.signature(other.__init__).parameters)
    _compare(str(file), config, _NEEDED[part], known)
    if part != "scheduler":
        _check_weights(folder / WEIGHTS, kind, config)


def _check_weights(file: Path, kind: Any, config: dict[str, Any]) -> None:
    if not file.is_file():
        raise ValueError(f"{file} is missing")
    told = file.with_name("config.json")
    groups, channels = config.get("norm_num_groups"), config.get("block_out_channels")
    if isinstance(groups, int) and isinstance(channels, list) and (groups < 1 or any(c % groups for c in channels)):
        raise ValueError(f"{told}: norm_num_groups is {groups}, which does not divide block_out_channels {channels}")
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in kind.from_config(config).state_dict().items()}
    except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, NotImplementedError) as error:
        raise ValueError(f"{told}: no {kind.__name__} can be built of these values: {first_line(error)}") from error
    try:
        with safe_open(file, "pt") as content:
            found = {name: tuple(content.get_slice(name).get_shape()) for name in content.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged: {first_line(error)}") from error
    _compare(str(file), found, wanted, wanted)
    for name, shape in found.items():
        if shape != wanted[name]:
            raise ValueError(f"{file}: {name} has shape {shape}, its config says {wanted[name]}")


def _compare(what: str, found: Collection[str], needed: Collection[str], known: Collection[str]) -> None:
    missing, unknown = sorted(set(needed) - set(found)), sorted(set(found) - set(known))
    if missing or unknown:
        told = [f"{word} {', '.join(keys[:4])}{' …' * (len(keys) > 4)}" for word, keys in
                (("missing", missing), ("unknown", unknown)) if keys]  # fmt: skip
        raise ValueError(f"{what}: {'; '.join(told)}")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a table")
    return content


def first_line(error: Exception) -> str:
    """What an exception of another library says, cut to one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def replace_folder(made: Path, folder: Path) -> None:
    """Put a finished folder in its place; in one that is there, file by file, whatever else it holds stays.

    The index goes first and comes back last: a folder that has one is whole.
    """
    give_usual_mode(made)
    if not folder.exists():
        os.replace(made, folder)
        return
    (folder / INDEX).unlink(missing_ok=True)
    for file in sorted((each.relative_to(made) for each in made.rglob("*") if each.is_file()), key=_index_last):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / file, folder / file)


def _index_last(file: Path) -> tuple[bool, Path]:
    return file.name == INDEX, file


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A folder to make `folder` in, on the same file system; what is left of it is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as partial:
        (made := Path(partial) / folder.name).mkdir()
        yield made
