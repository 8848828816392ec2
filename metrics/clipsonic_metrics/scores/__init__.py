"""The metrics, one module each; the module docstring is the metric's definition.

`METRICS` names them for commands. Every module states VERSION (raised when its number changes), UNIT and DIRECTION.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from clipsonic_metrics.errors import MetricsError


@dataclass(frozen=True)
class Metric:
    """Where a metric is computed, what the `score` command needs for it, and the embedders it uses unless told."""

    function: str
    needs: tuple[str, ...]
    embedders: tuple[str, ...]


METRICS = {
    "fad": Metric("clipsonic_metrics.scores.fad:fad", ("reference",), ("microworld-clap",)),
    "fad-infinity": Metric("clipsonic_metrics.scores.fad_infinity:fad_infinity", ("reference",), ("microworld-clap",)),
    "per-item-fad": Metric("clipsonic_metrics.scores.per_item_fad:per_item_fad", ("reference",), ("microworld-clap",)),
    "kad": Metric("clipsonic_metrics.scores.kad:kad", ("reference",), ("microworld-clap",)),
    "kid": Metric("clipsonic_metrics.scores.kid:kid", ("reference",), ("microworld-clap",)),
    "precision": Metric("clipsonic_metrics.scores.prdc:prdc", ("reference",), ("microworld-clap",)),
    "recall": Metric("clipsonic_metrics.scores.prdc:prdc", ("reference",), ("microworld-clap",)),
    "density": Metric("clipsonic_metrics.scores.prdc:prdc", ("reference",), ("microworld-clap",)),
    "coverage": Metric("clipsonic_metrics.scores.prdc:prdc", ("reference",), ("microworld-clap",)),
    "vendi": Metric("clipsonic_metrics.scores.vendi:vendi", (), ("microworld-clap",)),
    "memorisation": Metric(
        "clipsonic_metrics.scores.memorisation:memorisation", ("reference", "training"), ("microworld-clap",)
    ),
    "kl-reference-generated": Metric("clipsonic_metrics.scores.kl:kl_reference_generated", ("reference",), ("passt",)),
    "kl-generated-reference": Metric("clipsonic_metrics.scores.kl:kl_generated_reference", ("reference",), ("passt",)),
    "inception-score": Metric("clipsonic_metrics.scores.inception_score:inception_score", (), ("passt",)),
    "clap-score": Metric("clipsonic_metrics.scores.clap_score:clap_score", ("prompts",), ("microworld-clap",)),
    "retrieval": Metric("clipsonic_metrics.scores.retrieval:retrieval", ("prompts",), ("microworld-clap",)),
    "clip-score": Metric(
        "clipsonic_metrics.scores.clip_score:clip_score", ("images",), ("microworld-wav2clip", "microworld-clip")
    ),
    "factor-accuracy": Metric(
        "clipsonic_metrics.scores.factor_accuracy:factor_accuracy", ("factors",), ("microworld-probe",)
    ),
    "gap": Metric("clipsonic_metrics.scores.modality_gap:modality_gap", ("images", "prompts"), ("microworld-clip",)),
}


def check_metrics(names: Iterable[str], known: Iterable[str] = tuple(METRICS)) -> list[str]:
    """The names as a list without repeats.

    Raises:
        MetricsError: unknown name (near names and all names offered), or none.
    """
    wanted, known = list(dict.fromkeys(names)), list(known)
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise MetricsError(f"unknown metric {name!r}; {hint}there are {', '.join(known)}")
    if not wanted:
        raise MetricsError(f"no metric is named; there are {', '.join(known)}")
    return wanted
