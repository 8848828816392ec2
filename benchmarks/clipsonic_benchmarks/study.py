"""A run's sounds as a folder for a listening test: no object is handed over, only files.

    OUT/study.json              {"schema": 1, "kind": "samples", title, made_by, suite, run, systems, prompts, sounds,
                                left_out}
    OUT/sounds/<sha256>.wav     OUT/images/<sha256>.png

systems: id, label and role; the suite's reference has the role `reference`, all others `system`. prompts: per item
text, lang, image. sounds: system, prompt, file, sha256, origin (where it lies among the results). Of several seeds the
first is taken. Items without a sound of every chosen system are left out and named, with the reason.

`clipsonic-listen init OUT --preset gen --out STUDY` makes a study of it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import file_digest, read_lines, write_bytes, write_json
from clipsonic_benchmarks.registry import unknown
from clipsonic_benchmarks.split import Item, read_split

SCHEMA: Final = 1
REFERENCE: Final = "reference"


def export_study(
    record_file: Path, record: Mapping[str, Any], out: Path, systems: Sequence[str], n: int | None
) -> dict[str, Any]:
    """Write the folder and return its study.json. systems: labels, none for every one that is no control, and the
    reference. n: so many items, of each kind in turn; None is all.

    Raises:
        BenchmarkError: `out` is there, an unknown system, prepared items or sounds that are gone or changed, or no
            item with a sound of every system.
        OSError: the folder cannot be written; nothing is left.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BenchmarkError(f"--out {out} is there already and is never overwritten; choose another, or remove it")
    chosen = _chosen(record, systems)
    folder = record_file.parent
    prepared = folder.parent / record["items"]["folder"]
    items = read_split(prepared).items
    found = {system["label"]: _sounds(folder / system["folder"]) for system in chosen}
    left_out = {
        item.id: f"no sound of {', '.join(label for label, sounds in found.items() if item.id not in sounds)}"
        for item in items
        if any(item.id not in sounds for sounds in found.values())
    }
    usable = in_turn([item for item in items if item.id not in left_out])[:n]
    if not usable:
        raise BenchmarkError(
            f"no item has a sound of all of {', '.join(found)}: they were deleted or failed; choose with --system"
        )
    ids = _ids(list(found))
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = out.parent / f".{out.name}.{os.getpid()}.part"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        sounds = [
            _sound(staging, folder / system["folder"], ids[system["label"]], item, found[system["label"]][item.id])
            for item in usable
            for system in chosen
        ]
        prompts = {
            item.id: {
                "text": item.caption,
                "lang": "en",
                "image": _image(staging, item.frame) if item.frame is not None else None,
            }
            for item in usable
        }
        study = {
            "schema": SCHEMA,
            "kind": "samples",
            "title": record["suite"]["name"],
            "made_by": f"clipsonic {version('clipsonic')}",
            "suite": dict(record["suite"]),
            "run": record["run"],
            "systems": [
                {
                    "id": ids[system["label"]],
                    "label": system["label"],
                    "role": "reference" if system["label"] == REFERENCE else "system",
                }
                for system in chosen
            ],
            "prompts": prompts,
            "sounds": sounds,
            "left_out": [{"item": item, "reason": reason} for item, reason in left_out.items()],
        }
        write_json(staging / "study.json", study)
        os.replace(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return study


def in_turn(items: Sequence[Item]) -> list[Item]:
    """The items with kinds taking turns: the first of each kind, the second of each; as they are without kinds."""
    seen: dict[int | str, int] = {}
    rounds = []
    for item in items:
        kind = item.factors["kind"] if item.factors is not None and "kind" in item.factors else ""
        rounds.append(seen.get(kind, 0))
        seen[kind] = rounds[-1] + 1
    order = sorted(range(len(items)), key=lambda at: rounds[at])
    return [items[at] for at in order]


def _chosen(record: Mapping[str, Any], labels: Sequence[str]) -> list[Mapping[str, Any]]:
    known = {system["label"]: system for system in record["systems"]}
    for label in labels:
        if label not in known:
            raise unknown("system of this run", label, known)
    wanted = labels or [label for label, system in known.items() if system["family"] != "control" or label == REFERENCE]
    if not set(wanted) - {REFERENCE}:
        raise BenchmarkError("nothing to judge but the reference; name systems of the run with --system")
    return [known[label] for label in dict.fromkeys(wanted)]


def _sounds(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Lines of finished sounds by item, first seed; those whose files were deleted are not among them."""
    found: dict[str, Mapping[str, Any]] = {}
    for line in read_lines(folder / "items.jsonl"):
        if "file" in line and (folder / line["file"]).exists():
            found.setdefault(line["item"], line)
    return found


def _ids(labels: Sequence[str]) -> dict[str, str]:
    """An id of letters, digits, hyphens and underscores for each label; a number tells apart what would be one."""
    ids: dict[str, str] = {}
    for label in labels:
        plain = re.sub(r"[^A-Za-z0-9_-]", "-", label)[-56:]
        count = sum(id == plain or re.fullmatch(rf"{re.escape(plain)}-\d+", id) is not None for id in ids.values())
        ids[label] = plain if not count else f"{plain}-{count + 1}"
    return ids


def _sound(staging: Path, folder: Path, system: str, item: Item, line: Mapping[str, Any]) -> dict[str, Any]:
    source = folder / line["file"]
    sha256 = file_digest(source)
    if sha256 != line["sound_sha256"]:
        raise BenchmarkError(f"{source} is not the sound that was scored; run the suite again")
    write_bytes(staging / "sounds" / f"{sha256}.wav", source.read_bytes())
    origin = f"{folder.parent.name}/{folder.name}/{line['file']}"
    return {"system": system, "prompt": item.id, "file": f"sounds/{sha256}.wav", "sha256": sha256, "origin": origin}


def _image(staging: Path, frame: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    name = f"images/{hashlib.sha256(buffer.getvalue()).hexdigest()}.png"
    write_bytes(staging / name, buffer.getvalue())
    return name
