"""The `gap` command's work: bring two sets together by id and measure the modality gap between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from clipsonic_metrics.arrays import unit_items
from clipsonic_metrics.audit import Finding, named
from clipsonic_metrics.embedder import ImageEmbedder, SoundEmbedder, TextEmbedder
from clipsonic_metrics.errors import MetricsError, NotComparable
from clipsonic_metrics.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from clipsonic_metrics.images import RULE as IMAGE_RULE
from clipsonic_metrics.npz import load_embeddings
from clipsonic_metrics.scores.modality_gap import Gap, modality_gap
from clipsonic_metrics.sound import discover
from clipsonic_metrics.spaces import pair_protocol, share_a_space
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
        raise NotComparable(f"{x} is of space {left.space} and {y} of {right.space}; embed both with one embedder")
    require_ids(left.vectors, right.vectors, y)
    require_ids(right.vectors, left.vectors, x)
    rows = unit_items(left.items, str(x)), unit_items([right.vectors[id] for id in left.vectors], str(y))
    return modality_gap(*rows, seed=seed, protocol=f"{left.protocol}+{right.protocol}", ids=list(left.vectors))


Modality = Literal["sounds", "images", "captions"]
_INTERFACES: Final[dict[Modality, type]] = {"sounds": SoundEmbedder, "images": ImageEmbedder, "captions": TextEmbedder}
OWN: Final[dict[frozenset[Modality], tuple[str, ...]]] = {
    frozenset({"sounds", "captions"}): ("microworld-clap",),
    frozenset({"images", "captions"}): ("microworld-clip",),
    frozenset({"sounds", "images"}): ("microworld-wav2clip", "microworld-clip"),
}
"""Embedders of two modalities where none is asked for."""
PAIRS: Final = (("microworld-wav2clip", "microworld-clip"), ("wav2clip", "open-clip-vit-b-32"))
"""An embedder of sounds, and that of images and texts which it was made for."""


@dataclass(frozen=True)
class GapOfInputs:
    """What was found: `gap` by the embedders of that name, and warnings of what had no partner."""

    gap: Gap
    embedder: str
    warnings: Sequence[Finding]


def gap_of_inputs(
    work: Workspace, embedders: Sequence[str], *, sounds: Path | None, images: Path | None, prompts: Path | None
) -> GapOfInputs | None:
    """Gap between two of sounds, images and captions, paired by id, embedded by one embedder that takes both or by two
    that share a space; the micro-world's where none is named. None in a process that does not lead.

    Raises:
        NotComparable: the embedders share no space.
        MetricsError: no embedder takes a modality, or an id has no partner.
    """
    if sounds is None and not work.options.world.leads:
        return None
    inputs: dict[Modality, Path | None] = {"sounds": sounds, "images": images, "captions": prompts}
    given = {modality: path for modality, path in inputs.items() if path is not None}
    table = read_table(prompts, ["caption"]) if prompts is not None else {}
    by = _embedders_of(work, embedders or OWN[frozenset(given)], given)
    if sounds is not None:
        work.want(sounds, by["sounds"])
        if not work.embed():
            return None
        ids = list(work.set(sounds, by["sounds"]).vectors)
    else:
        assert images is not None
        ids = list(discover(images, IMAGE_SUFFIXES | VIDEO_SUFFIXES))
    sides: dict[Modality, Any] = {}
    warnings = []
    if sounds is not None:
        sides["sounds"] = work.set(sounds, by["sounds"]).items
    if images is not None:
        sides["images"] = work.images(images, ids, by["images"])
        warnings += _unmatched(images, discover(images, IMAGE_SUFFIXES | VIDEO_SUFFIXES), ids, "sound")
    if prompts is not None:
        require_ids(ids, table, prompts)
        sides["captions"] = work.texts([table[id]["caption"] for id in ids], by["captions"])
        warnings += _unmatched(prompts, table, ids, "sound" if sounds is not None else "image")
    names = list(dict.fromkeys(by.values()))
    found = [work.embedder(name) for name in names]
    protocol = found[0].protocol if len(found) == 1 else pair_protocol(*found)
    rule = "" if images is None else f"/{IMAGE_RULE}"
    rows = [unit_items(of_side, modality) for modality, of_side in sides.items()]
    gap = modality_gap(*rows, seed=work.seed, protocol=f"{protocol}{rule}", ids=ids)
    return GapOfInputs(gap, "+".join(names), warnings)


def _embedders_of(work: Workspace, names: Sequence[str], modalities: Iterable[Modality]) -> dict[Modality, str]:
    """Which of the named embedders takes each modality: the first that takes all, or else the first that takes each."""
    wanted = {modality: _INTERFACES[modality] for modality in modalities}
    both = [name for name in names if all(isinstance(work.embedder(name), each) for each in wanted.values())]
    if both:
        return dict.fromkeys(wanted, both[0])
    by: dict[Modality, str] = {}
    for modality, interface in wanted.items():
        takers = [name for name in names if isinstance(work.embedder(name), interface)]
        if not takers:
            pairs = "; ".join(",".join(pair) for pair in PAIRS)
            raise MetricsError(
                f"{', '.join(names)} takes no {modality}; name by --embedder one that takes {' and '.join(wanted)}, or "
                f"two that share a space ({pairs}); clipsonic-metrics list says what each takes"
            )
        by[modality] = takers[0]
    first, second = (work.embedder(name) for name in by.values())
    if not share_a_space(first, second):
        spaces = f"{first.space} and {second.space}"
        pairs = "; ".join(",".join(pair) for pair in PAIRS)
        raise NotComparable(f"{' and '.join(by.values())} share no space ({spaces}); --embedder takes {pairs}")
    return by


def _unmatched(source: Path, entries: Iterable[str], ids: Sequence[str], partner: str) -> list[Finding]:
    """A warning of entries that no id of the other side answers."""
    unmatched = sorted(set(entries) - set(ids))
    if not unmatched:
        return []
    counted = f"1 entry of {source} has" if len(unmatched) == 1 else f"{len(unmatched)} entries of {source} have"
    said = f"{counted} no {partner} of their id, left out: {named(unmatched)}"
    return [Finding("unused", said, tuple(unmatched))]
