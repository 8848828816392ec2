"""Metrics of text- and image-to-audio generation: functions over arrays of embeddings, each returning a `Score`.

The names below load their module on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipsonic_metrics.embedders import load_embedder
    from clipsonic_metrics.errors import MetricsError, NotComparable
    from clipsonic_metrics.frechet import frechet_distance
    from clipsonic_metrics.score import Difference, Score
    from clipsonic_metrics.scores.clap_score import clap_score
    from clipsonic_metrics.scores.clip_score import clip_score
    from clipsonic_metrics.scores.factor_accuracy import factor_accuracy
    from clipsonic_metrics.scores.fad import fad, paired_bootstrap_fad
    from clipsonic_metrics.scores.kad import kad
    from clipsonic_metrics.scores.modality_gap import Gap, modality_gap
    from clipsonic_metrics.scores.retrieval import retrieval
    from clipsonic_metrics.sound import Sound, read_sound
    from clipsonic_metrics.stats import EmbeddingStats
    from clipsonic_metrics.uncertainty import paired_bootstrap_mean

_MODULES = {
    "Difference": "score",
    "EmbeddingStats": "stats",
    "Gap": "scores.modality_gap",
    "MetricsError": "errors",
    "NotComparable": "errors",
    "Score": "score",
    "Sound": "sound",
    "clap_score": "scores.clap_score",
    "clip_score": "scores.clip_score",
    "factor_accuracy": "scores.factor_accuracy",
    "fad": "scores.fad",
    "frechet_distance": "frechet",
    "kad": "scores.kad",
    "load_embedder": "embedders",
    "modality_gap": "scores.modality_gap",
    "paired_bootstrap_fad": "scores.fad",
    "paired_bootstrap_mean": "uncertainty",
    "read_sound": "sound",
    "retrieval": "scores.retrieval",
}

__all__ = [
    "Difference",
    "EmbeddingStats",
    "Gap",
    "MetricsError",
    "NotComparable",
    "Score",
    "Sound",
    "clap_score",
    "clip_score",
    "factor_accuracy",
    "fad",
    "frechet_distance",
    "kad",
    "load_embedder",
    "modality_gap",
    "paired_bootstrap_fad",
    "paired_bootstrap_mean",
    "read_sound",
    "retrieval",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
