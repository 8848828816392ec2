"""What a CLIPSonic is trained on: log-mels by row, and the condition vectors one of which is drawn at each visit.

Nothing of the size of the set is in memory but its ids. What the vectors are makes the model: of frames, a CLIPSonic;
of captions, CLIP-TTA; handed in (of CLAP, for example), CLAP-TTA or another.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.prepared import LATER_CLIP, PreparedData
from clipsonic.settings import Conditioning
from clipsonic.sounds import replace_text

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]

_CHUNK: Final = 1024
"""Rows read at once for the statistics."""


@dataclass(frozen=True)
class TrainingSet:
    """Where a training finds its items, by row number.

    `log_mels` and `conditions` are called from several threads at once: they change nothing that they share.

    Attributes:
        ids: of the rows.
        log_mels: rows, which may repeat, to (rows, bands, frames).
        conditions: rows to the vectors of each, (choices, dim), unit vectors.
        clip, clip_sha256: what query encoder the vectors come from; None if they are handed in.
        digest: of everything above, so that a run is not continued on other data.
        kind: what the conditions are: `frames`, `captions` or `vectors`.
        space: the space of vectors that are handed in, by the name that their maker gives it; None if it is not known.
    """

    ids: Sequence[str]
    log_mels: Callable[[Rows], Tensor]
    conditions: Callable[[Rows], list[Vectors]]
    clip: str | None
    clip_sha256: str | None
    digest: str
    kind: str = "vectors"
    space: str | None = None


def of_frames(data: PreparedData) -> TrainingSet:
    """CLIPSonic: the CLIP vector of a random frame of the video, no text anywhere."""
    digest = f"{data.digest} frames"
    return TrainingSet(data.ids, data.log_mels, data.frames_of, data.clip, data.clip_sha256, digest, "frames")


def of_captions(data: PreparedData) -> TrainingSet:
    """CLIP-TTA: the CLIP vector of the caption or label.

    Raises:
        ValueError: if the data were prepared without.
    """
    data.vectors("clip_text", np.zeros(1, np.int64))

    def captions(rows: Rows) -> list[Vectors]:
        return [vector[None] for vector in data.vectors("clip_text", rows)]

    digest = f"{data.digest} captions"
    return TrainingSet(data.ids, data.log_mels, captions, data.clip, data.clip_sha256, digest, "captions")


def of_vectors(data: PreparedData, vectors: Mapping[str, Vectors], space: str | None = None) -> TrainingSet:
    """Vectors of another encoder by id, (dim,) each: CLAP-TTA. A later clip of a video (`ID+0001`) that has none takes
    the video's.

    Raises:
        ValueError: naming the first row without a vector.
    """
    names = [name if name in vectors else _video_of(name) for name in data.ids]
    if lacking := [row for row, name in zip(data.ids, names, strict=True) if name not in vectors]:
        raise ValueError(f"{len(lacking)} of {len(data.ids)} rows have no vector, the first is {lacking[0]!r}")
    table = np.stack([vectors[name] for name in names]).astype(np.float32, copy=False)
    digest = hashlib.sha256(table.tobytes()).hexdigest()

    def handed_in(rows: Rows) -> list[Vectors]:
        return list(table[rows][:, None])

    return TrainingSet(data.ids, data.log_mels, handed_in, None, None, f"{data.digest} vectors {digest}", space=space)


def _video_of(name: str) -> str:
    later = LATER_CLIP.fullmatch(name)
    return name if later is None else later[1]


def conditioning_of(data: TrainingSet, standardise: bool) -> Conditioning:
    """Centre and scale vectors to unit mean square per dimension, or only scale them (by sqrt(dim)).

    One scale for all dimensions: relative sizes of directions are the encoder's and stay. Reads all vectors once, a
    thousand rows at a time, and sums in float64 in the order of the rows.

    Raises:
        ValueError: vectors that are all the same, which have no scale.
    """
    if not standardise:
        dim = data.conditions(np.zeros(1, np.int64))[0].shape[1]
        return Conditioning(dim, math.sqrt(dim))
    count, total, squares = 0, np.zeros(0), 0.0
    for vectors in _all_vectors(data):
        count += len(vectors)
        total = vectors.sum(0) if not total.size else np.concatenate([total[None], vectors]).sum(0)
        squares += float(np.square(vectors).sum())
    mean = total / count
    variance = squares / (count * len(mean)) - float(np.square(mean).mean())
    if not variance > 1e-12:
        raise ValueError(
            f"all {count} condition vectors of these data are the same: there is nothing to learn from them"
        )
    deviation = math.sqrt(variance)
    return Conditioning(len(mean), 1.0 / deviation, tuple(float(m) for m in mean))


def read_conditioning(path: Path, data: TrainingSet) -> Conditioning | None:
    """What `write_conditioning` kept of a standardised set, or None if it is of another or cannot be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["digest"] != data.digest:
            return None
        return Conditioning(int(kept["dim"]), float(kept["scale"]), tuple(float(m) for m in kept["mean"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_conditioning(path: Path, data: TrainingSet, known: Conditioning) -> None:
    """Keep the statistics of a set, bit for bit, so that a training that goes on need not read all vectors again."""
    kept = {"schema": 1, "digest": data.digest, "dim": known.dim, "scale": known.scale, "mean": known.mean}
    replace_text(path, json.dumps(kept) + "\n")


def _all_vectors(data: TrainingSet) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(data.ids), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(data.ids)))
        yield np.concatenate(data.conditions(rows)).astype(np.float64)
