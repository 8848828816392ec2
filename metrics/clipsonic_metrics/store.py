"""The cache: what was embedded, by content, and which sound each file held, so that an unchanged file is not decoded.

Embeddings are addressed by the digest of the sound's samples, the protocol of the embedder, and the versions of the
packages that embed (versions.py): another torch may give other last digits, and what is scored must not depend on when
the cache was filled. A file name is never a key: a file that changes is embedded anew, and two folders that share a
sound share its entry.

The index of a set spares the decode. It holds, by path, the facts of the last reading (audit.py), the SHA-256 of the
file's bytes, and its size, mtime, ctime and inode. What is trusted: if all four are as they were, and the last change
was more than two seconds older than that reading, the file is taken to be the same. Clocks and file systems count time
in steps (up to 2 s on FAT), within which a change would not show; programs can set mtime back, but not ctime. In any
doubt the bytes are hashed, and if they are others, or another version of a decoder is installed, the file is decoded.

All files are written to a temporary name and renamed: many processes may use one cache, and it may be deleted at any
time. An entry that cannot be read is treated as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import safetensors.numpy
import soundfile
from safetensors import SafetensorError

from clipsonic_metrics import audit
from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.audit import Facts
from clipsonic_metrics.embedder import Vectors
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.versions import embedding_versions

SCHEMA: Final = 1
SETTLED_NS: Final = 2_000_000_000


def default_cache() -> Path:
    """$CLIPSONIC_CACHE, or `clipsonic` in the user's cache folder."""
    chosen = os.environ.get("CLIPSONIC_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipsonic"


class EmbeddingStore:
    """Embeddings of one protocol below a cache folder."""

    def __init__(self, root: str | Path, protocol: str) -> None:
        made = f"{protocol}\n{json.dumps(embedding_versions())}"
        self._folder = Path(root) / "embeddings" / hashlib.sha256(made.encode()).hexdigest()[:16]

    def get(self, digest: str) -> Vectors | None:
        """The (frames, dim) embedding of the sound with this digest, or None."""
        try:
            vectors = safetensors.numpy.load(self._path(digest).read_bytes())["embedding"]
        except (OSError, SafetensorError, KeyError):
            return None
        return np.asarray(vectors, dtype=np.float32)

    def put(self, digest: str, vectors: Vectors) -> None:
        """Keep an embedding.

        Raises:
            MetricsError: the cache folder cannot be written to.
        """
        data = safetensors.numpy.save({"embedding": np.ascontiguousarray(vectors)})
        _write(self._path(digest), data)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.safetensors"


class SoundIndex:
    """Which sound each file of a set held when it was last read. Its methods may be called by several threads."""

    def __init__(self, root: str | Path, set_path: Path) -> None:
        """Open the index of a folder or manifest; what cannot be read, or was written by other decoders, is empty."""
        name = hashlib.sha256(str(set_path.absolute()).encode()).hexdigest()[:16]
        self._path = Path(root) / "sounds" / f"{name}.json"
        self._lock, self._dirty = threading.Lock(), False
        self._files: dict[str, Any] = {}
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
            if record["schema"] == SCHEMA and record["decoders"] == decoders():
                self._files = dict(record["files"])
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def find(self, path: Path) -> Facts | None:
        """Facts of the file as it is now, or None when it has to be decoded."""
        entry = self._files.get(str(path.absolute()))
        if entry is None:
            return None
        try:
            facts, now = Facts(**entry["facts"]), stat_of(path)
            if entry["settled"] and entry["stat"] == now:
                return facts
            if entry["stat"][0] != now[0]:
                return None
            began = time.time_ns()
            if file_digest(path) != entry["sha256"]:
                return None
        except (OSError, KeyError, TypeError):
            return None
        self._note(path, now, began, entry["sha256"], facts)
        return facts

    def note(self, path: Path, before: list[int], began: int, facts: Facts) -> None:
        """Keep facts of a file read at `began` (time_ns), when its `stat_of` was `before`; not if it has changed."""
        sha256 = file_digest(path)
        if stat_of(path) == before:
            self._note(path, before, began, sha256, facts)

    def _note(self, path: Path, stat: list[int], began: int, sha256: str, facts: Facts) -> None:
        settled = max(stat[1], stat[2]) + SETTLED_NS < began
        entry = {"stat": stat, "settled": settled, "sha256": sha256, "facts": asdict(facts)}
        with self._lock:
            self._files[str(path.absolute())] = entry
            self._dirty = True

    def entries(self) -> dict[str, Any]:
        """What it holds, to be added to the index of another process."""
        return dict(self._files)

    def add(self, entries: dict[str, Any]) -> None:
        """Take over entries of another process."""
        with self._lock:
            self._files |= entries
            self._dirty = True

    def save(self) -> None:
        """Write the index, if something was noted.

        Raises:
            MetricsError: the cache folder cannot be written to.
        """
        with self._lock:
            if not self._dirty:
                return
            record = {"schema": SCHEMA, "decoders": decoders(), "files": self._files}
            _write(self._path, json.dumps(record).encode())
            self._dirty = False


@cache
def decoders() -> str:
    """Versions of everything that turns a file into facts."""
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"audit@{audit.VERSION} libsndfile {soundfile.__libsndfile_version__} libavcodec {ffmpeg}"


def stat_of(path: Path) -> list[int]:
    """Size, mtime, ctime (ns) and inode of a file: what tells that it has changed."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        message = f"cache {path.parent} cannot be written ({error.strerror}); choose another --cache"
        raise MetricsError(message) from error
