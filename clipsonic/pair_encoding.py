"""The pairs of a CSV, encoded with a CLIP: `encode_pairs`.

The CSV has the columns `image` (path, from where the CSV is) and `caption`. Its rows are encoded once, into arrays
below `OUT/`, a part at a time: the same command goes on where a killed one stopped, and processes started by
`torchrun`, on one machine or several that see `OUT`, share the parts. Pictures that cannot be read are left out and
named in `skipped.jsonl`; it is an error only if all are.

Each part comes as a file of its own, `000000.npy`, which the first process takes into the arrays: it alone writes to
them. Of a network disk each machine keeps pages, and writes them back whole, over what another wrote there meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from clipsonic.checkpoint import named_if_unwritten
from clipsonic.clip import FrozenClip
from clipsonic.lists import read_csv
from clipsonic.pairs import ArrayPairs, Vectors, name_of
from clipsonic.queries import read_picture
from clipsonic.sounds import replace_text

PART: Final = 1024
"""Rows that are encoded together, and lost together when a process is killed."""
_ARRAYS: Final = ("image.npy", "text.npy")


class Row(NamedTuple):
    """line: of the CSV, on which the row ends."""

    line: int
    picture: Path
    caption: str


def read_table(path: Path) -> list[Row]:
    """Pictures and captions of a CSV.

    Raises:
        ValueError: a missing column, an empty cell, or no row.
    """
    rows: list[Row] = []
    for number, row in read_csv(path, ("image", "caption")):
        image, caption = ((row[name] or "").strip() for name in ("image", "caption"))
        if not image or not caption:
            raise ValueError(f"{path}, line {number}: expected an image and a caption, found {row}")
        rows.append(Row(number, path.parent / image, caption))
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
        advance: called with the number of rows found done, then with that of each other part once it is done.

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
    _begin(out, plan, first=rank == 0)
    arrays = _open(out, "r+") if rank == 0 else None
    count = math.ceil(len(rows) / PART)
    found = {number for number in range(count) if _done(out, number).is_file()}
    own = deque(number for number in range(rank, count, processes) if number not in found)
    if advance is not None:
        advance(sum(len(rows[_where(number)]) for number in found))
    parts: list[_Part] = []
    while (number := len(parts)) < count:
        if _done(out, number).is_file() and (arrays is not None or not _encoded(out, number).is_file()):
            parts.append(_take(out, number, arrays))
            if advance is not None and number not in found:
                advance(len(rows[_where(number)]))
        elif own:
            _encode(out, own.popleft(), rows, clip)
        else:  # other processes are at it
            time.sleep(0.2)
    skipped = {row: why for part in parts for row, why in part.skipped.items()}
    if rank == 0:
        lines = (json.dumps({"schema": 1, "line": rows[row].line, "reason": why}) for row, why in skipped.items())
        replace_text(out / "skipped.jsonl", "".join(f"{line}\n" for line in lines))
    kept = np.array([row for row in range(len(rows)) if row not in skipped], np.int64)
    pictures = tuple(rows[row].picture for row in kept.tolist())
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
    cut = tuple(name_of(row) for part in parts for row in part.cut)
    image, text = _open(out, "r")
    return ArrayPairs(image, text, kept, clip.name, clip.digest, digest, pictures, cut), len(skipped)


def _begin(out: Path, plan: dict[str, Any], first: bool) -> None:
    """Say what is encoded and take the space on disk, where that was not done yet."""
    record = out / "pairs.json"
    if first and not record.is_file():
        out.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            _write_zeros(out / name, *plan["shape"])
        replace_text(record, json.dumps(plan, indent=1) + "\n")
    while not record.is_file():
        time.sleep(0.2)
    if json.loads(record.read_text(encoding="utf-8")) != plan:
        raise ValueError(
            f"{out} holds vectors of another list or CLIP: choose another --out, or type: rm -r {shlex.quote(str(out))}"
        )


def _write_zeros(path: Path, rows: int, dim: int) -> None:
    """An array whose space on disk is taken: writing to a map of a file with holes kills the process on a full disk."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        for start in range(0, rows, PART):
            file.write(bytes(4 * dim * min(PART, rows - start)))


def _open(out: Path, mode: Literal["r", "r+"]) -> tuple[Vectors, Vectors]:
    image, text = (np.load(out / name, mmap_mode=mode) for name in _ARRAYS)
    return image, text


def _where(number: int) -> slice:
    return slice(number * PART, (number + 1) * PART)


def _done(out: Path, number: int) -> Path:
    return out / f"{number:06d}.json"


def _encoded(out: Path, number: int) -> Path:
    """Where the vectors of a part are until the first process has taken them."""
    return out / f"{number:06d}.npy"


def _encode(out: Path, number: int, table: Sequence[Row], clip: FrozenClip) -> None:
    first, rows = number * PART, table[_where(number)]
    pictures, good, skipped = [], [], {}
    for place, row in enumerate(rows):
        try:
            pictures.append(read_picture(row.picture))
            good.append(place)
        except ValueError as error:
            skipped[first + place] = str(error)
    both, cut = np.zeros((2, len(rows), clip.dim), np.float32), list[int]()
    if good:
        texts = [rows[place].caption for place in good]
        both[0, good], both[1, good] = clip.encode_image(pictures), clip.encode_text(texts)
        cut = [first + good[place] for place in clip.cut_texts(texts)]
    partial = out / f".{number:06d}.npy.part"
    part = _Part(skipped, hashlib.sha256(both.tobytes()).hexdigest(), cut)
    with named_if_unwritten(out):
        try:
            with partial.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(both))  # type: ignore[no-untyped-call]
                file.write(both.tobytes())  # numpy's own writing says of a full disk only how much it wrote
            os.replace(partial, _encoded(out, number))
        finally:
            partial.unlink(missing_ok=True)
        replace_text(_done(out, number), json.dumps(asdict(part)) + "\n")


def _take(out: Path, number: int, arrays: tuple[Vectors, Vectors] | None) -> _Part:
    """A finished part; with the arrays, its vectors are among them afterwards.

    Raises:
        ValueError: other vectors than those that were encoded.
    """
    told, where = json.loads(_done(out, number).read_text(encoding="utf-8")), _where(number)
    if arrays is not None:
        if (encoded := _encoded(out, number)).is_file():
            for array, part in zip(arrays, np.load(encoded), strict=True):
                array[where] = part
                assert isinstance(array, np.memmap)
                array.flush()
        if hashlib.sha256(b"".join(array[where].tobytes() for array in arrays)).hexdigest() != told["digest"]:
            again = shlex.quote(str(_done(out, number)))
            raise ValueError(f"vectors in {out} are damaged; type: rm {again}, and repeat the command")
        encoded.unlink(missing_ok=True)
    return _Part({int(row): why for row, why in told["skipped"].items()}, told["digest"], told.get("cut", []))
