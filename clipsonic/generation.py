"""A folder of generated sounds, with a manifest that the benchmark and the metrics read.

    plan.json      what decides the sounds: model and its digest, route, prior, seed, sampler, queries; written first
    ID.wav         one sound for each query, 16-bit, mono
    manifest.csv   columns id, file, and caption or image where the queries have them; written last

Sounds are written as they are made. Stopped or killed, the same command goes on and ends with the same files; another
command is refused. `clipsonic-bench run SUITE --system folder:DIR`, `clipsonic-bench run folder --data manifest.csv`
and `clipsonic-metrics score DIR --prompts manifest.csv` take the folder as it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic.queries import Pictures, Queries, Texts
from clipsonic.sounds import replace_text, write_wav
from clipsonic.vectors import StoredVectors

if TYPE_CHECKING:
    from clipsonic.pipeline import GeneratedAudio

PLAN: Final = "plan.json"
MANIFEST: Final = "manifest.csv"
_OTHERS: Final = ("prepared.json", "model_index.json", "prior.json")
Make = Callable[[Sequence[int]], "GeneratedAudio"]
"""Rows of the queries to their sounds."""


def write_sounds(
    out: Path,
    queries: Queries,
    plan: dict[str, Any],
    make: Make,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Path]:
    """Write what is not there yet of a folder of sounds; return the file of each id.

    Args:
        plan: what decides the sounds beside the queries.
        advance: called with the number of sounds that are there, at first and after each batch.

    Raises:
        ValueError: the folder holds other sounds.
    """
    files = {name: out / f"{name}.wav" for name in queries.ids}
    _begin(out, {"schema": 1, **plan, "queries_sha256": queries_digest(queries)}, files)
    left = [row for row, path in enumerate(files.values()) if not path.is_file()]
    if advance is not None:
        advance(len(files) - len(left))
    for start in range(0, len(left), batch_size):
        rows = left[start : start + batch_size]
        made = make(rows)
        for row, samples in zip(rows, made.samples, strict=True):
            write_wav(files[queries.ids[row]], samples, made.rate_hz)
        if advance is not None:
            advance(len(rows))
    replace_text(out / MANIFEST, manifest_text(queries, out))
    return files


def check_place(out: Path) -> None:
    """Refuse to write sounds into prepared data, a model folder or a prior folder.

    Raises:
        ValueError: naming the folder.
    """
    for folder in (out.resolve(), *out.resolve().parents):
        if mark := next((name for name in _OTHERS if (folder / name).is_file()), None):
            raise ValueError(
                f"--out {out} is in {folder}, which holds a {mark} and is no folder of sounds: choose another --out"
            )


def _begin(out: Path, plan: dict[str, Any], files: dict[str, Path]) -> None:
    path = out / PLAN
    if path.is_file():
        found = json.loads(path.read_text())
        differs = [key for key in {**plan, **found} if plan.get(key) != found.get(key)]
        if differs and any(out.rglob("*.wav")):
            raise ValueError(
                f"{out} holds sounds of another {' and '.join(differs)}: "
                "go on with that command, or choose another --out"
            )
        if differs:  # of a command that failed before its first sound
            replace_text(path, json.dumps(plan, indent=1) + "\n")
        return
    if there := [str(file) for file in files.values() if file.exists()]:
        raise ValueError(f"{there[0]} is there already, and {out} has no {PLAN}: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(plan, indent=1) + "\n")


def manifest_text(queries: Queries, out: Path) -> str:
    """The manifest as CSV. Pictures are named from where it lies; a query of several pictures has no one to name."""
    columns: dict[str, list[str]] = {"id": queries.ids, "file": [f"{name}.wav" for name in queries.ids]}
    if isinstance(queries, Texts):
        columns["caption"] = queries.texts
    elif isinstance(queries, Pictures) and all(len(files) == 1 for files in queries.files):
        columns["image"] = [Path(os.path.relpath(files[0], out)).as_posix() for files in queries.files]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def queries_digest(queries: Queries) -> str:
    """SHA-256 over ids and queries: texts, the bytes of pictures, or vectors."""
    total = hashlib.sha256()
    if isinstance(queries, Texts):
        parts = [text.encode() for text in queries.texts]
    elif isinstance(queries, StoredVectors):
        parts = [vector.tobytes() for vector in queries.vectors]
    else:
        parts = [b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files) for files in queries.files]
    for name, part in zip(queries.ids, parts, strict=True):
        total.update(f"{name}\0{len(part)}\0".encode() + part)
    return total.hexdigest()


def weights_identity(folder: Path) -> str:
    """What weights are in a folder: the revision where it is one of the hub's cache, or else `folder_digest`."""
    return f"revision {folder.name}" if folder.parent.name == "snapshots" else folder_digest(folder)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files of a model or prior folder."""
    total = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{found}\0".encode())
    return total.hexdigest()
