"""Metrics of text- and image-to-audio generation: functions over arrays of embeddings, each returning a `Score`.

The names below load their module on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipsonic_metrics.comparison import compare_scores
    from clipsonic_metrics.embedders import load_embedder
    from clipsonic_metrics.errors import MetricsError, NotComparable
    from clipsonic_metrics.frechet import frechet_distance
    from clipsonic_metrics.paired import paired_mean_difference
    from clipsonic_metrics.score import Difference, Score
    from clipsonic_metrics.scores.clap_score import clap_score
    from clipsonic_metrics.scores.clip_score import clip_score
    from clipsonic_metrics.scores.factor_accuracy import factor_accuracy
    from clipsonic_metrics.scores.fad import fad, paired_bootstrap_fad
    from clipsonic_metrics.scores.fad_infinity import fad_infinity
    from clipsonic_metrics.scores.inception_score import inception_score
    from clipsonic_metrics.scores.kad import kad
    from clipsonic_metrics.scores.kid import kid
    from clipsonic_metrics.scores.kl import kl_generated_reference, kl_reference_generated
    from clipsonic_metrics.scores.memorisation import Memorisation, memorisation
    from clipsonic_metrics.scores.modality_gap import Gap, modality_gap
    from clipsonic_metrics.scores.per_item_fad import per_item_fad
    from clipsonic_metrics.scores.prdc import prdc
    from clipsonic_metrics.scores.retrieval import retrieval
    from clipsonic_metrics.scores.vendi import vendi
    from clipsonic_metrics.sound import Sound, read_sound
    from clipsonic_metrics.stats import EmbeddingStats

_MODULES = {
    "Difference": "score",
    "EmbeddingStats": "stats",
    "Gap": "scores.modality_gap",
    "Memorisation": "scores.memorisation",
    "MetricsError": "errors",
    "NotComparable": "errors",
    "Score": "score",
    "Sound": "sound",
    "clap_score": "scores.clap_score",
    "clip_score": "scores.clip_score",
    "compare_scores": "comparison",
    "factor_accuracy": "scores.factor_accuracy",
    "fad": "scores.fad",
    "fad_infinity": "scores.fad_infinity",
    "frechet_distance": "frechet",
    "inception_score": "scores.inception_score",
    "kad": "scores.kad",
    "kid": "scores.kid",
    "kl_generated_reference": "scores.kl",
    "kl_reference_generated": "scores.kl",
    "load_embedder": "embedders",
    "memorisation": "scores.memorisation",
    "modality_gap": "scores.modality_gap",
    "paired_bootstrap_fad": "scores.fad",
    "paired_mean_difference": "paired",
    "per_item_fad": "scores.per_item_fad",
    "prdc": "scores.prdc",
    "read_sound": "sound",
    "retrieval": "scores.retrieval",
    "vendi": "scores.vendi",
}

__all__ = [
    "Difference",
    "EmbeddingStats",
    "Gap",
    "Memorisation",
    "MetricsError",
    "NotComparable",
    "Score",
    "Sound",
    "clap_score",
    "clip_score",
    "compare_scores",
    "factor_accuracy",
    "fad",
    "fad_infinity",
    "frechet_distance",
    "inception_score",
    "kad",
    "kid",
    "kl_generated_reference",
    "kl_reference_generated",
    "load_embedder",
    "memorisation",
    "modality_gap",
    "paired_bootstrap_fad",
    "paired_mean_difference",
    "per_item_fad",
    "prdc",
    "read_sound",
    "retrieval",
    "vendi",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
