"""Weights of others, fetched once from their hub into its cache, where everything else finds them without a network.

An interrupted fetch goes on with the same command. What is whole is not fetched again. What is fetched is the branch
that is found later, the repository's own: a name says nothing of a revision, so there is none to ask for.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Published:
    """A repository of the hub, the files of it that are needed, and what they are for."""

    repository: str
    files: tuple[str, ...]
    purpose: str


_BIGVGAN_FILES: Final = ("config.json", "bigvgan_generator.pt")
PUBLISHED: Final[Mapping[str, Published]] = MappingProxyType(
    {
        "bigvgan-v2-24khz-100band": Published(
            "nvidia/bigvgan_v2_24khz_100band_256x", _BIGVGAN_FILES, "vocoder of the preset base, 112 M parameters"
        ),
        "bigvgan-v2-22khz-80band": Published(
            "nvidia/bigvgan_v2_22khz_80band_256x", _BIGVGAN_FILES, "vocoder of the preset small, 112 M parameters"
        ),
        "karlo": Published(
            "kakaobrain/karlo-v1-alpha",
            ("prior/*", "prior_scheduler/*", "text_encoder/*", "tokenizer/*"),
            "diffusion prior over CLIP ViT-L/14, 1 B parameters, with its text encoder",
        ),
    }
)


def cached_folder(name: str) -> Path | None:
    """Where the files of a published name lie in the hub's cache; None if they, or some of them, do not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    published = PUBLISHED[name]
    try:
        folder = snapshot_download(published.repository, allow_patterns=list(published.files), local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    whole = all(any(Path(folder).glob(pattern)) for pattern in published.files)
    return Path(folder) if whole else None


CLIPS: Final[Mapping[str, str]] = MappingProxyType(
    {"ViT-L-14/openai": "CLIP of the presets small and base, and of karlo, 428 M parameters"}
)
"""The CLIPs that presets need, of all that `fetch` can fetch, and what for."""


def cached_clip(name: str) -> Path | None:
    """Where open_clip would find the weights of `ARCHITECTURE/TAG` on this machine; None if they are not here."""
    import open_clip
    from huggingface_hub import try_to_load_from_cache

    config = open_clip.get_pretrained_cfg(*name.split("/"))
    for file in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        if isinstance(found := try_to_load_from_cache(config["hf_hub"].rstrip("/"), file), str):
            return Path(found)
    return None


def fetch(name: str) -> Path:
    """Fetch the files of a name of `PUBLISHED`, or of an open_clip model `ARCHITECTURE/TAG`; return where they lie.

    Raises:
        ValueError: an unknown name, or a hub that cannot be reached.
    """
    if name not in PUBLISHED and "/" not in name:
        near = difflib.get_close_matches(name, PUBLISHED, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"no weights {name!r} are known; {hint}Known: {', '.join(PUBLISHED)}, "
            "and ARCHITECTURE/TAG of open_clip, for example ViT-L-14/openai"
        )
    with _one_line(name):
        return _fetch_clip(name) if name not in PUBLISHED else _fetch_published(PUBLISHED[name])


def fetch_model(name: str) -> Path:
    """Fetch the model folder that a hub repository `owner/name` holds; return where it lies.

    Raises:
        ValueError: no such repository, or a hub that cannot be reached.
    """
    if name.count("/") != 1:
        raise ValueError(f"{name!r} is no hub repository: expected owner/name")
    from huggingface_hub import snapshot_download

    with _one_line(name):
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the hub's errors have no common class below it
        if not isinstance(error, OSError) and not type(error).__module__.startswith(("huggingface_hub", "httpx")):
            raise
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{name} cannot be fetched now: {told}; what has arrived stays, and the same command goes on"
        ) from error


def _fetch_published(published: Published) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(published.repository, allow_patterns=list(published.files)))


def _fetch_clip(name: str) -> Path:
    import open_clip

    architecture, _, tag = name.partition("/")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        known = f"it has {', '.join(tags)}" if tags else "no such architecture, see open_clip.list_models()"
        raise ValueError(f"open_clip has no weights {name!r}: {known}")
    return Path(os.fspath(open_clip.download_pretrained(open_clip.get_pretrained_cfg(architecture, tag))))
