"""What is asked of the pipeline, and what comes of it: a request for a set of sounds, and the set embedded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from clipsonic_metrics.audit import AuditedSet, Facts
from clipsonic_metrics.embedder import SoundClassifier, SoundEmbedder, Vectors
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.sound import Sound
from clipsonic_metrics.stats import EmbeddingStats

_BLOCKS, _LARGEST_BLOCK = 32, 256


@dataclass(frozen=True)
class SoundEncoder:
    """What the pipeline asks of an embedder or a classifier: rows of numbers for each sound, under a protocol. `source`
    is the embedder itself; where it can embed and classify in one pass, the encoder of its embeddings has `both`.
    `one_frame`: each window of `listening` gives one row."""

    protocol: str
    space: str
    encode: Callable[[Sequence[Sound]], list[Vectors]]
    listening: Listening | None
    source: object = None
    both: Callable[[Sequence[Sound]], tuple[list[Vectors], list[Vectors]]] | None = None
    one_frame: bool = False

    @classmethod
    def of(cls, embedder: SoundEmbedder) -> SoundEncoder:
        """Embeddings of sounds."""
        listening = getattr(embedder, "listening", None)
        both = getattr(embedder, "embed_and_classify_sounds", None)
        one_frame = listening is not None and getattr(embedder, "one_frame", True)
        return cls(embedder.protocol, embedder.space, embedder.embed_sounds, listening, embedder, both, one_frame)

    @classmethod
    def of_logits(cls, classifier: SoundClassifier) -> SoundEncoder:
        """Logits of sounds; of the same network as some embeddings, perhaps, but under a protocol of their own."""
        protocol = f"{classifier.protocol}/logits"
        listening = getattr(classifier, "listening", None)
        return cls(protocol, protocol, classifier.classify_sounds, listening, classifier)


@dataclass(frozen=True)
class Request:
    """A folder or manifest, the encoders that are to hear it, by name, and what is to be kept of each: its rows, its
    moments, the moments of each item, or several of these. `unpaired` names ids that have no partner where one is
    needed, and says what they lack; `two_frames` the encoders that must give two rows of each sound. `audited` are ways
    of listening that a sound must be long enough for, though nothing hears it by them."""

    path: Path
    encoders: Mapping[str, SoundEncoder] = field(default_factory=dict)
    rows: frozenset[str] = frozenset()
    moments: frozenset[str] = frozenset()
    item_moments: frozenset[str] = frozenset()
    audited: Sequence[Listening] = ()
    unpaired: Mapping[str, str] = field(default_factory=dict)
    two_frames: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class SetOfEmbeddings:
    """Embeddings of a set of items: `vectors` by id, each (frames, dim), or none where only `moments` of all were asked
    for, or `item_moments`, by id; `digest` of the ids and what was embedded; `skipped` maps a path to its fault; `ids`
    are all that were embedded; `facts` are what the audit found of each sound, where they are known."""

    vectors: Mapping[str, Vectors]
    protocol: str
    space: str
    digest: str
    skipped: Mapping[str, str] = field(default_factory=dict)
    moments: EmbeddingStats | None = None
    ids: Sequence[str] = ()
    item_moments: Mapping[str, EmbeddingStats] = field(default_factory=dict)
    facts: Mapping[str, Facts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.ids:
            object.__setattr__(self, "ids", list(self.vectors))

    @property
    def items(self) -> list[Vectors]:
        """The embeddings in the order of their ids."""
        return list(self.vectors.values())

    def record(self) -> dict[str, Any]:
        """What the set is, without its vectors, as JSON-ready values."""
        skipped = [{"file": file, "fault": fault} for file, fault in self.skipped.items()]
        facts = {"protocol": self.protocol, "space": self.space, "sha256": self.digest}
        return facts | {"items": len(self.ids), "skipped": skipped}

    @property
    def stats(self) -> EmbeddingStats:
        """Moments of all frames, merged over blocks of ids as they are when a folder is embedded: the same digits."""
        if self.moments is not None:
            return self.moments
        items = dict(zip(self.vectors, self.stats_of_items, strict=True))
        blocks = [[items[id] for id in block] for block in blocks_of(list(items))]
        return reduce(EmbeddingStats.merge, map(EmbeddingStats.joined, blocks))

    @property
    def stats_of_items(self) -> list[EmbeddingStats]:
        """Moments of each item, in the order of their ids; of a long sound, they take less memory than its frames."""
        if self.item_moments:
            return list(self.item_moments.values())
        return [EmbeddingStats.of(rows, self.protocol) for rows in self.vectors.values()]


@dataclass(frozen=True, eq=False)
class EmbeddedSet:
    """What came of a request: the audit, and a set of embeddings by name of encoder."""

    audited: AuditedSet
    embedded: Mapping[str, SetOfEmbeddings]


def blocks_of(ids: Sequence[str]) -> list[Sequence[str]]:
    """The ids in blocks whose size depends on their number alone: what processes share, and moments are merged over."""
    size = max(1, min(_LARGEST_BLOCK, -(-len(ids) // _BLOCKS)))
    return [ids[start : start + size] for start in range(0, len(ids), size)]
