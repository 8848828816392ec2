"""A folder of generated sounds, with a manifest that the benchmark and the metrics read.

    plan.json      what decides the sounds: model and its digest, route, seed, sampler, queries; written with the first
    ID.wav         one sound for each query, 16-bit, mono; its comment says its gain
    manifest.csv   columns id, file, gain, and caption or image where the queries have them; written last

A sound that asked for more than full scale was turned down by its gain; of others it is 1.

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
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from clipsonic.queries import MiddleFrames, Pictures, Queries, Texts
from clipsonic.sounds import read_gain, replace_text, write_wav
from clipsonic.vectors import StoredVectors

if TYPE_CHECKING:
    from clipsonic.pipeline import GeneratedAudio

PLAN: Final = "plan.json"
MANIFEST: Final = "manifest.csv"
_OTHERS: Final = ("prepared.json", "model_index.json", "prior.json")
_MARKS: Final = (*_OTHERS, "log.jsonl", "checkpoint*.safetensors", MANIFEST, "seed-*/*", "**/*.wav")
"""Of a folder that holds sounds, or what another command made; anything else may lie beside sounds."""
_MOST_BYTES: Final = 255
"""Of a file's name, on all file systems in use."""
_TOLD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model_sha256": "model",
        "prior_weights": "prior",
        "prior_sampling": "sampling of the prior",
        "vocoder_weights": "vocoder",
        "queries_sha256": "queries",
    }
)
"""What users know the keys of a plan by, where it is another name."""
Make = Callable[[Sequence[int]], "GeneratedAudio"]
"""Rows of the queries to their sounds."""


class Sound(NamedTuple):
    """Where a sound is, and by what it was turned down; None if it was made by another program or version."""

    file: Path
    gain: float | None


def write_sounds(
    out: Path,
    queries: Queries,
    plan: dict[str, Any],
    make: Make,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Sound]:
    """Write what is not there yet of a folder of sounds; return the sound of each id.

    Args:
        plan: what decides the sounds (`whole_plan`).
        make: asked for what is missing alone, at most `batch_size` rows at a time.
        advance: called with the number of sounds that are there, at first and after each batch.

    Raises:
        ValueError: the folder holds other sounds, or one that cannot be read.
    """
    check_plan(out, plan)
    files = sound_files(out, queries.ids)
    left = missing(out, queries.ids)
    gains = {row: read_gain(files[row]) for row in sorted({*range(len(files))} - {*left})}
    if advance is not None:
        advance(len(files) - len(left))
    for start in range(0, len(left), batch_size):
        rows = left[start : start + batch_size]
        made = make(rows)
        if start == 0:  # a command that makes no sound leaves no plan
            out.mkdir(parents=True, exist_ok=True)
            replace_text(out / PLAN, json.dumps(plan, indent=1) + "\n")
        for row, samples, gain in zip(rows, made.samples, made.gain, strict=True):
            write_wav(files[row], samples, made.rate_hz, gain)
            gains[row] = read_gain(files[row])  # to the same decimals as a later command reads
        if advance is not None:
            advance(len(rows))
    sounds = {name: Sound(files[row], gains[row]) for row, name in enumerate(queries.ids)}
    replace_text(out / MANIFEST, manifest_text(queries, out, [sound.gain for sound in sounds.values()]))
    return sounds


def sound_files(out: Path, ids: Sequence[str]) -> list[Path]:
    """The file of each id in a folder of sounds."""
    return [out / f"{name}.wav" for name in ids]


def missing(out: Path, ids: Sequence[str]) -> list[int]:
    """Which ids have no sound yet, by their number."""
    return [row for row, file in enumerate(sound_files(out, ids)) if not file.is_file()]


def whole_plan(plan: dict[str, Any], queries_sha256: str) -> dict[str, Any]:
    """The content of `plan.json`: what decides the sounds, with the digest of the queries (`queries_digest`)."""
    return {"schema": 1, **plan, "queries_sha256": queries_sha256}


def check_place(out: Path, seeds: int = 1) -> None:
    """Refuse a place that cannot be one for sounds, before anything is made.

    Raises:
        ValueError: a file; or within prepared data, a model folder or a prior folder; or a folder that holds sounds or
            a training and has no plan, or has one where each of several `seeds` has a folder of its own.
    """
    _check_outside(out, "folder of sounds")
    if out.suffix.lower() == ".wav":
        if out.is_dir():
            raise ValueError(f"--out {out} is a folder: give the name of a file, or another folder")
        return
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file that is there already: give a folder, or X.wav for one sound")
    if seeds > 1 and (out / PLAN).is_file():
        raise ValueError(
            f"{out} holds sounds of one seed, and each of {seeds} has a folder in it: choose another --out"
        )
    if seeds == 1 or not any(out.glob(f"seed-*/{PLAN}")):
        _check_own(out)


def check_run_place(out: Path) -> None:
    """Refuse to train in prepared data, a model folder, a prior folder or a folder of sounds.

    Raises:
        ValueError: naming the folder.
    """
    _check_outside(out, "folder of a training")
    if plan := next(out.glob(PLAN), None) or next(out.glob(f"seed-*/{PLAN}"), None):
        raise ValueError(f"--out {out} holds {plan}, and so sounds: choose another --out")


def _check_outside(out: Path, what: str) -> None:
    for folder in (out.resolve(), *out.resolve().parents):
        if mark := next((name for name in _OTHERS if (folder / name).is_file()), None):
            raise ValueError(f"--out {out} is in {folder}, which holds a {mark} and is no {what}: choose another --out")


def _marks(folder: Path) -> Iterator[Path]:
    """What tells that a folder is of another command, but what is hidden."""
    for mark in _MARKS:
        yield from (path for path in sorted(folder.glob(mark)) if not path.name.startswith("."))


def _check_own(out: Path) -> None:
    if not (out / PLAN).is_file() and (there := next(_marks(out), None)):
        raise ValueError(f"{there} is there already, and {out} has no {PLAN}: choose another --out")


def check_plan(out: Path, plan: dict[str, Any], besides: Collection[str] = ()) -> None:
    """Refuse a folder that has sounds of another plan, or sounds and no plan.

    Args:
        besides: keys that may differ.

    Raises:
        ValueError: naming what differs.
    """
    _check_own(out)
    if not (out / PLAN).is_file() or not any(out.rglob("*.wav")):
        return
    found = json.loads((out / PLAN).read_text(encoding="utf-8"))
    differs = [key for key in {**plan, **found} if key not in besides and plan.get(key) != found.get(key)]
    if differs:
        named = dict.fromkeys(_TOLD.get(key, key.replace("_", " ")) for key in differs)
        raise ValueError(
            f"{out} holds sounds of another {' and '.join(named)}: go on with that command, or choose another --out"
        )


def check_ids(ids: Sequence[str]) -> None:
    """Make sure that every id can name a file, and no two the same, before anything is made.

    Raises:
        ValueError: naming an id with a control character, one that is too long, or one whose file would be a folder.
    """
    folders = {parent.as_posix(): name for name in ids for parent in PurePosixPath(name).parents}
    for name in ids:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise ValueError(f"id {name!r} has a control character, or one that is no text: it names a file")
        *above, last = (len(part.encode()) for part in name.split("/"))
        if last > (most := _MOST_BYTES - len("..wav.part")) or max(above, default=0) > _MOST_BYTES:
            raise ValueError(
                f"id {name[:40]!r}… names a file: expected at most {most} bytes, found {max([*above, last])}"
            )
        if (other := folders.get(f"{name}.wav")) is not None:
            raise ValueError(
                f"the sound of id {name!r} would be a file, and a folder for that of {other!r}: rename one"
            )
    if taken := [folders[name] for name in (PLAN, MANIFEST) if name in folders]:
        raise ValueError(f"id {taken[0]!r}: {PLAN} and {MANIFEST} are files here: rename it")


def manifest_text(queries: Queries, out: Path, gains: Sequence[float | None]) -> str:
    """The manifest as CSV. Pictures are named from where it lies; a query of several pictures has no one to name."""
    columns: dict[str, Sequence[object]] = {
        "id": queries.ids,
        "file": [f"{name}.wav" for name in queries.ids],
        "gain": gains,
    }
    if isinstance(queries, Texts):
        columns["caption"] = queries.texts
    elif isinstance(queries, MiddleFrames) and queries.captions is not None:
        columns["caption"] = queries.captions
    elif isinstance(queries, Pictures) and all(len(files) == 1 for files in queries.files):
        columns["image"] = [Path(os.path.relpath(files[0], out)).as_posix() for files in queries.files]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def queries_digest(queries: Queries) -> str:
    """SHA-256 over ids and queries: texts, the bytes of pictures, or vectors.

    Raises:
        ValueError: naming a picture that cannot be read.
    """
    total = hashlib.sha256()
    if isinstance(queries, Texts):
        parts = [text.encode() for text in queries.texts]
    elif isinstance(queries, StoredVectors | MiddleFrames):
        parts = [vector.tobytes() for vector in queries.vectors]
    else:
        parts = [b"".join(hashlib.sha256(_bytes_of(path)).digest() for path in files) for files in queries.files]
    for name, part in zip(queries.ids, parts, strict=True):
        total.update(f"{name}\0{len(part)}\0".encode() + part)
    return total.hexdigest()


def _bytes_of(picture: Path) -> bytes:
    try:
        return picture.read_bytes()
    except OSError as error:
        raise ValueError(f"{picture}: not a readable picture ({error})") from error


def weights_identity(folder: Path) -> str:
    """What weights are in a folder: the revision where it is one of the hub's cache, or else `folder_digest`."""
    return f"revision {folder.name}" if folder.parent.name == "snapshots" else folder_digest(folder)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files of a folder but hidden ones, which are not of it."""
    total = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{found}\0".encode())
    return total.hexdigest()
