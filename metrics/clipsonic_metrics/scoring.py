"""Score folders: read sounds, captions, images and factors, embed them, pair them by id, compute, and report.

What decides a number ends up in the report: protocols, digests of the sounds on both sides, and every file left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.embedder import ImageEmbedder, Picture, SoundEmbedder, SoundProbe, TextEmbedder, Vectors
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedding import Advance, OnBad, SetOfEmbeddings, embed_folder, load_embeddings
from clipsonic_metrics.errors import MetricsError, NotComparable
from clipsonic_metrics.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, read_pictures
from clipsonic_metrics.images import RULE as IMAGE_RULE
from clipsonic_metrics.score import Score
from clipsonic_metrics.scores import METRICS, check_metrics
from clipsonic_metrics.scores.clap_score import clap_score
from clipsonic_metrics.scores.clip_score import clip_score
from clipsonic_metrics.scores.factor_accuracy import factor_accuracy
from clipsonic_metrics.scores.fad import fad
from clipsonic_metrics.scores.kad import kad
from clipsonic_metrics.scores.retrieval import retrieval
from clipsonic_metrics.sound import discover
from clipsonic_metrics.tables import read_table, require_ids

SCHEMA = 1
RETRIEVAL_K = (1, 10)
_PICTURES = 64

StartProgress = Callable[[str], Advance]


@dataclass(frozen=True)
class Inputs:
    """Where things are. `reference` and `generated` are folders, or `.npz` files of `clipsonic-metrics embed`."""

    generated: Path
    reference: Path | None = None
    prompts: Path | None = None
    images: Path | None = None
    factors: Path | None = None


@dataclass(frozen=True)
class Report:
    """Scores of one set of sounds, and what they were computed from."""

    scores: Sequence[Score]
    ids: Sequence[str]
    generated: Mapping[str, Any]
    reference: Mapping[str, Any] | None = field(default=None)

    def record(self) -> dict[str, Any]:
        """The report as JSON-ready values, `items` holding what each item contributed to the metrics that are means."""
        means = [(score.metric, score.per_item) for score in self.scores if score.per_item is not None]
        items = [{"id": id} | {name: float(each[row]) for name, each in means} for row, id in enumerate(self.ids)]
        return {
            "schema": SCHEMA,
            "scores": [score.record() for score in self.scores],
            "generated": dict(self.generated),
            "reference": None if self.reference is None else dict(self.reference),
            "items": items,
        }


class Workspace:
    """Embedders and embedded sets of one command, each made once whatever the number of metrics."""

    def __init__(
        self,
        *,
        cache: Path | None = None,
        weights: Path | None = None,
        on_bad: OnBad = "stop",
        seed: int = 0,
        progress: StartProgress | None = None,
    ) -> None:
        self.seed, self._weights = seed, weights
        self._cache, self._on_bad, self._progress = cache, on_bad, progress or _quiet
        self._sets: dict[tuple[Path, str], SetOfEmbeddings] = {}
        self._embedders: dict[str, Any] = {}

    def embedder(self, name: str, interface: type) -> Any:
        """The embedder of that name.

        Raises:
            MetricsError: unknown, or one that does not embed what `interface` asks for.
        """
        if name not in self._embedders:
            self._embedders[name] = load_embedder(name, self._weights)
        if not isinstance(self._embedders[name], interface):
            raise MetricsError(f"embedder {name} is no {interface.__name__}; choose another (clipsonic-metrics list)")
        return self._embedders[name]

    def sounds(self, path: Path, name: str) -> SetOfEmbeddings:
        """The sounds below a folder, or the `.npz` file, embedded by that embedder."""
        if (path, name) not in self._sets:
            embedder = self.embedder(name, SoundEmbedder)
            if path.suffix == ".npz":
                made = load_embeddings(path)
                if made.protocol != embedder.protocol:
                    raise NotComparable(f"{path} was made under {made.protocol!r}, and {name} is {embedder.protocol!r}")
            else:
                show = self._progress(f"{path.name or path} by {name}")
                made = embed_folder(path, embedder, cache=self._cache, on_bad=self._on_bad, advance=show)
            self._sets[path, name] = made
        return self._sets[path, name]

    def texts(self, captions: Sequence[str], name: str) -> Vectors:
        """Captions embedded, each different one once, so that equal captions have equal vectors."""
        embedder: TextEmbedder = self.embedder(name, TextEmbedder)
        different = sorted(set(captions))
        vectors = embedder.embed_texts(different)
        row = {caption: index for index, caption in enumerate(different)}
        return np.asarray(vectors[[row[caption] for caption in captions]])

    def images(self, folder: Path, ids: Sequence[str], name: str) -> list[Vectors]:
        """Pictures of each id embedded: (frames, dim), one frame for an image, several for a video."""
        embedder: ImageEmbedder = self.embedder(name, ImageEmbedder)
        paths = discover(folder, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
        require_ids(ids, paths, folder)
        show, waiting, counts = self._progress(f"{folder.name or folder} by {name}"), list[Picture](), list[int]()
        made: list[Vectors] = []
        for done, id in enumerate(ids, 1):
            pictures = read_pictures(paths[id])
            waiting += pictures
            counts.append(len(pictures))
            if len(waiting) >= _PICTURES or done == len(ids):  # photographs are large: never hold all of them
                made.append(embedder.embed_images(waiting))
                waiting.clear()
            show(done, len(ids))
        return np.split(np.concatenate(made), np.cumsum(counts)[:-1])


def score_folder(inputs: Inputs, metrics: Sequence[str], work: Workspace, *, embedder: str | None = None) -> Report:
    """Compute the metrics of those names; `embedder` takes the place of the default where sounds are compared with
    sounds or captions.

    Raises:
        MetricsError: unknown metric, an input it needs was not given, or anything that reading finds wrong.
    """
    wanted = check_metrics(metrics, _COMPUTE)
    for name in wanted:
        for need in METRICS[name].needs:
            if getattr(inputs, need) is None:
                raise MetricsError(f"metric {name} needs --{need}; give it, or leave {name} out of --metrics")
    scores: list[Score] = []
    first = _sound_embedder(wanted[0], embedder)
    for name in wanted:
        scores += _COMPUTE[name](inputs, work, _sound_embedder(name, embedder))
    generated = work.sounds(inputs.generated, first)
    with_reference = [name for name in wanted if "reference" in METRICS[name].needs]
    reference = None
    if with_reference and inputs.reference is not None:
        reference = _side(inputs.reference, work.sounds(inputs.reference, _sound_embedder(with_reference[0], embedder)))
    return Report(scores, list(generated.vectors), _side(inputs.generated, generated), reference)


def _sound_embedder(metric: str, embedder: str | None) -> str:
    replaceable = len(METRICS[metric].embedders) == 1 and metric != "factor-accuracy"
    return embedder if embedder is not None and replaceable else METRICS[metric].embedders[0]


def _side(path: Path, made: SetOfEmbeddings) -> dict[str, Any]:
    record = made.record()
    return {"path": str(path)} | {name: record[name] for name in ("items", "sha256", "skipped")}


def _fad(inputs: Inputs, work: Workspace, name: str) -> list[Score]:
    reference, generated = _both(inputs, work, name)
    return [fad(reference.items, generated.items, seed=work.seed, protocol=generated.protocol)]


def _kad(inputs: Inputs, work: Workspace, name: str) -> list[Score]:
    reference, generated = _both(inputs, work, name)
    return [kad(reference.items, generated.items, seed=work.seed, protocol=generated.protocol)]


def _both(inputs: Inputs, work: Workspace, name: str) -> tuple[SetOfEmbeddings, SetOfEmbeddings]:
    assert inputs.reference is not None
    return work.sounds(inputs.reference, name), work.sounds(inputs.generated, name)


def _clap_score(inputs: Inputs, work: Workspace, name: str) -> list[Score]:
    generated = work.sounds(inputs.generated, name)
    text = work.texts(_captions(inputs, generated), name)
    return [clap_score(generated.items, text, seed=work.seed, protocol=generated.protocol)]


def _retrieval(inputs: Inputs, work: Workspace, name: str) -> list[Score]:
    generated = work.sounds(inputs.generated, name)
    text = work.texts(_captions(inputs, generated), name)
    possible = [k for k in RETRIEVAL_K if k <= len(generated.vectors)]
    return list(retrieval(generated.items, text, k=possible, protocol=generated.protocol).values())


def _captions(inputs: Inputs, generated: SetOfEmbeddings) -> list[str]:
    assert inputs.prompts is not None
    table = read_table(inputs.prompts, ["caption"])
    require_ids(generated.vectors, table, inputs.prompts)
    return [table[id]["caption"] for id in generated.vectors]


def _clip_score(inputs: Inputs, work: Workspace, name: str) -> list[Score]:
    assert inputs.images is not None
    generated = work.sounds(inputs.generated, name)
    image_embedder = METRICS["clip-score"].embedders[1]
    pictures: ImageEmbedder = work.embedder(image_embedder, ImageEmbedder)
    if pictures.space != generated.space:
        raise NotComparable(f"{name} is trained for {generated.space}, and {image_embedder} is {pictures.space}")
    images = work.images(inputs.images, list(generated.vectors), image_embedder)
    protocol = f"{generated.protocol}+{pictures.protocol}/{IMAGE_RULE}"
    return [clip_score(generated.items, images, seed=work.seed, protocol=protocol)]


def _factor_accuracy(inputs: Inputs, work: Workspace, name: str) -> list[Score]:
    assert inputs.factors is not None
    probe: SoundProbe = work.embedder(name, SoundProbe)
    generated = work.sounds(inputs.generated, name)
    table = read_table(inputs.factors, probe.factors)
    require_ids(generated.vectors, table, inputs.factors)
    truth: dict[str, NDArray[np.int64]] = {}
    for factor, levels in probe.factors.items():
        given = [table[id][factor] for id in generated.vectors]
        unknown = sorted(set(given) - set(levels))
        if unknown:
            raise MetricsError(f"{inputs.factors}: {factor} {unknown[0]!r} is unknown; expected {', '.join(levels)}")
        truth[factor] = np.array([levels.index(level) for level in given])
    logits = np.stack([windows.mean(axis=0) for windows in generated.items])
    ends = np.cumsum([len(levels) for levels in probe.factors.values()])[:-1]
    by_factor = dict(zip(probe.factors, np.split(logits, ends, axis=1), strict=True))
    return list(factor_accuracy(by_factor, truth, protocol=generated.protocol).values())


_COMPUTE: dict[str, Callable[[Inputs, Workspace, str], list[Score]]] = {
    "fad": _fad,
    "kad": _kad,
    "clap-score": _clap_score,
    "retrieval": _retrieval,
    "clip-score": _clip_score,
    "factor-accuracy": _factor_accuracy,
}
"""What `score_folder` computes. The gap is not among them: it belongs to encoders, not to generated sounds."""


def _quiet(_: str) -> Advance:
    return lambda done, total: None
