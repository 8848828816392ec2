"""Scores of one system, and differences of two, from embeddings.

The unit is the item. Several seeds of one item are averaged within it before anything is resampled: seeds are not
items. For set metrics (FAD, KAD) all seeds and windows of an item are its frames. A metric that cannot be computed
(no captions, too few items) is absent, with the reason; it is never a number that stands for "none".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from clipsonic_benchmarks.embed import Heard, Vectors
from clipsonic_metrics import (
    Difference,
    MetricsError,
    Score,
    clap_score,
    clip_score,
    compare_scores,
    factor_accuracy,
    fad,
    kad,
    paired_bootstrap_fad,
    retrieval,
)
from clipsonic_metrics.uncertainty import mean_interval

SEED: Final = 0
"""Seed of every resampling, so that the same sounds always give the same interval."""
RETRIEVED: Final = (1, 10)

Verdict = Literal["better", "worse", "inconclusive"]


@dataclass(frozen=True, eq=False)
class Target:
    """What sounds are scored against: the reference set's embeddings, and by item id captions, frames and factors.

    self_reference: systems whose sounds are the reference set itself, and so have no distance from it.
    """

    reference: list[Vectors]
    captions: Mapping[str, Vectors]
    frames: Mapping[str, Vectors]
    factors: Mapping[str, Mapping[str, int]]
    protocols: Mapping[str, str]
    self_reference: tuple[str, ...] = ()

    @cached_property
    def reference_digest(self) -> str:
        """Which reference set it is: SHA-256 of its embeddings, 12 digits."""
        return hashlib.sha256(b"".join(np.ascontiguousarray(rows).tobytes() for rows in self.reference)).hexdigest()[
            :12
        ]


@dataclass(frozen=True, eq=False)
class Sounds:
    """Sounds of one system: item ids, seeds, and what the encoders made of them, item by item, seeds within items."""

    items: tuple[str, ...]
    seeds: tuple[int, ...]
    heard: Heard

    def frames(self) -> list[Vectors]:
        """All CLAP frames of each item."""
        per = len(self.seeds)
        return [np.concatenate(self.heard.clap[start : start + per]) for start in range(0, len(self.heard.clap), per)]

    def rows(self, ids: Sequence[str], seed: int) -> list[int]:
        """Where the sounds of these items and this seed stand."""
        place = {id: index for index, id in enumerate(self.items)}
        return [place[id] * len(self.seeds) + self.seeds.index(seed) for id in ids]

    def only(self, ids: Sequence[str]) -> Sounds:
        """The sounds of some items, in the order of `ids`."""
        rows = np.array([self.rows([id], seed)[0] for id in ids for seed in self.seeds], dtype=np.int64)
        heard = Heard(
            [self.heard.clap[row] for row in rows] if self.heard.clap else [],
            [self.heard.wav2clip[row] for row in rows] if self.heard.wav2clip else [],
            {factor: logits[rows] for factor, logits in self.heard.factors.items()},
        )
        return Sounds(tuple(ids), self.seeds, heard)


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of a system; `per_sound` holds, by metric and (item, seed), what a sound contributed to a mean."""

    scores: list[Score] = field(default_factory=list)
    per_sound: dict[str, dict[tuple[str, int], float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ScoreTask:
    """Score one system; `label` is its name."""

    label: str
    sounds: Sounds
    target: Target
    metrics: tuple[str, ...]


def score(task: ScoreTask) -> Scored:
    """All metrics of one system."""
    scored = Scored()
    for metric in task.metrics:
        try:
            if metric in ("fad", "kad") and task.label in task.target.self_reference:
                raise MetricsError("its sounds are the reference set itself")
            _METRICS[metric](task.sounds, task.target, scored)
        except MetricsError as error:
            scored.absent[metric] = str(error)
    return scored


def _fad(sounds: Sounds, target: Target, scored: Scored) -> None:
    protocol = _against_reference(sounds, target)
    scored.scores.append(fad(_reference(target), sounds.frames(), seed=SEED, protocol=protocol))


def _kad(sounds: Sounds, target: Target, scored: Scored) -> None:
    protocol = _against_reference(sounds, target)
    scored.scores.append(kad(_reference(target), sounds.frames(), seed=SEED, protocol=protocol))


def _against_reference(sounds: Sounds, target: Target) -> str:
    """What decides a set metric beside the metric: which reference set, how many items, which embedder."""
    reference = f"{target.reference_digest}:{len(target.reference)}"
    return f"reference:{reference}/items:{len(sounds.items)}/{target.protocols['sound_text']}"


def _reference(target: Target) -> list[Vectors]:
    if not target.reference:
        raise MetricsError("no real sounds to compare with")
    return target.reference


def _clap(sounds: Sounds, target: Target, scored: Scored) -> None:
    ids = _with(sounds, target.captions, "caption")
    text = np.stack([target.captions[id] for id in ids])
    protocol = target.protocols["sound_text"]

    def of(seed: int) -> Score:
        audio = [sounds.heard.clap[row] for row in sounds.rows(ids, seed)]
        return clap_score(audio, text, seed=SEED, protocol=protocol)

    _mean(sounds, ids, of, scored)


def _clip(sounds: Sounds, target: Target, scored: Scored) -> None:
    ids = _with(sounds, target.frames, "frame")
    image = np.stack([target.frames[id] for id in ids])
    protocol = f"{target.protocols['sound_image']}/{target.protocols['image']}/middle-frame"

    def of(seed: int) -> Score:
        audio = [sounds.heard.wav2clip[row] for row in sounds.rows(ids, seed)]
        return clip_score(audio, image, seed=SEED, protocol=protocol)

    _mean(sounds, ids, of, scored)


def _accuracy(sounds: Sounds, target: Target, scored: Scored) -> None:
    ids = _with(sounds, target.factors, "factors")
    truth = {name: np.array([target.factors[id][name] for id in ids]) for name in target.factors[ids[0]]}
    protocol = target.protocols["probe"]
    for name, labels in truth.items():

        def of(seed: int, name: str = name, labels: NDArray[np.int64] = labels) -> Score:
            logits = sounds.heard.factors[name][sounds.rows(ids, seed)]
            return factor_accuracy({name: logits}, {name: labels}, protocol=protocol)[name]

        _mean(sounds, ids, of, scored)


def _retrieval(sounds: Sounds, target: Target, scored: Scored) -> None:
    ids = _with(sounds, target.captions, "caption")
    text = np.stack([target.captions[id] for id in ids])
    protocol = f"captions:{len(ids)}/{target.protocols['sound_text']}"
    for k in RETRIEVED:
        if k > len(ids):
            scored.absent[f"retrieval@{k}"] = f"{len(ids)} items, {k} needed"
            continue

        def of(seed: int, k: int = k) -> Score:
            audio = [sounds.heard.clap[row] for row in sounds.rows(ids, seed)]
            return retrieval(audio, text, k=(k,), protocol=protocol)[k]

        _mean(sounds, ids, of, scored)


def _with(sounds: Sounds, known: Mapping[str, object], what: str) -> list[str]:
    ids = [id for id in sounds.items if id in known]
    if not ids:
        raise MetricsError(f"no item has a {what}" if what != "factors" else "no item has known factors")
    return ids


def _mean(sounds: Sounds, ids: Sequence[str], of: Callable[[int], Score], scored: Scored) -> None:
    """Append a mean-type score, seeds averaged within items, and keep what each sound contributed."""
    by_seed = {seed: of(seed) for seed in sounds.seeds}
    first = by_seed[sounds.seeds[0]]
    contributions: dict[tuple[str, int], float] = {}
    for seed, one in by_seed.items():
        assert one.per_item is not None
        contributions |= {(id, seed): float(value) for id, value in zip(ids, one.per_item, strict=True)}
    scored.per_sound[first.metric] = contributions
    if len(by_seed) > 1:
        per_item = np.array([[contributions[id, seed] for seed in sounds.seeds] for id in ids]).mean(axis=1)
        interval = mean_interval(per_item, seed=SEED)
        method = f"{interval.method}, {len(by_seed)} seeds averaged within an item"
        value = float(per_item.mean())
        first = replace(first, value=value, low=interval.low, high=interval.high, method=method, per_item=per_item)
    scored.scores.append(replace(first, ids=tuple(ids)))


_METRICS: Final[dict[str, Callable[[Sounds, Target, Scored], None]]] = {
    "fad": _fad,
    "kad": _kad,
    "clap-score": _clap,
    "clip-score": _clip,
    "factor-accuracy": _accuracy,
    "retrieval": _retrieval,
}


@dataclass(frozen=True, eq=False)
class CompareTask:
    """Differences of two systems (a minus b), in some metrics, over the items both answered."""

    a: str
    b: str
    sounds: tuple[Sounds, Sounds]
    scored: tuple[Scored, Scored]
    target: Target
    metrics: tuple[str, ...]


def compare(task: CompareTask) -> tuple[list[Difference], dict[str, str]]:
    """Paired differences, and the metrics that have none, with the reason."""
    differences: list[Difference] = []
    absent: dict[str, str] = {}
    for metric in task.metrics:
        try:
            differences.append(_fad_difference(task) if metric == "fad" else _mean_difference(task, metric))
        except MetricsError as error:
            absent[metric] = str(error)
    return differences, absent


def _fad_difference(task: CompareTask) -> Difference:
    theirs = set(task.sounds[1].items)
    common = [id for id in task.sounds[0].items if id in theirs]
    a, b = (sounds.only(common).frames() for sounds in task.sounds)
    return paired_bootstrap_fad(_reference(task.target), a, b, seed=SEED)


def _mean_difference(task: CompareTask, metric: str) -> Difference:
    a, b = (_score_of(scored, metric) for scored in task.scored)
    theirs = set(b.ids or ())
    return compare_scores(a, b, seed=SEED, on=[id for id in a.ids or () if id in theirs])


def _score_of(scored: Scored, metric: str) -> Score:
    for one in scored.scores:
        if one.metric == metric:
            return one
    raise MetricsError(f"not both systems have a {metric}")


def verdict(difference: Difference, direction: str) -> Verdict:
    """Whether system a of a difference is better than b, as far as the interval tells."""
    if not difference.excludes_zero:
        return "inconclusive"
    return "better" if (difference.value > 0) == (direction == "higher") else "worse"
