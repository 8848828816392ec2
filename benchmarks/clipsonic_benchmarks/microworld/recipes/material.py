"""What the recipes train on: the captioned frames, and the decoded sounds of a corpus, each made once and kept."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from clipsonic.video import read_video
from clipsonic_benchmarks.microworld.corpus import FRAMES_PER_SECOND, world_item, write_corpus
from clipsonic_benchmarks.microworld.factors import LEVELS, generator
from clipsonic_benchmarks.microworld.frames import render
from clipsonic_benchmarks.microworld.sounds import RATE_HZ, SAMPLES


@dataclass(frozen=True)
class Captioned:
    """Image-caption pairs. frames: uint8 (items, 64, 64, 3); factors: level indices (items, 5)."""

    frames: NDArray[np.uint8]
    captions: list[str]
    factors: NDArray[np.int64]


@dataclass(frozen=True)
class Heard:
    """The sounds of a corpus. samples: float32 (items, SAMPLES) as decoded from the videos."""

    ids: list[str]
    samples: NDArray[np.float16]
    captions: list[str]
    factors: NDArray[np.int64]

    def batch(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(self.samples[rows].astype(np.float32))

    def part(self, start: int, end: int) -> Heard:
        """Items `start` to `end`."""
        rows = slice(start, end)
        return Heard(self.ids[rows], self.samples[rows], self.captions[rows], self.factors[rows])

    def with_samples(self, samples: NDArray[np.float32]) -> Heard:
        """The same items sounding otherwise."""
        return replace(self, samples=samples.astype(np.float16))


def _captioned_item(seed: int, index: int) -> tuple[NDArray[np.uint8], str, tuple[int, ...]]:
    item = world_item(seed, "captioned", index)
    picture = render(item.factors, generator(seed, "captioned", index, "frames"), frames=1)[0]
    return picture, item.caption, item.factors.indices()


def captioned(work: Path, seed: int, n: int, workers: int) -> Captioned:
    """Draw the captioned split, or read it back from `work`."""
    tensors, texts = work / f"captioned-{seed}-{n}.safetensors", work / f"captioned-{seed}-{n}.json"
    if not (tensors.exists() and texts.exists()):
        work.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            rows = list(pool.map(partial(_captioned_item, seed), range(n), chunksize=256))
        found = {
            "frames": torch.from_numpy(np.stack([row[0] for row in rows])),
            "factors": torch.tensor([row[2] for row in rows], dtype=torch.int64),
        }
        _replace(
            texts,
            lambda path: path.write_text(
                json.dumps({"schema": 1, "captions": [row[1] for row in rows]}), encoding="utf-8"
            ),
        )
        _replace(tensors, lambda path: save_file(found, path))
    loaded = load_file(tensors)
    return Captioned(
        loaded["frames"].numpy(), json.loads(texts.read_text(encoding="utf-8"))["captions"], loaded["factors"].numpy()
    )


def _sound_of(path: Path) -> NDArray[np.float16]:
    samples = read_video(path, RATE_HZ, FRAMES_PER_SECOND).samples[:SAMPLES]
    return np.pad(samples, (0, SAMPLES - len(samples))).astype(np.float16)


def corpus_folder(work: Path, split: str, seed: int, n: int, workers: int) -> Path:
    """Write a corpus below `work/corpora` if it is not there."""
    folder = work / "corpora" / split
    if not (folder / "factors.csv").exists():
        write_corpus(folder, split, n, seed, workers)
    return folder


def heard(work: Path, split: str, seed: int, n: int, workers: int) -> Heard:
    """A corpus as sounds, decoded once."""
    folder = corpus_folder(work, split, seed, n, workers)
    captions = _column(folder / "captions.csv", "caption")
    columns = [
        [levels.index(type(levels[0])(value)) for value in _column(folder / "factors.csv", name)]
        for name, levels in LEVELS.items()
    ]
    factors = np.array(columns).T
    ids = _column(folder / "captions.csv", "id")
    cache = work / f"sounds-{split}-{seed}-{n}.safetensors"
    if not cache.exists():
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            paths = [folder / "videos" / f"{name}.mp4" for name in ids]
            samples = torch.from_numpy(np.stack(list(pool.map(_sound_of, paths, chunksize=64))))
        _replace(cache, lambda path: save_file({"samples": samples}, path))
    return Heard(ids, load_file(cache)["samples"].numpy(), captions, factors)


def _column(path: Path, name: str) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row[name] for row in csv.DictReader(file)]


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    partial_path = path.with_name(f".{path.name}.part")
    write(partial_path)
    os.replace(partial_path, path)
