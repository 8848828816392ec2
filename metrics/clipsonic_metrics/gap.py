"""The `gap` command's work: bring two sets together by id and measure the modality gap between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clipsonic_metrics.arrays import unit_items
from clipsonic_metrics.embedder import ImageEmbedder, TextEmbedder
from clipsonic_metrics.errors import NotComparable
from clipsonic_metrics.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from clipsonic_metrics.images import RULE as IMAGE_RULE
from clipsonic_metrics.npz import load_embeddings
from clipsonic_metrics.scores.modality_gap import Gap, modality_gap
from clipsonic_metrics.sound import discover
from clipsonic_metrics.tables import read_table, require_ids
from clipsonic_metrics.workspace import Workspace


def gap_of_files(x: Path, y: Path, *, seed: int) -> Gap:
    """Gap between two `.npz` files of embeddings with the same ids.

    Raises:
        NotComparable: their vectors are of different spaces.
        MetricsError: a file cannot be read, or an id of one is not in the other.
    """
    left, right = load_embeddings(x), load_embeddings(y)
    if left.space != right.space:
        raise NotComparable(f"{x} is of space {left.space} and {y} of {right.space}; embed both with one encoder")
    require_ids(left.vectors, right.vectors, y)
    require_ids(right.vectors, left.vectors, x)
    rows = unit_items(left.items, str(x)), unit_items([right.vectors[id] for id in left.vectors], str(y))
    return modality_gap(*rows, seed=seed, protocol=f"{left.protocol}+{right.protocol}")


def gap_of_inputs(
    work: Workspace, embedder: str, *, sounds: Path | None, images: Path | None, prompts: Path | None
) -> Gap | None:
    """Gap between two of sounds, images and captions, embedded by one embedder and paired by id; None in a process
    that does not lead.

    Raises:
        MetricsError: the embedder does not take a modality, or an id has no partner.
    """
    if sounds is None and not work.options.world.leads:
        return None
    table = read_table(prompts, ["caption"]) if prompts is not None else {}
    if sounds is not None:
        work.want(sounds, embedder)
        if not work.embed():
            return None
        ids = list(work.set(sounds, embedder).vectors)
    else:
        assert images is not None
        ids = list(discover(images, IMAGE_SUFFIXES | VIDEO_SUFFIXES))
    sides: list[np.ndarray[tuple[int, int], np.dtype[np.float64]]] = []
    protocol: str = work.embedder(embedder).protocol
    if sounds is not None:
        sides.append(unit_items(work.set(sounds, embedder).items, "sounds"))
    if images is not None:
        work.embedder(embedder, ImageEmbedder)
        sides.append(unit_items(work.images(images, ids, embedder), "images"))
        protocol += f"/{IMAGE_RULE}"
    if prompts is not None:
        work.embedder(embedder, TextEmbedder)
        require_ids(ids, table, prompts)
        sides.append(unit_items(work.texts([table[id]["caption"] for id in ids], embedder), "captions"))
    return modality_gap(*sides, seed=work.seed, protocol=protocol)
