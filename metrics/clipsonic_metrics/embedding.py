"""Embed sets of sounds: one decode per file for all embedders, through the cache, audited on the way.

Worker threads read, check and resample files while this one embeds; they are never more than a few files ahead, and
rows are kept only where a metric needs them, so that memory hardly grows with the number of files (FAD keeps moments of
each generated sound, for its interval: at most dim x dim numbers, however long the sound). What comes of it
depends neither on workers, batches nor processes: items are embedded independently of one another (embedder.py), and
moments are merged over blocks of the sorted ids that depend on the ids alone.

A file that cannot be scored is a fault of its id. The whole set is read before anything is made of it, so that all
faults are known at once (audit.py); once there is one that will stop the command, embedding stops and reading goes on.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from clipsonic_metrics.audit import AuditedSet, Facts, OnBad, require_usable
from clipsonic_metrics.distributed import World
from clipsonic_metrics.embedder import SoundEmbedder, Vectors
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sets import EmbeddedSet, Request, SetOfEmbeddings, SoundEncoder, blocks_of
from clipsonic_metrics.sound import Sound, find_sounds, read_sound
from clipsonic_metrics.stats import EmbeddingStats
from clipsonic_metrics.store import EmbeddingStore, SoundIndex, stat_of

Advance = Callable[[int, int], None]
WORKERS = min(4, os.cpu_count() or 1)
_BATCH = 32
_BATCH_S = 320.0  # of long sounds, fewer are held at a time
_SAVE_EVERY = 500


@dataclass
class _Part:
    """What one process makes of its share of a request. Blocks are numbered as in the whole."""

    facts: dict[str, Facts] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Vectors]] = field(default_factory=dict)
    items: dict[str, dict[str, EmbeddingStats]] = field(default_factory=dict)
    blocks: dict[str, dict[int, EmbeddingStats]] = field(default_factory=dict)
    index: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Heard:
    """A file as a worker leaves it: `sound` where some encoder has yet to hear it, `kept` from the cache."""

    id: str
    facts: Facts | None
    fault: str | None
    kept: Mapping[str, Vectors] = field(default_factory=dict)
    sound: Sound | None = None


def embed_set(
    request: Request,
    *,
    cache: Path | None,
    on_bad: OnBad = "stop",
    workers: int = WORKERS,
    advance: Advance | None = None,
    world: World | None = None,
) -> EmbeddedSet | None:
    """Read, audit and embed the sounds of a request; None in a process that does not lead. Faults are not raised: ask
    `require_usable`, when all sets are read.

    Raises:
        MetricsError: nothing there, a cache that cannot be written, or an embedder that fails.
    """
    world = world or World()
    files = find_sounds(request.path)
    blocks = blocks_of(list(files))
    index = SoundIndex(cache, request.path) if cache is not None else None

    def share() -> _Part:
        mine = [(number, ids) for number, ids in enumerate(blocks) if number % world.size == world.rank]
        return _Pass(request, files, cache, index, on_bad, saves=world.size == 1).run(mine, workers, advance)

    parts = world.gather(share)
    if parts is None:
        return None
    if index is not None:
        for part in parts[1:]:
            index.add(part.index)
        index.save()
    return _joined(request, files, parts)


def embed_folder(
    folder: str | Path,
    embedder: SoundEmbedder,
    *,
    cache: Path | None,
    on_bad: OnBad = "stop",
    workers: int = WORKERS,
    advance: Advance | None = None,
) -> SetOfEmbeddings:
    """Embed every sound below a folder, or named by a manifest; `cache` None embeds all of them anew.

    Raises:
        MetricsError: what `embed_set` and `require_usable` raise.
    """
    request = Request(Path(folder), {"embedder": SoundEncoder.of(embedder)}, frozenset({"embedder"}))
    made = embed_set(request, cache=cache, on_bad=on_bad, workers=workers, advance=advance)
    assert made is not None
    require_usable([made.audited], on_bad)
    return made.embedded["embedder"]


def _joined(request: Request, files: Mapping[str, Path], parts: Sequence[_Part]) -> EmbeddedSet:
    facts = {id: fact for part in parts for id, fact in part.facts.items()}
    faults = {id: fault for part in parts for id, fault in part.faults.items()}
    audited = AuditedSet(request.path, files, dict(sorted(facts.items())), dict(sorted(faults.items())))
    listing = "".join(f"{fact.digest} {id}\n" for id, fact in audited.facts.items())
    digest, skipped = hashlib.sha256(listing.encode()).hexdigest(), audited.skipped()
    embedded = {}
    for name, encoder in request.encoders.items():
        rows = dict(sorted((id, row) for part in parts for id, row in part.rows.get(name, {}).items()))
        blocks = dict(sorted(pair for part in parts for pair in part.blocks.get(name, {}).items()))
        items = dict(sorted((id, one) for part in parts for id, one in part.items.get(name, {}).items()))
        moments = reduce(EmbeddingStats.merge, blocks.values()) if blocks else None
        embedded[name] = SetOfEmbeddings(
            rows, encoder.protocol, encoder.space, digest, skipped, moments, list(audited.facts), items, audited.facts
        )
    return EmbeddedSet(audited, embedded)


class _Pass:
    """One reading of a share of a set."""

    def __init__(
        self,
        request: Request,
        files: Mapping[str, Path],
        cache: Path | None,
        index: SoundIndex | None,
        on_bad: OnBad,
        *,
        saves: bool,
    ) -> None:
        self._request, self._files, self._index, self._on_bad = request, files, index, on_bad
        self._stores = {
            name: EmbeddingStore(cache, encoder.protocol)
            for name, encoder in request.encoders.items()
            if cache is not None
        }
        self._saves = saves
        self._made = _Part(
            rows={name: {} for name in request.rows},
            items={name: {} for name in request.item_moments},
            blocks={name: {} for name in request.moments},
        )
        self._waiting: list[_Heard] = []
        self._open: dict[str, dict[str, EmbeddingStats]] = {name: {} for name in request.moments}

    def run(self, blocks: Sequence[tuple[int, Sequence[str]]], workers: int, advance: Advance | None) -> _Part:
        """Read and embed the ids of the numbered blocks."""
        ids = [id for _, of_block in blocks for id in of_block]
        ends = {of_block[-1]: number for number, of_block in blocks}
        finished: list[int] = []
        for done, heard in enumerate(_in_order(self._hear, ids, workers), 1):
            self._take(heard)
            if heard.id in ends:
                finished.append(ends[heard.id])
            if self._full() or done == len(ids):
                self._embed_waiting()
            if self._request.moments and finished and not self._waiting:
                self._close(finished, dict(blocks))
            if self._index is not None and self._saves and done % _SAVE_EVERY == 0:
                self._index.save()
            if advance is not None:
                advance(done, len(ids))
        if self._index is not None and not self._saves:
            self._made.index = self._index.entries()
        return self._made

    def _hear(self, id: str) -> _Heard:
        """In a worker: find or read a file, and make ready what is not in the cache."""
        path, lacks = self._files[id], self._request.unpaired.get(id)
        facts: Facts | None = None
        try:
            facts = self._index.find(path) if self._index is not None else None
            sound = None
            if facts is None:
                facts, sound = self._read(id, path)
            fault = facts.fault or lacks
            kept = self._kept(facts.digest)
            missing = [encoder for name, encoder in self._request.encoders.items() if name not in kept]
            if fault is not None or not (missing or self._request.audited):
                fault = fault or self._too_few_frames(None, kept)
                return _Heard(id, facts, fault, kept)
            if sound is None:
                facts, sound = self._read(id, path)
                fault, kept = facts.fault or lacks, self._kept(facts.digest)
            ways = [encoder.listening for encoder in missing if encoder.listening is not None]
            for listening in [] if fault is not None else [*ways, *self._request.audited]:
                listening.windows(sound)  # refuses now what it would refuse later, and resamples here
            fault = fault or self._too_few_frames(sound, kept)
            return _Heard(id, facts, fault, kept, sound if missing else None)
        except MetricsError as error:
            return _Heard(id, facts, str(error).removeprefix(f"{path} ").removeprefix(f"{id} "))

    def _too_few_frames(self, sound: Sound | None, kept: Mapping[str, Vectors]) -> str | None:
        for name in self._request.two_frames:
            encoder = self._request.encoders[name]
            if name in kept:
                frames = len(kept[name])
            elif sound is not None and encoder.one_frame and encoder.listening is not None:
                frames = len(encoder.listening.windows(sound))
            else:  # known when it is embedded
                continue
            if frames < 2:
                return f"too short for per-item-fad: 1 frame of {name}, 2 are needed; leave that metric or embedder out"
        return None

    def _read(self, id: str, path: Path) -> tuple[Facts, Sound]:
        began = time.time_ns()
        before = stat_of(path) if path.is_file() else None
        sound = read_sound(path, id)
        facts = Facts.of(sound)
        if self._index is not None and before is not None:
            self._index.note(path, before, began, facts)
        return facts, sound

    def _kept(self, digest: str) -> dict[str, Vectors]:
        found = {name: store.get(digest) for name, store in self._stores.items()}
        return {name: vectors for name, vectors in found.items() if vectors is not None}

    def _take(self, heard: _Heard) -> None:
        if heard.fault is not None or heard.facts is None:
            self._made.faults[heard.id] = heard.fault or "unreadable"
            if self._on_bad == "stop":
                self._waiting.clear()
            return
        self._made.facts[heard.id] = heard.facts
        if self._on_bad == "stop" and self._made.faults:
            return
        for name, vectors in heard.kept.items():
            self._keep(name, heard.id, vectors)
        if heard.sound is not None:
            self._waiting.append(heard)

    def _full(self) -> bool:
        seconds = sum(heard.sound.duration_s for heard in self._waiting if heard.sound is not None)
        return len(self._waiting) >= _BATCH or seconds >= _BATCH_S

    def _embed_waiting(self) -> None:
        made = self._in_one_pass()
        for name, encoder in self._request.encoders.items():
            fresh = [heard for heard in self._waiting if name not in heard.kept]
            rest = [heard for heard in fresh if (name, heard.id) not in made]
            for heard, vectors in zip(rest, encoder.encode(_sounds(rest)) if rest else [], strict=True):
                made[name, heard.id] = vectors
            for heard in fresh:
                vectors = made.pop((name, heard.id))
                bad = int(np.count_nonzero(~np.isfinite(vectors).all(axis=1)))
                if bad:
                    raise MetricsError(f"{name} makes NaN or infinity of {self._files[heard.id]} in {bad} frames")
                assert heard.facts is not None
                if name in self._stores:
                    self._stores[name].put(heard.facts.digest, vectors)
                self._keep(name, heard.id, vectors)
        self._waiting.clear()

    def _in_one_pass(self) -> dict[tuple[str, str], Vectors]:
        """Embeddings and logits of sounds of which one network is to give both."""
        made: dict[tuple[str, str], Vectors] = {}
        encoders = self._request.encoders
        for first, embeds in encoders.items():
            for second, classifies in encoders.items():
                if embeds.both is None or classifies is embeds or classifies.source is not embeds.source:
                    continue
                fresh = [heard for heard in self._waiting if not {first, second} & heard.kept.keys()]
                found = embeds.both(_sounds(fresh)) if fresh else ([], [])
                for heard, vectors, logits in zip(fresh, *found, strict=True):
                    made[first, heard.id], made[second, heard.id] = vectors, logits
        return made

    def _keep(self, name: str, id: str, vectors: Vectors) -> None:
        if name in self._made.rows:
            self._made.rows[name][id] = vectors
        if name in self._open or name in self._made.items:
            moments = EmbeddingStats.of(vectors, self._request.encoders[name].protocol)
            for kept in (self._open.get(name), self._made.items.get(name)):
                if kept is not None:
                    kept[id] = moments

    def _close(self, finished: list[int], blocks: Mapping[int, Sequence[str]]) -> None:
        """Join the moments of the items of finished blocks."""
        for name, items in self._open.items():
            for number in finished:
                parts = [items.pop(id) for id in blocks[number] if id in items]
                if parts:
                    self._made.blocks[name][number] = EmbeddingStats.joined(parts)
        finished.clear()


def _sounds(waiting: Sequence[_Heard]) -> list[Sound]:
    return [heard.sound for heard in waiting if heard.sound is not None]


def _in_order(work: Callable[[str], _Heard], ids: Sequence[str], workers: int) -> Iterator[_Heard]:
    """What `work` makes of the ids, in their order, by threads that are at most a few ids ahead."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    ahead: deque[Future[_Heard]] = deque()
    try:
        for id in ids:
            ahead.append(pool.submit(work, id))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
