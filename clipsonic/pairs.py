"""(image, text) vectors that a prior is trained on: from a CSV of pictures and captions, prepared data, or a `.npz`.

A CSV has the columns `image` (path, from where the CSV is) and `caption`. Its rows are encoded once, into arrays below
`OUT/`, a part at a time: the same command goes on where a killed one stopped, and processes started by `torchrun` share
the parts. Pictures that cannot be read are left out and named in `skipped.jsonl`; it is an error only if all are.
A `.npz` holds `image` and `text`, both (pairs, dim), and may hold the strings `clip` and `clip_sha256`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import time
import zipfile
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from clipsonic.clip import FrozenClip
from clipsonic.lists import read_csv
from clipsonic.prepared import PreparedData
from clipsonic.queries import read_picture
from clipsonic.sounds import replace_text

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
PART: Final = 1024
"""Rows that are encoded together, and lost together when a process is killed."""


class Pairs(Protocol):
    """Matched image and text vectors of one CLIP, unit length, by row number.

    digest: SHA-256 over all vectors. clip_sha256: of the CLIP, None where it is not known.
    """

    @property
    def clip(self) -> str: ...

    @property
    def clip_sha256(self) -> str | None: ...

    @property
    def dim(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    @property
    def groups(self) -> Rows:
        """(rows,): rows of one number show the same thing; counted from 0 in the order in which they first come."""

    def name(self, row: int) -> str:
        """What a user knows the pair by."""

    def images(self, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        """(rows, dim); where a row has several images, `choices` in [0, 1) says which."""

    def texts(self, rows: Rows) -> Vectors:
        """(rows, dim)."""


@dataclass(frozen=True)
class ArrayPairs:
    """Pairs in two arrays, in memory or mapped, of which the rows `kept` count.

    pictures: of the rows that count, where that is known. cut_texts: names of the pairs whose text is longer
    than what CLIP reads, where that is known.
    """

    image: Vectors
    text: Vectors
    kept: Rows
    clip: str
    clip_sha256: str | None
    digest: str
    pictures: tuple[Path, ...] = ()
    cut_texts: tuple[str, ...] = ()

    @property
    def dim(self) -> int:
        return int(self.image.shape[1])

    @cached_property
    def groups(self) -> Rows:
        return _numbered(self.pictures) if self.pictures else np.arange(len(self.kept))

    def __len__(self) -> int:
        return len(self.kept)

    def name(self, row: int) -> str:
        return _name(int(self.kept[row]))

    def images(self, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        return np.asarray(self.image[self.kept[rows]])

    def texts(self, rows: Rows) -> Vectors:
        return np.asarray(self.text[self.kept[rows]])


class PreparedPairs:
    """Any frame of a prepared clip, and the vector of its caption or label; clips of one video are one group."""

    def __init__(self, data: PreparedData) -> None:
        """Raises ValueError if the data were prepared without texts."""
        data.vectors("clip_text", np.arange(1))
        self._data = data
        self.clip: str = data.clip
        self.clip_sha256: str | None = data.clip_sha256
        self.dim, self.digest = data.dim, data.digest

    def __len__(self) -> int:
        return len(self._data)

    @cached_property
    def groups(self) -> Rows:
        return _numbered(self._data.videos())

    def name(self, row: int) -> str:
        return self._data.ids[row]

    def images(self, rows: Rows, choices: NDArray[np.float64]) -> Vectors:
        return self._data.frame_of(rows, choices)

    def texts(self, rows: Rows) -> Vectors:
        return self._data.vectors("clip_text", rows)


def _numbered(names: Sequence[Hashable]) -> Rows:
    """A number for each name, counted from 0 in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def _name(row: int) -> str:
    return f"pair {row + 1}"


def read_pairs(path: Path, clip: FrozenClip | None) -> ArrayPairs:
    """Pairs of a `.npz`. `clip` says whose they are, where the file does not.

    Raises:
        ValueError: not such a file, arrays that do not fit, vectors without direction, or of another space than `clip`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            image, text = (file[name].astype(np.float32) for name in ("image", "text"))
            told, digest = (str(file[name]) if name in file else None for name in ("clip", "clip_sha256"))
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:  # a .npy is an array, and no file
        raise ValueError(f"{path} is no .npz with image and text vectors: {error}") from error
    if image.ndim != 2 or image.shape != text.shape:
        raise ValueError(f"{path}: image vectors {image.shape}, text vectors {text.shape}; expected both (pairs, dim)")
    if clip is not None:
        clip.expect(f"{path}", image.shape[1], digest)
        told, digest = clip.name, clip.digest
    if told is None:
        raise ValueError(f"{path} does not say which CLIP its vectors are of: give --clip")
    image, text = (_unit(vectors, path) for vectors in (image, text))
    found = hashlib.sha256(image.tobytes() + text.tobytes()).hexdigest()
    return ArrayPairs(image, text, np.arange(len(image)), told, digest, found)


def _unit(vectors: Vectors, path: Path) -> Vectors:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError(f"{path}: a vector is zero or not finite")
    return np.asarray(vectors / lengths, np.float32)


def read_table(path: Path) -> list[tuple[Path, str]]:
    """Pictures and captions of a CSV.

    Raises:
        ValueError: a missing column, an empty cell, or no row.
    """
    rows: list[tuple[Path, str]] = []
    for number, row in read_csv(path, ("image", "caption")):
        image, caption = ((row[name] or "").strip() for name in ("image", "caption"))
        if not image or not caption:
            raise ValueError(f"{path}, line {number}: expected an image and a caption, found {row}")
        rows.append((path.parent / image, caption))
    if not rows:
        raise ValueError(f"{path} lists no pair")
    return rows


@dataclass(frozen=True)
class _Part:
    """A finished part of an encoding: rows that are left out, with their reason, a digest of the vectors, and the rows
    whose text is longer than what CLIP reads."""

    skipped: dict[int, str]
    digest: str
    cut: list[int]


def encode_pairs(
    table: Path, out: Path, clip: FrozenClip, advance: Callable[[int], None] | None = None
) -> tuple[ArrayPairs, int]:
    """Encode the pairs of a CSV below `out`, or what is left of them; return them and how many were left out.

    Args:
        advance: called with the number of rows after each part, on the process that did it or found it done.

    Raises:
        ValueError: what `read_table` raises, another list or CLIP in `out`, or fewer than two pictures that can be
            read; then `out` is removed, so that the command can be repeated with a mended CSV.
    """
    rows = read_table(table)
    rank, processes = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    plan = {
        "schema": 1,
        "table_sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
        "clip": clip.name,
        "clip_sha256": clip.digest,
        "shape": [len(rows), clip.dim],
    }
    image, text = _arrays(out, plan, first=rank == 0)
    parts = []
    for number, start in enumerate(range(0, len(rows), PART)):
        done = out / f"{number:06d}.json"
        if not done.is_file() and number % processes == rank:
            part = _encode(rows[start : start + PART], slice(start, start + PART), clip, image, text)
            replace_text(done, json.dumps(asdict(part)) + "\n")
        while not done.is_file():  # another process is at it
            time.sleep(0.2)
        told = json.loads(done.read_text())
        left_out = {int(row): why for row, why in told["skipped"].items()}
        parts.append(_Part(left_out, told["digest"], told.get("cut", [])))
        if advance is not None:
            advance(len(rows[start : start + PART]))
    skipped = {row: why for part in parts for row, why in part.skipped.items()}
    if rank == 0:
        lines = (json.dumps({"schema": 1, "line": row + 2, "reason": why}) for row, why in skipped.items())
        replace_text(out / "skipped.jsonl", "".join(f"{line}\n" for line in lines))
    kept = np.array([row for row in range(len(rows)) if row not in skipped], np.int64)
    pictures = tuple(rows[row][0] for row in kept.tolist())
    if len(set(pictures)) < 2:
        if rank == 0:
            shutil.rmtree(out)
        reason = f" ({next(iter(skipped.values()))})" if skipped else ""
        if not pictures:
            raise ValueError(f"none of {len(rows)} pictures of {table} could be read{reason}")
        raise ValueError(
            f"{table} has only one picture that can be read{reason}: a prior is tried on another than it is trained on"
        )
    digest = hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest()
    cut = tuple(_name(row) for part in parts for row in part.cut)
    return ArrayPairs(image, text, kept, clip.name, clip.digest, digest, pictures, cut), len(skipped)


def _arrays(out: Path, plan: dict[str, Any], first: bool) -> tuple[Vectors, Vectors]:
    """The two arrays of an encoding, on disk; made where they are not there yet."""
    record, names = out / "pairs.json", ("image.npy", "text.npy")
    if first and not record.is_file():
        out.mkdir(parents=True, exist_ok=True)
        for name in names:
            _write_zeros(out / name, *plan["shape"])
        replace_text(record, json.dumps(plan, indent=1) + "\n")
    while not record.is_file():
        time.sleep(0.2)
    if json.loads(record.read_text()) != plan:
        raise ValueError(
            f"{out} holds vectors of another list or CLIP: choose another --out, or type: rm -r {shlex.quote(str(out))}"
        )
    image, text = (np.load(out / name, mmap_mode="r+") for name in names)
    return image, text


def _write_zeros(path: Path, rows: int, dim: int) -> None:
    """An array whose space on disk is taken: writing to a map of a file with holes kills the process on a full disk."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        for start in range(0, rows, PART):
            file.write(bytes(4 * dim * min(PART, rows - start)))


def _encode(rows: Sequence[tuple[Path, str]], where: slice, clip: FrozenClip, image: Vectors, text: Vectors) -> _Part:
    pictures, good, skipped, cut = [], [], {}, list[int]()
    for row, (path, _) in enumerate(rows, start=where.start):
        try:
            pictures.append(read_picture(path))
            good.append(row)
        except ValueError as error:
            skipped[row] = str(error)
    if good:
        image[good] = clip.encode_image(pictures)
        texts = [rows[row - where.start][1] for row in good]
        text[good] = clip.encode_text(texts)
        cut = [good[place] for place in clip.cut_texts(texts)]
        for array in (image, text):
            assert isinstance(array, np.memmap)
            array.flush()
    digest = hashlib.sha256(image[where].tobytes() + text[where].tobytes()).hexdigest()
    return _Part(skipped, digest, cut)
