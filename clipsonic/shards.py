"""Shards: the unit in which videos are prepared. One shard is one Arrow file and its record, both whole or absent.

What is in a shard follows from the list of videos alone, and its arithmetic runs on one thread, so its bytes are the
same whoever writes it. Rows go to disk as they come: CLIP sees whole clips together, up to `BATCH` pictures of several
videos, and each such batch is written before the next is gathered.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from datasets import Features, List, Value
from datasets.arrow_writer import ArrowWriter
from PIL import Image

from clipsonic.checkpoint import NO_ROOM
from clipsonic.clip import FrozenClip
from clipsonic.clips import Clip, Preparation, Skipped, cut_item
from clipsonic.lists import Item
from clipsonic.mel import LogMel, MelConfig
from clipsonic.prepared import Vectors, prompt_of
from clipsonic.sounds import replace_text

BATCH: Final = 64
_BATCH_BYTES: Final = 2**28
_SHARDS: Final = 512


@dataclass(frozen=True)
class Shard:
    """Some items of a list, by number of the shard and number of all shards."""

    index: int
    count: int
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        return f"data-{self.index:05d}-of-{self.count:05d}"


@dataclass(frozen=True)
class Columns:
    """Which of the optional columns a dataset has: what any of its items has. `texts`: vectors of caption or label."""

    captions: bool
    labels: bool

    @property
    def texts(self) -> bool:
        return self.captions or self.labels

    def features(self, mel: MelConfig, dim: int) -> Features:
        """The schema of the rows."""
        vector, text = List(Value("float32"), dim), Value("string")
        return Features(
            {
                "id": text,
                "video": text,
                "start_s": Value("float64"),
                "log_mel": List(Value("float32"), mel.bands * mel.frames),
                "clip_frames": List(Value("float32")),
                "clip_middle": vector,
                **({"caption": text} if self.captions else {}),
                **({"label": text} if self.labels else {}),
                **({"clip_text": vector} if self.texts else {}),
            }
        )


@dataclass
class Record:
    """What came of a shard. sha256: of its file, empty where it has no rows and no file. cut_texts: rows whose text is
    longer than what CLIP reads."""

    rows: int = 0
    padded: int = 0
    cut_texts: int = 0
    sha256: str = ""
    skipped: list[dict[str, str]] = field(default_factory=list)


def of_open_end(items: Sequence[Item], how: Preparation) -> bool:
    """Whether an item may be a film of hundreds of clips: all of what goes on to its file's end are taken."""
    return how.cut == "all" and any(item.end_s is None for item in items if item.fault is None)


def shards_of(items: Sequence[Item], how: Preparation) -> list[Shard]:
    """The items in order, shared out: one each for the first few, then up to 8 shards, then up to 512.

    Items of open end are one a shard, up to 512: whole films are work enough to be shared, and to be lost.
    """
    size = -(-len(items) // _SHARDS)
    if not of_open_end(items, how):
        size = max(size, min(8, -(-len(items) // 8)))
    parts = [tuple(items[start : start + size]) for start in range(0, len(items), size)]
    return [Shard(index, len(parts), part) for index, part in enumerate(parts)]


def text_of(item: Item) -> str | None:
    """The text of an item: its caption, or else "a photo of [label]"."""
    return item.caption or (prompt_of(item.label) if item.label else None)


@lru_cache(maxsize=1)
def clip_for(name: str, device: str) -> FrozenClip:
    """The CLIP of this process, loaded once."""
    return FrozenClip(name, device, BATCH)


def write_shard(
    into: Path, folder: Path, shard: Shard, how: Preparation, columns: Columns, advance: Callable[[], None]
) -> None:
    """Prepare a shard below `into`: `data/NAME.arrow`, then `records/NAME.json`; call `advance` after each item.

    Raises:
        OSError: naming the file, on a full disk.
    """
    target = into / "data" / f"{shard.name}.arrow"
    partial = partial_path(into, shard)
    record = Record()
    try:
        with _one_thread(), pa.OSFile(str(partial), "wb") as sink:
            clip = clip_for(how.clip, how.device)
            there = (text_of(item) for item in shard.items if item.fault is None)
            texts = list(dict.fromkeys(text for text in there if text is not None))
            known = dict(zip(texts, clip.encode_text(texts), strict=True)) if texts else {}
            cut = {texts[place] for place in clip.cut_texts(texts)}
            features = columns.features(how.mel, clip.dim)
            writer = ArrowWriter(features=features, stream=sink)
            for batch in _batches(_cut(folder, shard, how, record, advance)):
                writer.write_table(pa.table(_columns_of(batch, clip, known), schema=features.arrow_schema))
                record.rows += len(batch)
                record.padded += sum(each.padded for each in batch)
                record.cut_texts += sum(text_of(each.item) in cut for each in batch)
            if record.rows:
                writer.finalize()
        if record.rows:
            record.sha256 = _settle(partial)
            os.replace(partial, target)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise OSError(
            f"{target} cannot be written ({os.strerror(error.errno)}); finished shards are kept: "
            "make room, and repeat the command"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    replace_text(into / "records" / f"{shard.name}.json", json.dumps({"schema": 1, **asdict(record)}) + "\n")


def partial_path(into: Path, shard: Shard) -> Path:
    """Where a shard is while it is being written."""
    return into / "data" / f".{shard.name}.arrow.part"


def read_record(into: Path, shard: Shard) -> Record | None:
    """What came of a shard, or None if it is not finished."""
    path = into / "records" / f"{shard.name}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["schema"]
    return Record(**found)


def _cut(folder: Path, shard: Shard, how: Preparation, record: Record, advance: Callable[[], None]) -> Iterator[Clip]:
    """The clips of a shard's items; what cannot be used goes into the record."""
    log_mel = LogMel(how.mel)
    for item in shard.items:
        for each in cut_item(folder, item, how, log_mel):
            if isinstance(each, Skipped):
                record.skipped.append(asdict(each))
            else:
                yield each
        advance()


def _batches(clips: Iterator[Clip]) -> Iterator[list[Clip]]:
    """Whole clips together, up to `BATCH` pictures."""
    held: list[Clip] = []
    pictures = size = 0
    for clip in clips:
        if held and (pictures + len(clip.pictures) > BATCH or size + clip.pictures.nbytes > _BATCH_BYTES):
            yield held
            held, pictures, size = [], 0, 0
        held.append(clip)
        pictures, size = pictures + len(clip.pictures), size + clip.pictures.nbytes
    if held:
        yield held


def _columns_of(clips: list[Clip], clip: FrozenClip, texts: dict[str, Vectors]) -> dict[str, pa.Array]:
    vectors = clip.encode_image([Image.fromarray(picture) for each in clips for picture in each.pictures])
    of_clip = np.split(vectors, np.cumsum([len(each.pictures) for each in clips])[:-1])
    columns: dict[str, Any] = {
        "id": pa.array([each.id for each in clips]),
        "video": pa.array([each.item.video for each in clips]),
        "start_s": pa.array([each.start_s for each in clips]),
        "log_mel": _fixed(np.stack([each.log_mel for each in clips])),
        "clip_frames": pa.array([frames.ravel() for frames in of_clip], pa.list_(pa.float32())),
        "clip_middle": _fixed(np.stack([frames[len(frames) // 2] for frames in of_clip])),
        "caption": pa.array([each.item.caption for each in clips], pa.string()),
        "label": pa.array([each.item.label for each in clips], pa.string()),
    }
    if texts:
        columns["clip_text"] = _fixed(np.stack([texts[text_of(each.item) or ""] for each in clips]))
    return columns


def _fixed(rows: Vectors) -> pa.FixedSizeListArray:
    """(rows, width) as an Arrow column of fixed-size lists, without a Python object per number."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


def _settle(path: Path) -> str:
    """See that a file is on the disk; return the SHA-256 of its content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums depend on the number of threads in their last bits; the cores are busy with other shards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
