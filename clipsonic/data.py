"""`prepare`: a folder of videos to an Arrow dataset of log-mel spectrograms and CLIP frame vectors.

One row per video: `id`, `log_mel` (float32, bands * frames, row-major), `clip_frames` (CLIP image vectors of all frames
taken, flattened), `clip_middle` (of the middle frame, the test-time query), and, where captions are given, `caption`
and `clip_text`. The mel definition and the CLIP's digest stand in `prepared.json`. Videos that cannot be used are
listed with the reason in `skipped.jsonl`; it is an error only if all of them are. Sounds that end up to a tenth early
are padded with silence, and `prepared.json` counts them.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset, load_from_disk
from datasets.table import InMemoryTable
from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from clipsonic.clip import FrozenClip
from clipsonic.mel import LogMel, MelConfig
from clipsonic.video import Video, VideoError, read_video

VIDEO_SUFFIXES: Final = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v")
SILENCE: Final = 1e-4
"""A clip whose peak is below this (-80 dBFS) has no sound to learn from."""


@dataclass(frozen=True)
class Preparation:
    """What decides the prepared data, beside the videos."""

    mel: MelConfig
    clip: str = "micro"
    frames_per_second: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.frames_per_second < math.inf:
            raise ValueError(f"{self.frames_per_second} frames per second: give a positive number")


class Prepared(NamedTuple):
    """How many videos became training data, how many were skipped, and how many of the former were padded."""

    prepared: int
    skipped: int
    padded: int


def find_videos(folder: Path) -> dict[str, Path]:
    """All videos below a folder by id (path below it, without suffix), sorted.

    Raises:
        ValueError: if there is none, or two share an id.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of videos")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise ValueError(f"{found[name]} and {path} would both get the id {name!r}: rename one")
            found[name] = path
    if not found:
        raise ValueError(f"{folder} holds no video ({', '.join(VIDEO_SUFFIXES)})")
    return found


def read_captions(path: Path) -> dict[str, str]:
    """Captions by id from a CSV with the columns `id` and `caption`.

    Raises:
        ValueError: naming the missing column, an id that is there twice, or a line without id or caption.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a byte-order mark first
        reader = csv.DictReader(file)
        missing = {"id", "caption"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(
                f"{path}: column {', '.join(sorted(missing))} missing; found {', '.join(reader.fieldnames or ())}"
            )
        captions: dict[str, str] = {}
        for row in reader:
            if row["id"] in captions:
                raise ValueError(f"{path}: id {row['id']!r} is there twice")
            if not row["id"] or not (row["caption"] or "").strip():
                raise ValueError(f"{path}, line {reader.line_num}: expected an id and a caption, found {row}")
            captions[row["id"]] = row["caption"]
    return captions


def clip_of(video: Video, mel: MelConfig) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int]:
    """The sound of a video at the length the model wants, and by how many samples it was padded.

    Cut, or padded with silence by at most a tenth.

    Raises:
        VideoError: too short, or silent.
    """
    samples = video.samples[: mel.samples]
    if len(samples) < 0.9 * mel.samples:
        raise VideoError(f"too short: {len(samples) / mel.rate_hz:.2f} s, {mel.samples / mel.rate_hz:.2f} s needed")
    if np.abs(samples).max() < SILENCE:
        raise VideoError("silent")
    lacking = mel.samples - len(samples)
    return np.pad(samples, (0, lacking)), lacking


@lru_cache(maxsize=1)
def _tools(how: Preparation) -> tuple[FrozenClip, LogMel]:
    return FrozenClip(how.clip), LogMel(how.mel)


def _prepare_one(how: Preparation, item: tuple[str, Path]) -> dict[str, Any]:
    name, path = item
    clip, log_mel = _tools(how)
    try:
        video = read_video(path, how.mel.rate_hz, how.frames_per_second, how.mel.samples / how.mel.rate_hz)
        samples, lacking = clip_of(video, how.mel)
    except VideoError as error:
        return {"id": name, "file": path.name, "reason": str(error)}
    vectors = clip.encode_image(video.frames)
    return {
        "id": name,
        "log_mel": log_mel(torch.from_numpy(samples)[None])[0].numpy().ravel(),
        "clip_frames": vectors.ravel(),
        "clip_middle": vectors[len(vectors) // 2],
        "padded": lacking > 0,
    }


def _rows(videos: dict[str, Path], how: Preparation, workers: int) -> Iterator[dict[str, Any]]:
    work = partial(_prepare_one, how)
    if workers == 1:
        yield from map(work, videos.items())
        return
    one_thread = partial(torch.set_num_threads, 1)  # in processes of our own, which share the cores
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        yield from pool.map(work, videos.items(), chunksize=8)


def prepare(
    videos: Path,
    out: Path,
    how: Preparation,
    captions: dict[str, str] | None = None,
    workers: int = 1,
    advance: Callable[[int], None] | None = None,
) -> Prepared:
    """Prepare a folder of videos below `out`.

    Raises:
        ValueError: no video, `out` not empty, a video without caption where captions are given, or all skipped.
    """
    found = find_videos(videos)
    if captions is not None and (missing := sorted(set(found) - set(captions))):
        raise ValueError(f"{len(missing)} videos have no caption, the first is {missing[0]!r}")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: choose another --out, or remove it")
    collected: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    for row in _rows(found, how, workers):
        (skipped if "reason" in row else collected).append(row)
        if advance is not None:
            advance(1)
    if not collected:
        reasons = "; ".join(f"{row['file']}: {row['reason']}" for row in skipped[:3])
        raise ValueError(f"none of {len(found)} videos could be prepared ({reasons})")
    clip = FrozenClip(how.clip)
    columns = {
        "id": pa.array([row["id"] for row in collected]),
        "log_mel": _fixed(np.stack([row["log_mel"] for row in collected])),
        "clip_frames": pa.array([row["clip_frames"] for row in collected], pa.list_(pa.float32())),
        "clip_middle": _fixed(np.stack([row["clip_middle"] for row in collected])),
    }
    if captions is not None:
        texts = [captions[row["id"]] for row in collected]
        columns |= {"caption": pa.array(texts), "clip_text": _fixed(clip.encode_text(texts))}
    partial_out = out.with_name(f".{out.name}.part")
    shutil.rmtree(partial_out, ignore_errors=True)
    with _no_bars():
        Dataset(InMemoryTable.from_arrays(list(columns.values()), list(columns))).save_to_disk(str(partial_out))
    dim = len(collected[0]["clip_middle"])
    counts = Prepared(len(collected), len(skipped), sum(row["padded"] for row in collected))
    record = {
        "schema": 1,
        "clip": how.clip,
        "clip_sha256": clip.digest,
        "clip_dim": dim,
        "mel": how.mel.as_dict(),
        **counts._asdict(),
    }
    (partial_out / "prepared.json").write_text(json.dumps(record, indent=1) + "\n")
    (partial_out / "skipped.jsonl").write_text("".join(json.dumps({"schema": 1, **row}) + "\n" for row in skipped))
    if out.exists():
        out.rmdir()
    out.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial_out, out)
    return counts


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep `datasets` from drawing its own progress bar over the caller's."""
    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not quiet:
            enable_progress_bars()


def _fixed(rows: np.ndarray[Any, np.dtype[np.float32]]) -> pa.FixedSizeListArray:
    """(rows, width) as an Arrow column of fixed-size lists, without a Python object per number."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


class PreparedData:
    """A prepared folder, memory-mapped: random access to log-mels and conditions by row number."""

    def __init__(self, folder: Path) -> None:
        """Open what `prepare` wrote.

        Raises:
            ValueError: if the folder is not prepared data.
        """
        if not (folder / "prepared.json").is_file():
            raise ValueError(f"{folder} is not prepared data: run clipsonic prepare VIDEOS --out {folder}")
        record = json.loads((folder / "prepared.json").read_text())
        if record["schema"] != 1:
            raise ValueError(f"{folder} has schema {record['schema']}; this version reads 1")
        self.mel = MelConfig.from_dict(record["mel"])
        self.clip, self.clip_sha256, self.dim = record["clip"], record["clip_sha256"], int(record["clip_dim"])
        self.table = load_from_disk(str(folder)).with_format("numpy")
        self.ids: list[str] = [str(name) for name in self.table["id"]]

    def __len__(self) -> int:
        return len(self.ids)

    def log_mels(self, rows: np.ndarray[Any, Any]) -> torch.Tensor:
        """(rows, bands, frames)."""
        flat = np.stack(list(self.table[rows.tolist()]["log_mel"]))
        return torch.from_numpy(flat.reshape(-1, self.mel.bands, self.mel.frames))

    def frame_vectors(self) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
        """CLIP vectors of the frames of each row, (frames, dim)."""
        return [np.asarray(flat, np.float32).reshape(-1, self.dim) for flat in self.table["clip_frames"][:]]

    def vectors(self, column: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """`clip_middle` or `clip_text` of all rows, (rows, dim).

        Raises:
            ValueError: if the data were prepared without it.
        """
        if column not in self.table.column_names:
            raise ValueError(f"these data have no {column}: prepare them with --captions CSV")
        return np.stack(list(self.table[column][:]))
