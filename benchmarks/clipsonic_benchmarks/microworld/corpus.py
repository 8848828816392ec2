"""Write a split of the micro-world as files: one `.mp4` per item (H.264 + AAC), `captions.csv` and `factors.csv`.

The videos are ordinary files on purpose: what prepares VGGSound prepares them too. Items are addressed, so the same
(seed, split, n) gives the same pictures and samples whatever the number of workers; the bytes of the files also depend
on the encoder version that PyAV carries.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from clipsonic_benchmarks.microworld.captions import caption
from clipsonic_benchmarks.microworld.factors import LEVELS, Factors, draw_factors, generator, item_id
from clipsonic_benchmarks.microworld.frames import FRAME_SIZE, render
from clipsonic_benchmarks.microworld.sounds import RATE_HZ, synthesise

FRAMES_PER_SECOND: Final = 4
_AUDIO_BITRATE: Final = 96_000


@dataclass(frozen=True)
class WorldItem:
    """One item: its id, factors and caption. Frames and sound are made on demand."""

    id: str
    seed: int
    split: str
    index: int
    factors: Factors
    caption: str

    def frames(self) -> NDArray[np.uint8]:
        return render(self.factors, generator(self.seed, self.split, self.index, "frames"))

    def sound(self) -> NDArray[np.float32]:
        return synthesise(self.factors, generator(self.seed, self.split, self.index, "sound"))


def world_item(seed: int, split: str, index: int) -> WorldItem:
    factors = draw_factors(seed, split, index)
    text = caption(factors, generator(seed, split, index, "caption"))
    return WorldItem(item_id(split, index), seed, split, index, factors, text)


def write_video(path: Path, frames: NDArray[np.uint8], samples: NDArray[np.float32]) -> None:
    """Write frames (count, height, width, 3) and mono samples at `RATE_HZ` to an MP4, atomically."""
    partial_path = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with av.open(str(partial_path), "w", format="mp4") as container:
            video = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
            video.width, video.height, video.pix_fmt = FRAME_SIZE, FRAME_SIZE, "yuv420p"
            video.options = {"crf": "16", "preset": "ultrafast", "threads": "1"}
            audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
            audio.bit_rate = _AUDIO_BITRATE
            for picture in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode(None))
            sound = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
            container.mux(audio.encode(sound))
            container.mux(audio.encode(None))
        os.replace(partial_path, path)
    finally:
        partial_path.unlink(missing_ok=True)


def _write_item(out: Path, seed: int, split: str, index: int) -> WorldItem:
    item = world_item(seed, split, index)
    path = out / "videos" / f"{item.id}.mp4"
    if not path.exists():
        write_video(path, item.frames(), item.sound())
    return item


def _items(out: Path, seed: int, split: str, n: int, workers: int) -> Iterator[WorldItem]:
    write = partial(_write_item, out, seed, split)
    if workers == 1:
        yield from map(write, range(n))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(write, range(n), chunksize=16)


def write_corpus(
    out: Path, split: str, n: int, seed: int, workers: int = 1, advance: Callable[[int], None] | None = None
) -> list[WorldItem]:
    """Write `n` items of a split below `out`: `videos/ID.mp4`, `captions.csv` (id, file, caption), `factors.csv`.

    Videos already there are kept, so a run that was killed is finished by calling again; the two tables are written
    last, and only whole. `advance` is called with 1 for each item, for a progress bar.

    Raises:
        ValueError: for an unknown split, `n` below 1, or a folder that already holds another corpus.
    """
    if n < 1:
        raise ValueError(f"--n must be at least 1, got {n}")
    world_item(seed, split, 0)
    _claim(out, split, seed)
    (out / "videos").mkdir(parents=True, exist_ok=True)
    items = []
    for item in _items(out, seed, split, n, workers):
        items.append(item)
        if advance is not None:
            advance(1)
    _write_csv(
        out / "captions.csv", ("id", "file", "caption"), [(i.id, f"videos/{i.id}.mp4", i.caption) for i in items]
    )
    _write_csv(out / "factors.csv", ("id", *LEVELS), [(i.id, *i.factors.as_dict().values()) for i in items])
    return items


def _claim(out: Path, split: str, seed: int) -> None:
    """Refuse to mix two corpora: the seed and split that a folder belongs to are written before its first video."""
    mark, owner = out / "corpus.txt", f"microworld split={split} seed={seed}\n"
    found = mark.read_text(encoding="utf-8") if mark.exists() else owner
    if found != owner:
        raise ValueError(f"{out} already holds {found.strip()!r}, not {owner.strip()!r}; choose another --out")
    if not mark.exists() and out.is_dir() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no corpus; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    partial_path = mark.with_name(f".{mark.name}.{os.getpid()}.part")
    partial_path.write_text(owner, encoding="utf-8")
    os.replace(partial_path, mark)


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    partial_path = path.with_name(f".{path.name}.part")
    with partial_path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    os.replace(partial_path, path)
