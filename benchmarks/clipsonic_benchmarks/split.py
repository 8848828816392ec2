"""Items, prepared: what a system can be asked (frame, caption) and what it is scored against (sound, factors).

A prepared split is a folder: `items.json` (schema, rate, one record per item with digests), `frames.safetensors`
(uint8 (height, width, 3), one tensor per item id) and `sounds/ID.wav` (16-bit, mono). Videos are decoded once, here;
everything after reads the prepared split. The middle frame of a video is its query.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import safetensors.numpy
import soundfile
from numpy.typing import NDArray

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import digest, read_json, write_bytes, write_json
from clipsonic_benchmarks.registry import Need

if TYPE_CHECKING:
    from clipsonic_metrics.sound import Sound

SCHEMA: Final = 1
RATE_HZ: Final = 16_000
"""Rate at which the sound of videos is prepared."""
FRAMES_PER_SECOND: Final = 4.0


@dataclass(frozen=True, eq=False)
class Item:
    """One item. What it lacks is None. `factors` holds the index of each factor's level; `sound` is a path."""

    id: str
    caption: str | None
    frame: NDArray[np.uint8] | None
    sound: Path | None
    factors: Mapping[str, int] | None
    digest: str

    def has(self, need: Need) -> bool:
        return {"caption": self.caption, "frame": self.frame, "sound": self.sound}[need] is not None


@dataclass(frozen=True, eq=False)
class Split:
    """Prepared items in the order of their ids' first naming, and the digest of all of them."""

    folder: Path
    items: tuple[Item, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.items)

    def by_id(self) -> dict[str, Item]:
        return {item.id: item for item in self.items}


@dataclass(frozen=True, eq=False)
class Material:
    """What a split is prepared from: one item, decoded."""

    id: str
    caption: str | None = None
    frame: NDArray[np.uint8] | None = None
    samples: NDArray[np.float32] | None = None
    factors: Mapping[str, int] | None = None


def wav_bytes(samples: NDArray[np.float32], rate_hz: int) -> tuple[bytes, int]:
    """A 16-bit mono WAV, and how many samples were outside [-1, 1] and so were clipped."""
    clipped = int(np.count_nonzero(np.abs(samples) > 1))
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue(), clipped


def write_sound(path: Path, samples: NDArray[np.float32], rate_hz: int) -> dict[str, Any]:
    """Write a WAV, atomically, and return its facts: digest of the file, samples, rate, clipped samples."""
    data, clipped = wav_bytes(samples, rate_hz)
    write_bytes(path, data)
    return {
        "sound_sha256": hashlib.sha256(data).hexdigest(),
        "samples": len(samples),
        "rate_hz": rate_hz,
        "clipped": clipped,
    }


def read_item_sound(item: Item) -> Sound:
    """The item's own sound."""
    from clipsonic_metrics.sound import read_sound

    assert item.sound is not None
    return read_sound(item.sound, item.id)


def write_split(folder: Path, materials: Iterable[Material], source: Mapping[str, Any]) -> None:
    """Write a prepared split; `items.json` comes last, so a folder that holds it is whole.

    Raises:
        BenchmarkError: no items, or an id that occurs twice.
    """
    records: list[dict[str, Any]] = []
    frames: dict[str, NDArray[np.uint8]] = {}
    for material in materials:
        record: dict[str, Any] = {"id": material.id, "caption": material.caption}
        record["factors"] = dict(material.factors) if material.factors is not None else None
        if material.frame is not None:
            frames[material.id] = np.ascontiguousarray(material.frame)
            record["frame_sha256"] = hashlib.sha256(
                str(material.frame.shape).encode() + frames[material.id].tobytes()
            ).hexdigest()
        if material.samples is not None:
            facts = write_sound(folder / "sounds" / f"{material.id}.wav", material.samples, RATE_HZ)
            record |= {"sound": f"sounds/{material.id}.wav", "sound_sha256": facts["sound_sha256"]}
        records.append(record)
    ids = [record["id"] for record in records]
    twice = sorted({id for id in ids if ids.count(id) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise BenchmarkError(f"id {twice[0]!r} is there twice; every item needs an id of its own")
    if not records:
        raise BenchmarkError("no items; expected at least one")
    write_bytes(folder / "frames.safetensors", safetensors.numpy.save(dict(frames)))
    write_json(folder / "items.json", {"schema": SCHEMA, "rate_hz": RATE_HZ, "source": dict(source), "items": records})


def is_prepared(folder: Path, source: Mapping[str, Any]) -> bool:
    """Whether a folder holds a whole split that was prepared from `source`."""
    if not (folder / "items.json").exists():
        return False
    return bool(_record(folder)["source"] == dict(source))


def read_split(folder: Path) -> Split:
    """Read a prepared split.

    Raises:
        BenchmarkError: not there, or of another schema.
    """
    record = _record(folder)
    frames = safetensors.numpy.load_file(str(folder / "frames.safetensors"))
    items = tuple(
        Item(
            entry["id"],
            entry["caption"],
            frames.get(entry["id"]),
            folder / entry["sound"] if "sound" in entry else None,
            entry["factors"],
            digest(entry),
        )
        for entry in record["items"]
    )
    return Split(folder, items, digest([item.digest for item in items]))


def _record(folder: Path) -> dict[str, Any]:
    return read_json(folder / "items.json", SCHEMA, "clipsonic-bench run (delete the folder first)")
