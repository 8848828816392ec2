"""Embeddings of a set as a `.npz` file, which can stand for the folder they were made from.

schema       3; 2 had no facts, and is read too
ids          (items,) str, sorted
frames       (items,) int64: how many frames each item has
embeddings   (all frames, dim) float32: the frames of the first id, then those of the second, ...
protocol     what decided the embeddings; only those of equal protocols are compared
space        the vector space they lie in
digest       SHA-256 over digests of the sounds and their ids
skipped      JSON: what was left out, by path, with its fault
facts        JSON: what the audit found of each sound, by id (digest, rate, channels, samples, clipped, DC), so that
             sets are compared (duplicates, rates, sizes) as their folders would be
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.audit import Facts
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sets import SetOfEmbeddings

SCHEMA = 3
_READ = (2, 3)


def save_embeddings(embeddings: SetOfEmbeddings, path: str | Path) -> None:
    """Write a `.npz` file, whole or not at all.

    Raises:
        MetricsError: the file cannot be written.
    """
    path = Path(path)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        schema=np.array(SCHEMA),
        ids=np.array(list(embeddings.vectors)),
        frames=np.array([len(item) for item in embeddings.items], dtype=np.int64),
        embeddings=np.concatenate(embeddings.items).astype(np.float32, copy=False),
        protocol=np.array(embeddings.protocol),
        space=np.array(embeddings.space),
        digest=np.array(embeddings.digest),
        skipped=np.array(json.dumps(dict(embeddings.skipped))),
        facts=np.array(json.dumps({id: asdict(facts) for id, facts in embeddings.facts.items()})),
    )
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise MetricsError(f"{path} cannot be written ({error.strerror}); choose another --out") from error


def load_embeddings(path: str | Path) -> SetOfEmbeddings:
    """Read what `save_embeddings` wrote.

    Raises:
        MetricsError: not there, not such a file, or arrays that do not fit one another.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if "schema" not in file or int(file["schema"]) not in _READ:
                raise MetricsError(f"{path} is not embeddings of schema {SCHEMA}; make it with clipsonic-metrics embed")
            ids, frames, rows = [str(id) for id in file["ids"]], file["frames"], file["embeddings"]
            if len(ids) != len(frames) or int(frames.sum()) != len(rows) or len(set(ids)) != len(ids):
                raise MetricsError(f"{path} is damaged: ids, frames and embeddings do not fit; make it anew")
            vectors = dict(sorted(zip(ids, np.split(rows, np.cumsum(frames)[:-1]), strict=True)))
            protocol, space, digest = (str(file[name]) for name in ("protocol", "space", "digest"))
            skipped = json.loads(str(file["skipped"]))
            known = json.loads(str(file["facts"])) if "facts" in file else {}
            facts = {id: Facts(**known[id]) for id in vectors} if known else {}
            return SetOfEmbeddings(vectors, protocol, space, digest, skipped, facts=facts)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, MetricsError):
            raise
        remedy = "make it with clipsonic-metrics embed"
        raise MetricsError(f"{path} cannot be read as embeddings ({error}); {remedy}") from error
