"""Embed a folder of sounds, through the cache, and keep what came of it: `SetOfEmbeddings`, saved as `.npz`.

Each file is decoded once. Files that cannot be scored either stop the work, all of them named in one error ("stop"),
or are left out, counted and named ("skip").
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.embedder import SoundEmbedder, Vectors
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sound import Sound, discover, read_sound
from clipsonic_metrics.store import EmbeddingStore

OnBad = Literal["stop", "skip"]
Advance = Callable[[int, int], None]
SCHEMA = 1
_BATCH = 32
_NAMED = 20


@dataclass(frozen=True, eq=False)
class SetOfEmbeddings:
    """Embeddings of a set of items: `vectors` by id, each (windows, dim); `digest` of the ids and what was embedded;
    `skipped` maps a path to its fault."""

    vectors: Mapping[str, Vectors]
    protocol: str
    space: str
    digest: str
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def items(self) -> list[Vectors]:
        """The embeddings in the order of their ids."""
        return list(self.vectors.values())

    def record(self) -> dict[str, Any]:
        """What the set is, without its vectors, as JSON-ready values."""
        skipped = [{"file": file, "fault": fault} for file, fault in self.skipped.items()]
        facts = {"schema": SCHEMA, "protocol": self.protocol, "space": self.space, "sha256": self.digest}
        return facts | {"items": len(self.vectors), "skipped": skipped}


def read_sounds(
    folder: str | Path,
    on_bad: OnBad = "stop",
    use: Callable[[Sound], None] | None = None,
    advance: Advance | None = None,
) -> dict[str, str]:
    """Read every sound below a folder and hand each good one to `use`; return the faults of those left out, by path.

    `advance` is called with how many files are done, and how many there are.

    Raises:
        MetricsError: no sounds; or unusable files, all of them named, unless `on_bad` is "skip"; or none is usable.
    """
    paths = discover(folder)
    faults: dict[str, str] = {}
    for done, (id, path) in enumerate(paths.items(), 1):
        try:
            sound = read_sound(path, id)
            fault = sound.fault()
        except MetricsError as error:
            sound, fault = None, str(error).removeprefix(f"{path} ")
        if fault is not None:
            faults[str(path)] = fault
        elif sound is not None and use is not None and (on_bad == "skip" or not faults):
            use(sound)
        if advance is not None:
            advance(done, len(paths))
    if faults and (on_bad == "stop" or len(faults) == len(paths)):
        named = "; ".join(f"{path}: {fault}" for path, fault in list(faults.items())[:_NAMED])
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        remedy = (
            "mend them, or leave them out with --on-bad skip" if len(faults) < len(paths) else "none is left to score"
        )
        raise MetricsError(
            f"{len(faults)} of {len(paths)} files in {folder} cannot be scored ({remedy}): {named}{more}"
        )
    return faults


def embed_folder(
    folder: str | Path,
    embedder: SoundEmbedder,
    *,
    cache: Path | None,
    on_bad: OnBad = "stop",
    advance: Advance | None = None,
) -> SetOfEmbeddings:
    """Embed every sound below a folder; `cache` None embeds all of them anew.

    Raises:
        MetricsError: what `read_sounds` raises, or a cache that cannot be written.
    """
    store = EmbeddingStore(cache, embedder.protocol) if cache is not None else None
    vectors: dict[str, Vectors] = {}
    digests: dict[str, str] = {}
    waiting: list[Sound] = []

    def embed_waiting() -> None:
        if not waiting:
            return
        for sound, result in zip(waiting, embedder.embed_sounds(waiting), strict=True):
            vectors[sound.id] = result
            if store is not None:
                store.put(digests[sound.id], result)
        waiting.clear()

    def use(sound: Sound) -> None:
        digests[sound.id] = sound.digest()
        kept = store.get(digests[sound.id]) if store is not None else None
        if kept is not None:
            vectors[sound.id] = kept
            return
        waiting.append(sound)
        if len(waiting) == _BATCH:
            embed_waiting()

    skipped = read_sounds(folder, on_bad, use, advance)
    embed_waiting()
    ordered = {id: vectors[id] for id in sorted(vectors)}
    listing = "".join(f"{digests[id]} {id}\n" for id in ordered)
    digest = hashlib.sha256(listing.encode()).hexdigest()
    return SetOfEmbeddings(ordered, embedder.protocol, embedder.space, digest, skipped)


def save_embeddings(embeddings: SetOfEmbeddings, path: str | Path) -> None:
    """Write schema, protocol, space, digest, ids, windows (how many per id) and vectors (windows, dim) as `.npz`."""
    path = Path(path)
    arrays = {
        "schema": np.array(SCHEMA),
        "protocol": np.array(embeddings.protocol),
        "space": np.array(embeddings.space),
        "digest": np.array(embeddings.digest),
        "ids": np.array(list(embeddings.vectors)),
        "windows": np.array([len(item) for item in embeddings.items]),
        "vectors": np.concatenate(embeddings.items),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise MetricsError(f"{path} cannot be written ({error.strerror}); choose another --out") from error


def load_embeddings(path: str | Path) -> SetOfEmbeddings:
    """Read what `save_embeddings` wrote.

    Raises:
        MetricsError: not there, or not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if "schema" not in file or int(file["schema"]) != SCHEMA:
                raise MetricsError(f"{path} is not embeddings of schema {SCHEMA}; make it with clipsonic-metrics embed")
            ids, ends = [str(id) for id in file["ids"]], np.cumsum(file["windows"])[:-1]
            vectors = dict(zip(ids, np.split(file["vectors"], ends), strict=True))
            return SetOfEmbeddings(vectors, str(file["protocol"]), str(file["space"]), str(file["digest"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, MetricsError):
            raise
        raise MetricsError(
            f"{path} cannot be read as embeddings ({error}); make it with clipsonic-metrics embed"
        ) from error
