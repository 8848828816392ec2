"""How far each route's conditions lie from image embeddings: the modality gap, and what each way of bridging it leaves.

For every route, the conditions of the items that have a frame and a caption are set against those items' own image
embeddings: centroid distance, RMG, linear separability, cosine with the true frame (definitions: clipsonic_metrics,
modality_gap). The image route's conditions *are* the image embeddings: its row is what no gap looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsonic_benchmarks.registry import SystemSpec
from clipsonic_metrics import MetricsError, Score, modality_gap


@dataclass(frozen=True)
class GapTask:
    """Measure the gap of every route of one model; `argument` is how its systems name it, None for the run's."""

    argument: str | None
    model: str
    items: Path
    seed: int


@dataclass(frozen=True)
class RouteGap:
    """The gap of one system's route."""

    system: str
    scores: tuple[Score, ...]

    def record(self, fad: Mapping[str, float]) -> dict[str, Any]:
        return {
            "system": self.system,
            "scores": [score.record() for score in self.scores],
            "fad": fad.get(self.system),
        }


def measure(task: GapTask) -> list[RouteGap]:
    """The gap of every route the model has; none where fewer than four items have a frame and a caption."""
    from clipsonic_benchmarks.systems.clipsonic import gap_conditions

    images, conditions = gap_conditions(task.model, task.items, task.seed)
    gaps = []
    for name, vectors in conditions.items():
        try:
            found = modality_gap(vectors, images, seed=0, protocol=f"modality-gap@1/condition-vs-image/{name}")
        except MetricsError:
            return []
        chosen = (found.centroid_distance, found.rmg, found.separability, found.paired_cosine)
        gaps.append(RouteGap(SystemSpec(name, task.argument).text, chosen))
    return gaps
