"""How each metric is computed from files: what it hears, with which interface, and what it pairs by id.

The metrics themselves are functions over arrays, in scores/.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.audit import named
from clipsonic_metrics.embedder import ImageEmbedder, SoundClassifier, SoundEmbedder, SoundProbe, TextEmbedder
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.images import RULE as IMAGE_RULE
from clipsonic_metrics.score import Score
from clipsonic_metrics.scores.clap_score import clap_score
from clipsonic_metrics.scores.clip_score import clip_score
from clipsonic_metrics.scores.factor_accuracy import factor_accuracy
from clipsonic_metrics.scores.fad import fad
from clipsonic_metrics.scores.fad_infinity import BLOCKS, fad_infinity
from clipsonic_metrics.scores.inception_score import inception_score
from clipsonic_metrics.scores.kad import kad
from clipsonic_metrics.scores.kid import kid
from clipsonic_metrics.scores.kl import kl_generated_reference, kl_reference_generated
from clipsonic_metrics.scores.memorisation import Memorisation, memorisation
from clipsonic_metrics.scores.per_item_fad import per_item_fad
from clipsonic_metrics.scores.prdc import K, prdc
from clipsonic_metrics.scores.retrieval import retrieval
from clipsonic_metrics.scores.vendi import vendi
from clipsonic_metrics.sets import SetOfEmbeddings
from clipsonic_metrics.spaces import pair_protocol
from clipsonic_metrics.tables import read_table
from clipsonic_metrics.workspace import Hears, Keep, Workspace

RETRIEVAL_K = (1, 10)
Side = Literal["generated", "reference", "training"]


@dataclass(frozen=True)
class Inputs:
    """Where things are. `generated`, `reference` and `training` are folders, manifests (CSV of id,file), or `.npz`
    files of `clipsonic-metrics embed`."""

    generated: Path
    reference: Path | None = None
    training: Path | None = None
    prompts: Path | None = None
    images: Path | None = None
    factors: Path | None = None

    def path(self, side: Side) -> Path:
        """The path of a side that was given."""
        path: Path | None = getattr(self, side)
        assert path is not None
        return path


@dataclass(frozen=True)
class Task:
    """One metric by one embedder; `pictures` is the embedder of images where there is one."""

    metric: str
    embedder: str
    pictures: str = ""


@dataclass(frozen=True)
class Context:
    """What a metric is computed from."""

    task: Task
    hears: Hears
    inputs: Inputs
    work: Workspace

    def set(self, side: Side) -> SetOfEmbeddings:
        """A side as the task's embedder hears it."""
        return self.work.set(self.inputs.path(side), self.task.embedder, self.hears)

    @property
    def generated(self) -> SetOfEmbeddings:
        return self.set("generated")

    @property
    def seed(self) -> int:
        return self.work.seed


@dataclass(frozen=True)
class Way:
    """How a metric is computed from files: what is heard, which interface the embedder must have, what is kept of the
    reference and of the generated sounds, which inputs must have a partner for every generated sound, and the `fewest`
    generated and reference sounds that it can be computed of (None: of both)."""

    compute: Callable[[Context], list[Score]]
    hears: Hears = "embeddings"
    interface: type = SoundEmbedder
    reference: Keep | None = None
    generated: Keep = "rows"
    pairs: tuple[Literal["reference", "prompts", "images", "factors"], ...] = ()
    fewest: int = 1
    fewest_references: int | None = None


def _fad(context: Context) -> list[Score]:
    made = context.generated
    return [fad(context.set("reference").stats, made.stats_of_items, seed=context.seed, protocol=made.protocol)]


def _fad_infinity(context: Context) -> list[Score]:
    made = context.generated
    return [
        fad_infinity(context.set("reference").stats, made.stats_of_items, seed=context.seed, protocol=made.protocol)
    ]


def _per_item_fad(context: Context) -> list[Score]:
    made, reference = context.generated, context.set("reference").stats
    return [per_item_fad(reference, made.stats_of_items, seed=context.seed, protocol=made.protocol)]


def _kad(context: Context) -> list[Score]:
    made = context.generated
    return [kad(context.set("reference").items, made.items, seed=context.seed, protocol=made.protocol)]


def _kid(context: Context) -> list[Score]:
    made = context.generated
    return [kid(context.set("reference").items, made.items, seed=context.seed, protocol=made.protocol)]


def _prdc(context: Context) -> list[Score]:
    made, reference = context.generated, context.set("reference")

    def compute() -> dict[str, Score]:
        return prdc(reference.items, made.items, seed=context.seed, protocol=made.protocol)

    return [context.work.once(("prdc", context.task.embedder), compute)[context.task.metric]]


def _vendi(context: Context) -> list[Score]:
    made = context.generated
    return [vendi(made.items, seed=context.seed, protocol=made.protocol)]


def _memorisation(context: Context) -> list[Score]:
    return [_memorised(context).score]


def _memorised(context: Context) -> Memorisation:
    training, reference, made = context.set("training"), context.set("reference"), context.generated

    def compute() -> Memorisation:
        return memorisation(training.items, reference.items, made.items, protocol=made.protocol)

    return context.work.once(("memorisation", context.task.embedder), compute)


def nearest_training(context: Context) -> list[dict[str, Any]]:
    """For each generated sound of a memorisation check, the id of the nearest training sound and the cosine to it."""
    found, training = _memorised(context), list(context.set("training").vectors)
    rows = zip(context.generated.vectors, found.nearest, found.cosine, strict=True)
    return [{"id": id, "training": training[row], "cosine": float(cosine)} for id, row, cosine in rows]


def _kl(context: Context) -> list[Score]:
    reference, made = context.set("reference"), context.generated
    ids = [id for id in made.vectors if id in reference.vectors]  # a sound whose reference was left out has no pair
    if not ids:
        lost = f"the reference of all {len(made.vectors)} sounds was left out: {named(list(made.vectors))}"
        raise MetricsError(f"{context.task.metric}: {lost}; mend the reference")
    compute = {"kl-reference-generated": kl_reference_generated, "kl-generated-reference": kl_generated_reference}
    pairs = [reference.vectors[id] for id in ids], [made.vectors[id] for id in ids]
    score = compute[context.task.metric](*pairs, seed=context.seed, protocol=made.protocol)
    dropped = len(made.vectors) - len(ids)
    return [replace(score, ids=tuple(ids), extra={**score.extra, "dropped_pairs": dropped} if dropped else score.extra)]


def _inception_score(context: Context) -> list[Score]:
    made = context.generated
    return [inception_score(made.items, seed=context.seed, protocol=made.protocol)]


def _clap_score(context: Context) -> list[Score]:
    made = context.generated
    text = context.work.texts(_captions(context), context.task.embedder)
    return [clap_score(made.items, text, seed=context.seed, protocol=made.protocol)]


def _retrieval(context: Context) -> list[Score]:
    made = context.generated
    text = context.work.texts(_captions(context), context.task.embedder)
    possible = [k for k in RETRIEVAL_K if k <= len(made.vectors)]
    return list(retrieval(made.items, text, k=possible, protocol=made.protocol).values())


def _captions(context: Context) -> list[str]:
    assert context.inputs.prompts is not None
    table = read_table(context.inputs.prompts, ["caption"])
    return [table[id]["caption"] for id in context.generated.vectors]


def _clip_score(context: Context) -> list[Score]:
    made, name = context.generated, context.task.pictures
    pictures: ImageEmbedder = context.work.embedder(name, ImageEmbedder)
    assert context.inputs.images is not None
    images = context.work.images(context.inputs.images, list(made.vectors), name)
    protocol = f"{pair_protocol(context.work.embedder(context.task.embedder), pictures)}/{IMAGE_RULE}"
    return [clip_score(made.items, images, seed=context.seed, protocol=protocol)]


def _factor_accuracy(context: Context) -> list[Score]:
    made, source = context.generated, context.inputs.factors
    assert source is not None
    probe: SoundProbe = context.work.embedder(context.task.embedder, SoundProbe)
    table = read_table(source, probe.factors)
    truth: dict[str, NDArray[np.int64]] = {}
    for factor, levels in probe.factors.items():
        given = [table[id][factor] for id in made.vectors]
        unknown = sorted(set(given) - set(levels))
        if unknown:
            raise MetricsError(f"{source}: {factor} {unknown[0]!r} is unknown; expected {', '.join(levels)}")
        truth[factor] = np.array([levels.index(level) for level in given])
    logits = np.stack([windows.mean(axis=0) for windows in made.items])
    ends = np.cumsum([len(levels) for levels in probe.factors.values()])[:-1]
    by_factor = dict(zip(probe.factors, np.split(logits, ends, axis=1), strict=True))
    return list(factor_accuracy(by_factor, truth, protocol=made.protocol).values())


WAYS: dict[str, Way] = {
    "fad": Way(_fad, reference="moments", generated="item-moments"),
    "fad-infinity": Way(
        _fad_infinity, reference="moments", generated="item-moments", fewest=2 * BLOCKS, fewest_references=1
    ),
    "per-item-fad": Way(_per_item_fad, reference="moments", generated="item-covariances"),
    "kad": Way(_kad, reference="rows", fewest=2),
    "kid": Way(_kid, reference="rows", fewest=2),
    **{name: Way(_prdc, reference="rows", fewest=K + 1) for name in ("precision", "recall", "density", "coverage")},
    "vendi": Way(_vendi),
    "memorisation": Way(_memorisation, reference="rows"),
    "kl-reference-generated": Way(_kl, "logits", SoundClassifier, reference="rows", pairs=("reference",)),
    "kl-generated-reference": Way(_kl, "logits", SoundClassifier, reference="rows", pairs=("reference",)),
    "inception-score": Way(_inception_score, "logits", SoundClassifier),
    "clap-score": Way(_clap_score, interface=TextEmbedder, pairs=("prompts",)),
    "retrieval": Way(_retrieval, interface=TextEmbedder, pairs=("prompts",)),
    "clip-score": Way(_clip_score, pairs=("images",)),
    "factor-accuracy": Way(_factor_accuracy, interface=SoundProbe, pairs=("factors",)),
}
"""What `score_folder` computes. The gap is not among them: it belongs to encoders, not to generated sounds."""
