"""Score folders: decide what is to be embedded, pair by id, compute, and report.

What decides a number ends up in the report: protocols, digests of the sounds on all sides, every file left out, and
what the audit warned of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clipsonic_metrics.audit import Finding, counted, findings, named, same_sets
from clipsonic_metrics.embedder import ImageEmbedder, SoundEmbedder
from clipsonic_metrics.errors import MetricsError, NotComparable, NotInProfile
from clipsonic_metrics.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from clipsonic_metrics.npz import load_embeddings
from clipsonic_metrics.score import Score
from clipsonic_metrics.scores import METRICS, check_metrics
from clipsonic_metrics.sets import SetOfEmbeddings
from clipsonic_metrics.sound import discover, find_sounds
from clipsonic_metrics.spaces import UNVERIFIED, is_verified, share_a_space
from clipsonic_metrics.tables import read_table
from clipsonic_metrics.versions import all_versions
from clipsonic_metrics.ways import RETRIEVAL_K, WAYS, Context, Inputs, Side, Task, nearest_training
from clipsonic_metrics.workspace import Workspace

SCHEMA = 2


@dataclass(frozen=True)
class Scored:
    """A score and the embedder that it was computed by."""

    score: Score
    embedder: str

    def record(self) -> dict[str, Any]:
        """Both as JSON-ready values."""
        return self.score.record() | {"embedder": self.embedder}


@dataclass(frozen=True)
class Report:
    """Scores of one set of sounds, and what they were computed from; `sets` by side; `nearest_training` by embedder."""

    scored: Sequence[Scored]
    ids: Sequence[str]
    sets: Mapping[Side, Mapping[str, Any]]
    warnings: Sequence[Finding] = field(default=())
    nearest_training: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """The report as JSON-ready values, `items` holding what each item contributed to the metrics that are means."""
        return {
            "schema": SCHEMA,
            "scores": [each.record() for each in self.scored],
            **{side: self.sets.get(side) for side in ("generated", "reference", "training")},
            "versions": all_versions(),
            "warnings": [each.record() for each in self.warnings],
            "items": self.items(),
            **({"nearest_training": dict(self.nearest_training)} if self.nearest_training else {}),
        }

    def items(self) -> list[dict[str, Any]]:
        """One row for each item; a metric computed by several embedders has a column for each. None where a pair was
        dropped."""
        means = [each for each in self.scored if each.score.per_item is not None]
        names = [each.score.metric for each in means]
        columns = {
            each.score.metric if names.count(each.score.metric) == 1 else f"{each.score.metric} {each.embedder}": each
            for each in means
        }
        values = {name: _by_id(each.score) for name, each in columns.items()}
        return [{"id": id} | {name: of_id.get(id) for name, of_id in values.items()} for id in self.ids]


def _by_id(score: Score) -> dict[str, float]:
    assert score.per_item is not None and score.ids is not None
    return dict(zip(score.ids, map(float, score.per_item), strict=True))


def score_folder(
    inputs: Inputs, metrics: Sequence[str], work: Workspace, *, embedders: Sequence[str] = ()
) -> Report | None:
    """Compute the metrics of those names by each of the embedders that it can use, or by its own where none are named;
    None in a process that does not lead.

    Raises:
        MetricsError: unknown metric, an input it needs was not given, or anything that reading finds wrong.
    """
    wanted = check_metrics(metrics, WAYS)
    for name in wanted:
        for need in METRICS[name].needs:
            if getattr(inputs, need) is None:
                raise MetricsError(f"metric {name} needs --{need}; give it, or leave {name} out of --metrics")
    _require_counts(inputs, wanted)
    tasks = [task for name in wanted for task in _tasks(name, embedders, work)]
    for task in tasks:
        _want(task, inputs, work)
    needs = list(dict.fromkeys(need for name in wanted for need in WAYS[name].pairs))
    work.lack(inputs.generated, lacking(inputs, needs))
    if not work.embed():
        return None
    scored = [Scored(score, task.embedder) for task in tasks for score in _compute(task, inputs, work)]
    first = {side: _first(side, tasks, inputs, work) for side in _sides(tasks)}
    sets = {side: _side(inputs.path(side), made) for side, made in first.items()}
    paths = dict.fromkeys(map(inputs.path, first))
    audited = [work.audited[path] for path in paths if path in work.audited]
    ids = first["generated"].ids
    nearest = {
        task.embedder: nearest_training(_context(task, inputs, work)) for task in tasks if task.metric == "memorisation"
    }
    warnings = same_sets({side: inputs.path(side) for side in first}) + findings(audited) + unused(inputs, needs, ids)
    warnings += _too_few(wanted, len(ids)) + _unverified(tasks, work) + _dropped(scored, ids)
    return Report(scored, ids, sets, warnings, nearest)


def _require_counts(inputs: Inputs, metrics: Sequence[str]) -> None:
    """Raise MetricsError that names every metric for which there are too few sounds, before any is embedded."""
    made, told = len(_ids(inputs.generated)), []
    for name in metrics:
        way = WAYS[name]
        if made < way.fewest:
            told.append(f"{name} needs {way.fewest} generated sounds, {inputs.generated} has {made}")
        least = way.fewest if way.fewest_references is None else way.fewest_references
        if way.reference is not None and (found := len(_ids(inputs.path("reference")))) < least:
            told.append(f"{name} needs {least} reference sounds, {inputs.reference} has {found}")
    if told:
        raise MetricsError(f"{'; '.join(told)}: give more sounds, or leave out of --metrics what cannot be computed")


def _compute(task: Task, inputs: Inputs, work: Workspace) -> list[Score]:
    context = _context(task, inputs, work)
    ids = tuple(context.generated.ids)
    return [
        score if score.per_item is None or score.ids is not None else replace(score, ids=ids)
        for score in WAYS[task.metric].compute(context)
    ]


def _context(task: Task, inputs: Inputs, work: Workspace) -> Context:
    return Context(task, WAYS[task.metric].hears, inputs, work)


def _tasks(metric: str, embedders: Sequence[str], work: Workspace) -> list[Task]:
    """The metric by each of the named embedders that it can use, or by its own."""
    way, own = WAYS[metric], METRICS[metric].embedders
    interfaces = (way.interface,) if way.hears == "logits" else (way.interface, SoundEmbedder)
    able = [name for name in embedders if all(isinstance(work.embedder(name), each) for each in interfaces)]
    if metric == "clip-score":
        pictures = [name for name in embedders if isinstance(work.embedder(name), ImageEmbedder)]
        pairs = [(sound, picture) for sound in able for picture in pictures if _share_a_space(work, sound, picture)]
        if pictures and not pairs:
            said = " and ".join([", ".join(able) or "no embedder of sounds", ", ".join(pictures)])
            raise NotComparable(f"clip-score compares sounds and images in one space, and {said} share none")
        if embedders and not pairs:
            raise MetricsError(
                f"clip-score needs an embedder of sounds and one of images in one space, and {', '.join(embedders)} "
                f"gives none; add the other to --embedder (clipsonic-metrics list), or leave --embedder out"
            )
        return [Task(metric, *pair) for pair in pairs] or [_own_pair(metric, work)]
    if not embedders or (metric == "factor-accuracy" and not able):
        return [Task(metric, own[0])]
    if not able:
        needs = {"logits": "a classifier", "embeddings": f"a {way.interface.__name__}"}[way.hears]
        raise MetricsError(
            f"metric {metric} needs {needs}, and {', '.join(embedders)} is none; add --embedder {own[0]}"
        )
    return [Task(metric, name) for name in able]


def _own_pair(metric: str, work: Workspace) -> Task:
    sound, picture = METRICS[metric].embedders
    try:
        work.embedder(sound)
    except NotInProfile as error:
        raise MetricsError(
            f"metric {metric} is by {sound} and {picture}, which no profile has; compute {metric} by a command of its "
            "own, without --profile"
        ) from error
    if not _share_a_space(work, sound, picture):
        spaces = work.embedder(sound).space, work.embedder(picture).space
        raise NotComparable(f"{sound} is trained for {spaces[0]}, and {picture} is {spaces[1]}")
    return Task(metric, sound, picture)


def _share_a_space(work: Workspace, sound: str, picture: str) -> bool:
    return share_a_space(work.embedder(sound), work.embedder(picture))


def _unverified(tasks: Sequence[Task], work: Workspace) -> list[Finding]:
    """Warnings of pairs of embedders that share a space by their users' word alone."""
    pairs = dict.fromkeys((task.embedder, task.pictures) for task in tasks if task.pictures)
    return [
        Finding(
            "unverified pair",
            f"{sound} was made for the published weights of {picture}; whether those given by --weights, or "
            f"found in the hub cache, are the published ones cannot be told, and the protocol says {UNVERIFIED}: "
            "clipsonic-metrics weights fetch records them",
        )
        for sound, picture in pairs
        if not is_verified(work.embedder(sound), work.embedder(picture))
    ]


def _want(task: Task, inputs: Inputs, work: Workspace) -> None:
    way = WAYS[task.metric]
    work.want(inputs.generated, task.embedder, way.hears, way.generated)
    if way.reference is not None:
        work.want(inputs.path("reference"), task.embedder, way.hears, way.reference)
    if "training" in METRICS[task.metric].needs:
        work.want(inputs.path("training"), task.embedder, way.hears)


def lacking(inputs: Inputs, needs: Sequence[str]) -> dict[str, str]:
    """Generated sounds without a partner in one of the inputs, and what they lack.

    Raises:
        MetricsError: an input that cannot be read, or one whose ids are all others.
    """
    ids = _ids(inputs.generated)
    lacks: dict[str, list[str]] = {id: [] for id in ids}
    for need in needs:
        partners = _partners(inputs, need)
        what = {"prompts": "caption", "images": "image", "factors": "row", "reference": "sound"}[need]
        article = "an" if what == "image" else "a"
        if ids and partners.isdisjoint(ids):
            where = getattr(inputs, need)
            raise MetricsError(
                f"none of the {counted(len(ids), 'sound')} of {inputs.generated} has {article} {what} of its id in "
                f"{where}, so none is left to score: ids here are {named(ids, 3)}, there "
                f"{named(sorted(partners), 3) or 'none'}; name them alike, or give a manifest of id,file"
            )
        for id in ids:
            if id not in partners:
                lacks[id].append(f"{getattr(inputs, need)} has no {what} of its id")
    return {id: "; ".join(said) for id, said in lacks.items() if said}


def _partners(inputs: Inputs, need: str) -> set[str]:
    path: Path = getattr(inputs, need)
    if need == "reference":
        return set(_ids(path))
    if need == "images":
        return set(discover(path, IMAGE_SUFFIXES | VIDEO_SUFFIXES))
    return set(read_table(path, ["caption"] if need == "prompts" else []))


def _ids(path: Path) -> list[str]:
    return list(load_embeddings(path).vectors if path.suffix.lower() == ".npz" else find_sounds(path))


def unused(inputs: Inputs, needs: Sequence[str], ids: Sequence[str]) -> list[Finding]:
    """Warnings of partners in the inputs that none of the ids answers."""
    found = []
    for need in needs:
        unused = sorted(_partners(inputs, need) - set(ids))
        if unused:
            entries = "1 entry" if len(unused) == 1 else f"{len(unused)} entries"
            said = f"{entries} of {getattr(inputs, need)} without a generated sound that is scored: "
            found.append(Finding("unused", said + named(unused), tuple(unused)))
    return found


def _dropped(scored: Sequence[Scored], ids: Sequence[str]) -> list[Finding]:
    """Warnings of items that a score is not of, because what they are paired with was left out."""
    found = []
    for each in scored:
        kept = set(ids if each.score.ids is None else each.score.ids)
        lost = tuple(id for id in ids if id not in kept)
        if lost:
            said = f"{each.score.metric} by {each.embedder} is without {len(lost)} of {len(ids)} pairs, whose reference"
            found.append(Finding("dropped pairs", f"{said} was left out: {named(lost)}", lost))
    return found


def _too_few(metrics: Sequence[str], items: int) -> list[Finding]:
    """A warning of what cannot be computed of so few items, where the rest of the metric can."""
    lacking = [f"retrieval@{k}" for k in RETRIEVAL_K if k > items and "retrieval" in metrics]
    said = f"{counted(items, 'item')}, too few for {', '.join(lacking)}: left out"
    return [Finding("few items", said)] if lacking else []


def _sides(tasks: Sequence[Task]) -> list[Side]:
    """The sets that the tasks are about."""
    reference = any(WAYS[task.metric].reference is not None for task in tasks)
    training = any("training" in METRICS[task.metric].needs for task in tasks)
    needed: dict[Side, bool] = {"generated": True, "reference": reference, "training": training}
    return [side for side, wanted in needed.items() if wanted]


def _first(side: Side, tasks: Sequence[Task], inputs: Inputs, work: Workspace) -> SetOfEmbeddings:
    """A side under the first embedder that heard it: its items and digest are those of all."""
    task = next(task for task in tasks if side == "generated" or side in METRICS[task.metric].needs)
    return _context(task, inputs, work).set(side)


def _side(path: Path, made: SetOfEmbeddings) -> dict[str, Any]:
    skipped = [{"file": file, "fault": fault} for file, fault in made.skipped.items()]
    return {"path": str(path), "items": len(made.ids), "sha256": made.digest, "skipped": skipped}
