"""What the metrics of one command share: embedders, each found once, and sets of sounds, each decoded once.

First it is told everything that will be needed (`want`), then it reads and embeds all of it (`embed`), then metrics
take what they need (`set`). So all embedders of a command hear a file when it is decoded, and all that is wrong with
all sets is told at once, before anything is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from clipsonic_metrics.audit import AuditedSet, OnBad, named, require_usable
from clipsonic_metrics.distributed import World
from clipsonic_metrics.embedder import ImageEmbedder, Picture, SoundClassifier, SoundEmbedder, TextEmbedder, Vectors
from clipsonic_metrics.embedders import EMBEDDERS, find_embedder, takes
from clipsonic_metrics.embedding import WORKERS, Advance, embed_set
from clipsonic_metrics.errors import MetricsError, NotComparable
from clipsonic_metrics.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, read_pictures
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.npz import load_embeddings
from clipsonic_metrics.sets import EmbeddedSet, Request, SetOfEmbeddings, SoundEncoder
from clipsonic_metrics.sound import discover
from clipsonic_metrics.store import EmbeddingStore
from clipsonic_metrics.tables import require_ids

StartProgress = Callable[[str], Advance]
Hears = Literal["embeddings", "logits"]
"""What is made of sounds: vectors of an embedder, or logits of a classifier."""
Keep = Literal["rows", "moments", "item-moments", "item-covariances"]
"""`item-covariances` are item-moments of which each item has two frames at least."""
T = TypeVar("T")
_PICTURES = 64


def _quiet(_: str) -> Advance:
    return lambda done, total: None


@dataclass(frozen=True)
class Options:
    """How a command embeds. `weights` by name of embedder; `listening` gives an embedder's way by its name, or None."""

    cache: Path | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)
    listening: Callable[[str], Listening | None] = lambda name: None
    on_bad: OnBad = "stop"
    seed: int = 0
    workers: int = WORKERS
    progress: StartProgress = _quiet
    world: World = field(default_factory=World)


class Workspace:
    """Embedders and embedded sets of one command."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._embedders: dict[str, Any] = {}
        self._wanted: dict[Path, dict[tuple[str, Hears], set[Keep]]] = {}
        self._unpaired: dict[Path, dict[str, str]] = {}
        self._sets: dict[tuple[Path, str, Hears], SetOfEmbeddings] = {}
        self._once: dict[Hashable, Any] = {}
        self.audited: dict[Path, AuditedSet] = {}

    @property
    def seed(self) -> int:
        return self.options.seed

    def embedder(self, name: str, interface: type = object) -> Any:
        """The embedder of that name.

        Raises:
            MetricsError: unknown, or one that does not do what `interface` asks for.
        """
        if name not in self._embedders:
            taken = takes(name) if name in EMBEDDERS else ()
            deaf = "images" in taken and "sounds" not in taken  # and no profile is about it
            listening = None if deaf else self.options.listening(name)
            self._embedders[name] = find_embedder(name, self.options.weights.get(name), listening)
        if not isinstance(self._embedders[name], interface):
            raise MetricsError(f"embedder {name} is no {interface.__name__}; choose another (clipsonic-metrics list)")
        return self._embedders[name]

    def encoder(self, name: str, hears: Hears = "embeddings") -> SoundEncoder:
        """The embedder of that name as the pipeline takes it."""
        if hears == "logits":
            return SoundEncoder.of_logits(self.embedder(name, SoundClassifier))
        return SoundEncoder.of(self.embedder(name, SoundEmbedder))

    def want(self, path: Path, name: str, hears: Hears = "embeddings", keep: Keep = "rows") -> None:
        """Note that the sounds of a folder, a manifest or an `.npz` are needed as that embedder hears them."""
        self._wanted.setdefault(path, {}).setdefault((name, hears), set()).add(keep)

    def lack(self, path: Path, unpaired: Mapping[str, str]) -> None:
        """Note ids of a set that have no partner where one is needed, and what they lack."""
        self._unpaired.setdefault(path, {}).update({id: said for id, said in unpaired.items() if said})

    def embed(self) -> bool:
        """Read and embed everything wanted; whether this process leads, and goes on to compute.

        Raises:
            NotComparable: an `.npz` made under another protocol.
            MetricsError: files that cannot be scored, all of them listed; or what reading and embedding raise.
        """
        for path, wanted in self._wanted.items():
            if path.suffix.lower() == ".npz":
                self._load(path, wanted)
        for path, wanted in self._wanted.items():
            if path.suffix.lower() != ".npz":
                self._embed(path, wanted)
        if self.options.world.leads:
            require_usable(list(self.audited.values()), self.options.on_bad)
        self._wanted.clear()
        return self.options.world.leads

    def _load(self, path: Path, wanted: Mapping[tuple[str, Hears], set[Keep]]) -> None:
        made = load_embeddings(path)
        for name, hears in wanted:
            expected = self.encoder(name, hears).protocol
            if made.protocol != expected:
                raise NotComparable(
                    f"{path} was made under {made.protocol!r}, and {name} is {expected!r}; make it anew by "
                    f"clipsonic-metrics embed SOUNDS --embedder {name} --out {path}, with the --weights and --profile "
                    "given here"
                )
            self._sets[path, name, hears] = made
        # Without facts, of an older file or of arrays, nothing is known but ids: `audited` then has none of them.
        self.audited[path] = AuditedSet(path, {}, made.facts, {})
        lacking = [f"{id}: {said}" for id, said in self._unpaired.get(path, {}).items()]
        if lacking:
            raise MetricsError(
                f"{len(lacking)} items of {path} have no partner: {named(lacking, 20, '; ')}; add them there, or make "
                f"{path.name} anew (clipsonic-metrics embed) of a folder without those sounds"
            )

    def _embed(self, path: Path, wanted: Mapping[tuple[str, Hears], set[Keep]]) -> None:
        keys = {f"{name} ({hears})" if hears == "logits" else name: (name, hears) for name, hears in wanted}
        request = Request(
            path,
            {key: self.encoder(*of) for key, of in keys.items()},
            frozenset(key for key, of in keys.items() if "rows" in wanted[of]),
            frozenset(key for key, of in keys.items() if "moments" in wanted[of]),
            frozenset(
                key
                for key, of in keys.items()
                if {"item-moments", "item-covariances"} & wanted[of] and "rows" not in wanted[of]
            ),
            unpaired=self._unpaired.get(path, {}),
            two_frames=frozenset(key for key, of in keys.items() if "item-covariances" in wanted[of]),
        )
        made = self._read(request, f"{path.name or path} by {', '.join(keys)}")
        if made is not None:
            self.audited[path] = made.audited
            self._sets |= {(path, *keys[key]): embedded for key, embedded in made.embedded.items()}

    def _read(self, request: Request, label: str) -> EmbeddedSet | None:
        options = self.options
        return embed_set(
            request,
            cache=options.cache,
            on_bad=options.on_bad,
            workers=options.workers,
            advance=options.progress(label) if options.world.leads else None,
            world=options.world,
        )

    def audit(self, paths: Sequence[Path], embedders: Sequence[str] = ()) -> list[AuditedSet] | None:
        """Read the sounds of folders or manifests and find what is wrong with them, too short for one of the embedders
        included, without embedding them; None in a process that does not lead.

        Raises:
            MetricsError: nothing there, or a cache that cannot be written.
        """
        ways = [self.encoder(name).listening for name in embedders]
        found = []
        for path in dict.fromkeys(paths):
            listened = [each for each in ways if each is not None]
            request = Request(path, audited=listened, unpaired=self._unpaired.get(path, {}))
            made = self._read(request, f"{path.name or path}")
            if made is not None:
                found.append(made.audited)
        return found if self.options.world.leads else None

    def set(self, path: Path, name: str, hears: Hears = "embeddings") -> SetOfEmbeddings:
        """What `embed` made of a set that was wanted."""
        return self._sets[path, name, hears]

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` returns, computed once for each key: several metrics may share it."""
        if key not in self._once:
            self._once[key] = compute()
        made: T = self._once[key]
        return made

    def texts(self, captions: Sequence[str], name: str) -> Vectors:
        """Captions embedded, each different one once, so that equal captions have equal vectors."""
        embedder: TextEmbedder = self.embedder(name, TextEmbedder)
        different = sorted(set(captions))
        digests = [hashlib.sha256(f"text\n{caption}".encode()).hexdigest() for caption in different]
        vectors = self._through_cache(embedder.protocol, digests, different, embedder.embed_texts)
        row = {caption: index for index, caption in enumerate(different)}
        return np.asarray(vectors[[row[caption] for caption in captions]])

    def images(self, folder: Path, ids: Sequence[str], name: str) -> list[Vectors]:
        """Pictures of each id embedded: (frames, dim), one frame for an image, several for a video."""
        embedder: ImageEmbedder = self.embedder(name, ImageEmbedder)
        paths = discover(folder, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
        require_ids(ids, paths, folder)
        show = self.options.progress(f"{folder.name or folder} by {name}")
        waiting, counts = list[Picture](), list[int]()
        made: list[Vectors] = []
        for done, id in enumerate(ids, 1):
            pictures = read_pictures(paths[id])
            waiting += pictures
            counts.append(len(pictures))
            if len(waiting) >= _PICTURES or done == len(ids):  # photographs are large: never hold all of them
                digests = [_digest_of_picture(picture) for picture in waiting]
                made.append(self._through_cache(embedder.protocol, digests, waiting, embedder.embed_images))
                waiting.clear()
            show(done, len(ids))
        return np.split(np.concatenate(made), np.cumsum(counts)[:-1])

    def _through_cache(
        self, protocol: str, digests: Sequence[str], items: Sequence[T], embed: Callable[[Sequence[T]], Vectors]
    ) -> Vectors:
        """One vector per item, (items, dim): from the cache, or else made by `embed` and kept there."""
        if self.options.cache is None or not items:
            return embed(items)
        store = EmbeddingStore(self.options.cache, protocol)
        found = {digest: store.get(digest) for digest in digests}
        fresh = [row for row, digest in enumerate(digests) if found[digest] is None]
        if fresh:
            for row, vector in zip(fresh, embed([items[row] for row in fresh]), strict=True):
                found[digests[row]] = vector[None]
                store.put(digests[row], vector[None])
        return np.concatenate([vector for digest in digests if (vector := found[digest]) is not None])


def _digest_of_picture(picture: Picture) -> str:
    height, width, _ = picture.shape
    found = hashlib.sha256(f"picture {height} {width}\n".encode())
    found.update(np.ascontiguousarray(picture).data)
    return found.hexdigest()
