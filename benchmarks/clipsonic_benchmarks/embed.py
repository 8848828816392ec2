"""Embed the sounds of a run once, with every encoder that its metrics need, and keep the result.

The cache is content-addressed: digests of the sounds x protocols of the encoders. It is never stale and safe to
delete. Sounds are read from the files of the run, never from memory, so that a folder of results gives the same
numbers to whoever scores it again. Runs in worker processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import digest, file_digest, write_bytes
from clipsonic_benchmarks.suite import EncoderSpec
from clipsonic_benchmarks.system import cached_split
from clipsonic_benchmarks.work import settle_torch

Vectors = NDArray[np.float32]
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "fad": ("sound_text",),
    "kad": ("sound_text",),
    "clap-score": ("sound_text",),
    "retrieval": ("sound_text",),
    "clip-score": ("sound_image", "image"),
    "factor-accuracy": ("probe",),
}
"""Which encoders a metric needs: fields of `EncoderSpec`."""
_BATCH: Final = 32


@dataclass(frozen=True, eq=False)
class Heard:
    """What the encoders make of sounds, in the order of the sounds.

    clap, wav2clip: one (windows, dim) array of unit vectors per sound. factors: logits (sounds, levels) by factor,
    averaged over a sound's windows. Empty where no metric asked for it.
    """

    clap: list[Vectors]
    wav2clip: list[Vectors]
    factors: dict[str, Vectors]


@dataclass(frozen=True, eq=False)
class Asked:
    """What the encoders make of queries: captions and frames, by item id, unit vectors (dim,)."""

    captions: dict[str, Vectors]
    frames: dict[str, Vectors]


@dataclass(frozen=True)
class SoundFile:
    """A sound of a run: its path, and the digest it had when it was written."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class EmbedTask:
    """Embed one set of sounds; `label` says whose."""

    label: str
    sounds: tuple[SoundFile, ...]
    encoders: EncoderSpec
    metrics: tuple[str, ...]
    cache: Path


def needed(metrics: Sequence[str]) -> set[str]:
    return {need for metric in metrics for need in NEEDS[metric]}


@lru_cache(maxsize=8)
def encoder(name: str) -> Any:
    """An embedder, loaded once per process."""
    from clipsonic_metrics import load_embedder

    settle_torch()
    return load_embedder(name)


def protocols(encoders: EncoderSpec, metrics: Sequence[str]) -> dict[str, str]:
    """Protocol ids of the encoders that the metrics need, by their part in the suite."""
    return {part: encoder(getattr(encoders, part)).protocol for part in sorted(needed(metrics))}


def embed(task: EmbedTask) -> tuple[Heard, dict[str, str]]:
    """Embed a task's sounds, or read them from the cache; with the protocols they were embedded by.

    Raises:
        BenchmarkError: a sound that is not what it was when it was made.
    """
    how = protocols(task.encoders, task.metrics)
    path = task.cache / f"{digest([how, [sound.sha256 for sound in task.sounds]])}.safetensors"
    kept = _read(path)
    if kept is not None:
        return kept, how
    heard = _embed(task)
    write_bytes(path, _pack(heard))
    return heard, how


def _embed(task: EmbedTask) -> Heard:
    from clipsonic_metrics.sound import read_sound

    parts = needed(task.metrics)
    heard = Heard([], [], {})
    logits: dict[str, list[Vectors]] = {}
    for start in range(0, len(task.sounds), _BATCH):
        batch = task.sounds[start : start + _BATCH]
        for file in batch:
            if file_digest(file.path) != file.sha256:
                raise BenchmarkError(f"{file.path} has changed since it was made; delete it and repeat the command")
        sounds = [read_sound(file.path) for file in batch]
        if "sound_text" in parts:
            heard.clap.extend(encoder(task.encoders.sound_text).embed_sounds(sounds))
        if "sound_image" in parts:
            heard.wav2clip.extend(encoder(task.encoders.sound_image).embed_sounds(sounds))
        if "probe" in parts:
            probe = encoder(task.encoders.probe)
            side_by_side = np.stack([windows.mean(axis=0) for windows in probe.embed_sounds(sounds)])
            ends = np.cumsum([len(levels) for levels in probe.factors.values()])[:-1]
            for factor, rows in zip(probe.factors, np.split(side_by_side, ends, axis=1), strict=True):
                logits.setdefault(factor, []).append(rows)
    heard.factors.update({factor: np.concatenate(rows) for factor, rows in logits.items()})
    return heard


@dataclass(frozen=True)
class AskTask:
    """Embed the captions and frames of a prepared split."""

    items: Path
    encoders: EncoderSpec
    metrics: tuple[str, ...]


def embed_queries(task: AskTask) -> Asked:
    """Captions in the space of the sound-text encoder, frames in that of the sound-image encoder."""
    items, parts = cached_split(task.items).items, needed(task.metrics)
    asked = Asked({}, {})
    captioned = {item.id: item.caption for item in items if item.caption is not None}
    if captioned and "sound_text" in parts:
        rows = encoder(task.encoders.sound_text).embed_texts(list(captioned.values()))
        asked.captions.update(zip(captioned, rows, strict=True))
    framed = {item.id: item.frame for item in items if item.frame is not None}
    if framed and "image" in parts:
        rows = encoder(task.encoders.image).embed_images(list(framed.values()))
        asked.frames.update(zip(framed, rows, strict=True))
    return asked


def _pack(heard: Heard) -> bytes:
    tensors: dict[str, NDArray[Any]] = {f"factor/{name}": rows for name, rows in heard.factors.items()}
    for name, parts in (("clap", heard.clap), ("wav2clip", heard.wav2clip)):
        if parts:
            tensors |= {name: np.concatenate(parts), f"{name}/windows": np.array([len(part) for part in parts])}
    return safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in tensors.items()})


def _read(path: Path) -> Heard | None:
    """A cache entry, or None where there is none; one that cannot be read is as good as none."""
    try:
        tensors: Mapping[str, NDArray[Any]] = safetensors.numpy.load_file(str(path))
    except (OSError, SafetensorError):
        return None

    def parts(name: str) -> list[Vectors]:
        return np.split(tensors[name], np.cumsum(tensors[f"{name}/windows"])[:-1]) if name in tensors else []

    factors = {name.removeprefix("factor/"): rows for name, rows in tensors.items() if name.startswith("factor/")}
    return Heard(parts("clap"), parts("wav2clip"), factors)
