"""Prepared data as training reads them: an Arrow dataset on disk, memory-mapped, with its record `prepared.json`.

One row per clip: `id`, `video` (path below the prepared folder of videos), `start_s` (where in the file the clip
begins), `log_mel` (float32, bands * frames, row-major), `clip_frames` (CLIP image vectors of all frames taken,
flattened), `clip_middle` (of the middle frame, the query at test time), and, where the videos have texts, `caption` or
`label` or both, and `clip_text`, the CLIP vector of the caption or else of "a photo of [label]".

Nothing of the size of the data is held but the ids: every method reads the rows that it is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from datasets import load_from_disk
from numpy.typing import NDArray

from clipsonic.mel import MelConfig

SCHEMA: Final = 2
LATER_CLIP: Final = re.compile(r"(.*)\+\d{4,}")
"""The id of a later clip of a video: `ID+0001`, of which the group is the id of the video."""
VECTOR_COLUMNS: Final = ("clip_middle", "clip_text")

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


def prompt_of(label: str) -> str:
    """The text that stands for a class label, as in the paper: "a photo of [label]"."""
    return f"a photo of {label}"


class PreparedData:
    """A prepared folder: random access to log-mels, CLIP vectors and texts by row number.

    ids: of all rows. digest: SHA-256 over the rows and what defines them, the same for the same videos whatever the
    number of processes that prepared them. mel, clip, clip_sha256, dim: what the rows were made with.
    """

    def __init__(self, folder: Path) -> None:
        """Open what `clipsonic prepare` wrote.

        Raises:
            ValueError: if the folder is not prepared data, or of another schema.
        """
        if not (folder / "prepared.json").is_file():
            raise ValueError(f"{folder} is not prepared data: run clipsonic prepare VIDEOS --out {folder}")
        record = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise ValueError(
                f"{folder} has schema {record['schema']}, this version reads {SCHEMA}: prepare the videos again"
            )
        self.mel = MelConfig.from_dict(record["mel"])
        self.clip, self.clip_sha256, self.dim = record["clip"], record["clip_sha256"], int(record["clip_dim"])
        self.digest: str = record["digest"]
        self._table = load_from_disk(str(folder)).data.table
        self._columns: dict[str, _Column] = {}
        self._vectors: dict[str, _Vectors] = {}
        self.ids: list[str] = self._column("id", None).to_pylist()

    def __len__(self) -> int:
        return len(self.ids)

    def videos(self) -> list[str]:
        """The file of each row, as a path below the folder of videos; several rows may be of one."""
        return list(self._column("video", None).to_pylist())

    def batches(self, size: int = 1024) -> Iterator[Rows]:
        """All row numbers in order, `size` at a time: for statistics over data that do not fit in memory."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))

    def log_mels(self, rows: Rows) -> torch.Tensor:
        """(rows, bands, frames), float32, natural log."""
        flat = _numbers(self._column("log_mel", rows)).copy()  # the map is read-only, and tensors are not
        return torch.from_numpy(flat.reshape(len(rows), self.mel.bands, self.mel.frames))

    def frames_of(self, rows: Rows) -> list[Vectors]:
        """CLIP vectors of the frames of each row: (frames, dim) each, unit length, in the order of the frames."""
        column = self._column("clip_frames", rows)
        ends = np.asarray(column.offsets)[1:-1] - column.offsets[0].as_py()
        parts: list[Vectors] = np.split(_numbers(column), ends)
        return [part.reshape(-1, self.dim).copy() for part in parts]

    def frame_of(self, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        """The CLIP vector of one frame of each row, which `choices` in [0, 1) picks: (rows, dim), unit length."""
        return self._picked("clip_frames", rows, choices)

    def vectors(self, column: str, rows: Rows | None = None) -> Vectors:
        """`clip_middle` or `clip_text` of these rows, or of all: (rows, dim), unit length.

        Raises:
            ValueError: if the data were prepared without it.
        """
        if column not in VECTOR_COLUMNS:
            raise ValueError(f"no vectors {column!r}; choose one of {', '.join(VECTOR_COLUMNS)}")
        self._require(column)
        wanted = np.arange(len(self)) if rows is None else rows
        return self._picked(column, wanted, np.zeros(len(wanted)))

    @property
    def has_texts(self) -> bool:
        """Whether the clips have captions or labels."""
        return "clip_text" in self._table.column_names

    def captions(self, rows: Rows | None = None) -> list[str]:
        """The text of these rows, or of all, that `clip_text` encodes: the caption, or else "a photo of [label]".

        Raises:
            ValueError: if the data were prepared without texts.
        """
        return [caption or prompt_of(label) for caption, label in self._texts(rows)]

    def captions_or_labels(self) -> list[str]:
        """The caption of each clip, or else its label as it is.

        Raises:
            ValueError: if the data were prepared without texts.
        """
        return [caption or label for caption, label in self._texts(None)]

    def _texts(self, rows: Rows | None) -> list[tuple[str, str]]:
        """Captions and labels; one of the two may be None."""
        self._require("clip_text")
        count = len(self) if rows is None else len(rows)
        captions, labels = (
            self._column(name, rows).to_pylist() if name in self._table.column_names else [None] * count
            for name in ("caption", "label")
        )
        return list(zip(captions, labels, strict=True))

    def _require(self, column: str) -> None:
        if column not in self._table.column_names:
            raise ValueError(
                f"these data have no {column}: prepare them with --captions CSV, or from a list with captions or labels"
            )

    def _picked(self, column: str, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        if column not in self._vectors:
            self._vectors[column] = _Vectors(self._table.column(column), self.dim)
        return self._vectors[column].picked(rows, choices)

    def _column(self, name: str, rows: Rows | None) -> Any:
        """One column of these rows, in their order, as one Arrow array; or all of it, where it lies."""
        if rows is None:
            return self._table.column(name)
        if name not in self._columns:
            self._columns[name] = _Column(self._table.column(name))
        return self._columns[name].picked(rows)


class _Column:
    """A column where it lies in the memory map, in as many parts as `prepare` wrote batches.

    Arrow's own `take` would copy the whole column first.
    """

    def __init__(self, column: Any) -> None:
        self._type = column.type
        self._parts = [part for part in column.chunks if len(part)]
        self._ends = np.cumsum([len(part) for part in self._parts])

    def picked(self, rows: Rows) -> Any:
        """These rows, copied into one Arrow array."""
        parts = np.searchsorted(self._ends, rows, side="right")
        firsts = np.insert(self._ends, 0, 0)[parts]
        found = [
            self._parts[part].slice(place, 1)
            for part, place in zip(parts.tolist(), (rows - firsts).tolist(), strict=True)
        ]
        return pa.chunked_array(found, self._type).combine_chunks()


class _Vectors:
    """A column of lists of vectors where it lies in the memory map: what is picked is read, and nothing else.

    Taking rows from an Arrow table copies the whole lists, and takes twenty times as long for one frame of 4096 clips.
    """

    def __init__(self, column: Any, dim: int) -> None:
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        self._tables = [np.asarray(chunk.flatten(), np.float32).reshape(-1, dim) for chunk in chunks]
        self._ends = np.cumsum([len(chunk) for chunk in chunks])
        self._counts = np.concatenate([np.asarray(chunk.value_lengths(), np.int64) // dim for chunk in chunks])
        before = np.cumsum(self._counts) - self._counts  # vectors before a row; of those, before its table
        self._firsts = before - np.repeat(np.cumsum([0, *map(len, self._tables[:-1])]), np.diff(self._ends, prepend=0))

    def picked(self, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        """Of each row's list the vector that its choice in [0, 1) picks: (rows, dim)."""
        places = self._firsts[rows] + (choices * self._counts[rows]).astype(np.int64)
        tables = np.searchsorted(self._ends, rows, side="right")
        found = np.empty((len(rows), self._tables[0].shape[1]), np.float32)
        for row, (table, place) in enumerate(zip(tables.tolist(), places.tolist(), strict=True)):
            found[row] = self._tables[table][place]
        return found


def _numbers(column: Any) -> Vectors:
    """The numbers of a column of lists, flat."""
    return np.asarray(column.flatten(), np.float32)
