"""Embedding cache, addressed by content: digest of the sound's samples x protocol of the embedder.

A file name is never a key, so a file that changes is embedded anew and two folders that share a sound share its entry.
Entries are single safetensors files, written to a temporary name and renamed: many processes may use one cache, and it
may be deleted at any time. An entry that cannot be read is treated as absent.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.embedder import Vectors
from clipsonic_metrics.errors import MetricsError


def default_cache() -> Path:
    """$CLIPSONIC_CACHE, or `clipsonic` in the user's cache folder."""
    chosen = os.environ.get("CLIPSONIC_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipsonic"


class EmbeddingStore:
    """Embeddings of one protocol below a cache folder."""

    def __init__(self, root: str | Path, protocol: str) -> None:
        self._folder = Path(root) / "embeddings" / hashlib.sha256(protocol.encode()).hexdigest()[:16]

    def get(self, digest: str) -> Vectors | None:
        """The (windows, dim) embedding of the sound with this digest, or None."""
        try:
            vectors = safetensors.numpy.load_file(str(self._path(digest)))["embedding"]
        except (OSError, SafetensorError, KeyError):
            return None
        return np.asarray(vectors, dtype=np.float32)

    def put(self, digest: str, vectors: Vectors) -> None:
        """Keep an embedding.

        Raises:
            MetricsError: the cache folder cannot be written to.
        """
        path = self._path(digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, safetensors.numpy.save({"embedding": np.ascontiguousarray(vectors)}))
        except OSError as error:
            message = f"cache {path.parent} cannot be written ({error.strerror}); choose another --cache"
            raise MetricsError(message) from error

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.safetensors"
