"""What is wrong with a set of sounds, found by the same decode that embeds them; nothing is scored before it is known.

Errors: the item cannot be scored, or not as asked. They stop the command, all of them listed at once, or are left out,
counted and named ("skip").

    unreadable     no sound file, damaged, cut off, or a video without sound
    empty          no samples
    not finite     NaN or infinite samples: one of them spoils the statistics of a whole set
    silent         peak below one step of 16 bits: every embedder makes something of it, and none of it means anything
    too short      below 0.1 s, or shorter than the way of listening allows
    unpaired       no caption, image, factors or reference sound of its id, where a metric needs one

Warnings: the number is what it is, but it may not mean what one thinks. They are printed and recorded.

    clipped        three or more samples in a row at full scale
    DC             a channel whose mean is above 0.01
    duplicates     the same sound twice in a set (a collapsed generator makes them, so dropping them would flatter it),
                   or in both sets (FAD of a set that leaked is too low)
    mixed          several rates, or several numbers of channels, within a set or between the two
    unequal sizes  bias of FAD and its relatives depends on the number of items
    passed over    files of a suffix that is not read: is a part of the set among them?
    same set       one set given for two sides, which only checks the tool
    not audited    an `.npz` that holds no facts of its sounds, so that nothing of this can be said of it
    unused         captions or reference sounds that no generated sound answers: is the set complete?
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sound import Samples, Sound, passed_over

VERSION = 1
OnBad = Literal["stop", "skip"]
CLIPPED_RUN = 3
DC_MEAN = 0.01
NAMED = 20
_FULL_SCALE = 1 - 2.0**-15  # the largest 16-bit sample


@dataclass(frozen=True)
class Facts:
    """What one decode tells of a file: `clipped` samples, largest absolute mean of a channel, and why it cannot be
    scored, if it cannot."""

    digest: str
    rate_hz: int
    channels: int
    samples: int
    clipped: int
    dc: float
    fault: str | None

    @classmethod
    def of(cls, sound: Sound) -> Facts:
        """Facts of a sound that was read."""
        channels, samples = sound.channels.shape
        fault = sound.fault()
        clipped, dc = (0, 0.0) if fault is not None else (clipped_samples(sound.channels), _dc(sound.channels))
        return cls(sound.digest(), sound.rate_hz, channels, samples, clipped, dc, fault)


def clipped_samples(channels: Samples) -> int:
    """How many samples lie in runs of three or more at full scale, of one sign, in (channels, time)."""
    count = 0
    for channel in channels:
        if float(np.abs(channel).max()) < _FULL_SCALE:  # nearly always
            continue
        for at_limit in (channel >= _FULL_SCALE, channel <= -_FULL_SCALE):
            edges = np.flatnonzero(np.diff(np.concatenate([[False], at_limit, [False]]).astype(np.int8)))
            runs = edges[1::2] - edges[::2]
            count += int(runs[runs >= CLIPPED_RUN].sum())
    return count


def _dc(channels: Samples) -> float:
    return float(np.abs(channels.mean(axis=1, dtype=np.float64)).max())


@dataclass(frozen=True)
class AuditedSet:
    """A set of sounds after its decode: facts of the usable files, and faults of the others, both by id. Of an `.npz`,
    the facts noted when it was made, and no files."""

    path: Path
    files: Mapping[str, Path]
    facts: Mapping[str, Facts]
    faults: Mapping[str, str]

    def skipped(self) -> dict[str, str]:
        """Faults by path."""
        return {str(self.files[id]): fault for id, fault in self.faults.items()}


@dataclass(frozen=True)
class Finding:
    """One kind of warning: `said` in one line, and the ids it is about."""

    kind: str
    said: str
    ids: tuple[str, ...] = field(default=())

    def record(self) -> dict[str, Any]:
        """The finding as JSON-ready values."""
        return {"kind": self.kind, "said": self.said, "ids": list(self.ids)}


def require_usable(sets: Sequence[AuditedSet], on_bad: OnBad) -> None:
    """Raise MetricsError that lists every fault of all sets, unless they may be left out and something remains."""
    told = []
    for each in sets:
        if each.faults and (on_bad == "stop" or not each.facts):
            remedy = "mend them, or leave them out with --on-bad skip" if each.facts else "none is left to score"
            of_all = f"{len(each.faults)} of {counted(len(each.files), 'file')} in {each.path}"
            said = f"{of_all} cannot be scored ({remedy}): "
            told.append(said + named([f"{path}: {fault}" for path, fault in each.skipped().items()], NAMED, "; "))
    if told:
        raise MetricsError("; ".join(told))


def findings(sets: Sequence[AuditedSet]) -> list[Finding]:
    """Warnings about sets of sounds: each by itself, then the first two side by side."""
    found = [finding for each in sets for finding in _within(each)]
    return found + (_between(sets[0], sets[1]) if len(sets) > 1 and all(each.facts for each in sets[:2]) else [])


def same_sets(sides: Mapping[str, Path]) -> list[Finding]:
    """Warnings of one set given for several sides, by the names of the sides."""
    by_place: dict[Path, list[str]] = {}
    for side, path in sides.items():
        by_place.setdefault(path.resolve(), []).append(side)
    return [
        Finding("same set", f"{sides[names[0]]} is given as {' and as '.join(names)}: it is scored against itself")
        for names in by_place.values()
        if len(names) > 1
    ]


def _within(each: AuditedSet) -> list[Finding]:
    facts, found = each.facts, list[Finding]()
    if not facts and each.path.suffix.lower() == ".npz":
        said = f"{each.path} holds no facts of its sounds: make it anew by clipsonic-metrics embed to have it compared"
        return [Finding("not audited", said)]
    others = passed_over(each.path)
    if others:
        kinds = ", ".join(f"{count} of suffix {suffix}" for suffix, count in sorted(others.items()))
        found.append(Finding("passed over", f"{each.path}: files that are not read as sounds: {kinds}"))
    clipped = [id for id, fact in facts.items() if fact.clipped]
    if clipped:
        found.append(_of_items("clipped", each, clipped, "clipped: three or more samples in a row at full scale"))
    offset = [id for id, fact in facts.items() if fact.dc > DC_MEAN]
    if offset:
        worst = max(facts[id].dc for id in offset)
        found.append(_of_items("DC", each, offset, f"off zero: mean up to {worst:.3f}, above {DC_MEAN:g}"))
    copies = _same_digest([(id, fact.digest) for id, fact in facts.items()])
    if copies:
        groups = [" = ".join(ids) for ids in copies]
        more = sum(map(len, copies)) - len(copies)
        verb = "is a copy of another" if more == 1 else "are copies of others"
        said = f"{each.path}: {counted(more, 'sound')} {verb}: {named(groups)}"
        found.append(Finding("duplicates", said, tuple(id for ids in copies for id in ids)))
    for kind, values in (("rates", [f"{fact.rate_hz} Hz" for fact in facts.values()]), ("channels", _widths(each))):
        counts = Counter(values)
        if len(counts) > 1:
            parts = ", ".join(f"{count} of {value}" for value, count in counts.most_common())
            found.append(Finding(f"mixed {kind}", f"{each.path} mixes {kind}: {parts}"))
    return found


def _between(one: AuditedSet, other: AuditedSet) -> list[Finding]:
    found = []
    rates = [{fact.rate_hz for fact in each.facts.values()} for each in (one, other)]
    if rates[0] != rates[1] and all(len(each) == 1 for each in rates):
        said = f"{one.path} is of {min(rates[0])} Hz and {other.path} of {min(rates[1])} Hz"
        found.append(Finding("mixed rates", f"{said}: what the lower rate cannot hold tells them apart"))
    theirs = {fact.digest: id for id, fact in other.facts.items()}
    both = [id for id, fact in one.facts.items() if fact.digest in theirs]
    if both and one.path != other.path:
        pairs = [f"{id} = {theirs[one.facts[id].digest]}" for id in both]
        said = f"{counted(len(both), 'sound')} {_are(both)} in both {one.path} and {other.path}: {named(pairs)}"
        found.append(Finding("duplicates", said, tuple(both)))
    if len(one.facts) != len(other.facts):
        sizes = f"{one.path} has {counted(len(one.facts), 'sound')} and {other.path} {len(other.facts)}"
        found.append(Finding("unequal sizes", f"{sizes}: compare systems at equal numbers of items only"))
    return found


def _of_items(kind: str, each: AuditedSet, ids: Sequence[str], said: str) -> Finding:
    of_all = f"{each.path}: {len(ids)} of {counted(len(each.facts), 'sound')}"
    return Finding(kind, f"{of_all} {_are(ids)} {said}: {named(ids)}", tuple(ids))


def _are(ids: Sequence[str]) -> str:
    return "is" if len(ids) == 1 else "are"


def _same_digest(items: Iterable[tuple[str, str]]) -> list[list[str]]:
    by_digest: dict[str, list[str]] = {}
    for id, digest in items:
        by_digest.setdefault(digest, []).append(id)
    return [ids for ids in by_digest.values() if len(ids) > 1]


def _widths(each: AuditedSet) -> list[str]:
    return [counted(fact.channels, "channel") for fact in each.facts.values()]


def counted(number: int, what: str) -> str:
    """A number of things: "1 file", "2 files"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def named(names: Sequence[str], most: int = 5, between: str = ", ") -> str:
    """The names in one line; beyond `most` of them, how many more there are."""
    more = f"{between}and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more
