"""Golden values: every metric on fixed inputs, as committed numbers.

A change of a number here is a change of the metric: raise its VERSION and say so in the changelog. The inputs come from
numpy's legacy generator, whose stream is frozen, so that the numbers hold on every platform and numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from clipsonic_metrics.arrays import Array
from clipsonic_metrics.score import Score

Compute = Callable[[int], float]


@dataclass(frozen=True)
class Golden:
    """`metric` on the inputs of `seed` is `value`, within `tolerance` of it relatively."""

    metric: str
    seed: int
    value: float
    tolerance: float


@dataclass(frozen=True)
class Finding:
    """What a golden value was found to be here."""

    golden: Golden
    value: float

    @property
    def holds(self) -> bool:
        return abs(self.value - self.golden.value) <= self.golden.tolerance * abs(self.golden.value)


def check_golden() -> list[Finding]:
    """Every golden value computed anew; takes about a second."""
    return [Finding(golden, _COMPUTE[golden.metric](golden.seed)) for golden in GOLDEN]


def sets(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    """Arrays of frames: the first standard normal, each further one shifted and widened a little more."""
    rng = np.random.RandomState(seed)
    return [rng.standard_normal(shape) * (1 + 0.2 * index) + 0.3 * index for index, shape in enumerate(shapes)]


def _score(module: str, function: str, *shapes: tuple[int, ...]) -> Compute:
    def compute(seed: int) -> float:
        found = getattr(import_module(f"clipsonic_metrics.scores.{module}"), function)(*sets(seed, *shapes))
        assert isinstance(found, Score)
        return found.value

    return compute


def _kad(seed: int) -> float:
    from clipsonic_metrics.scores.kad import kad

    return kad(*sets(seed, (60, 3, 12), (40, 3, 12)), seed=0).value


def _prdc(name: str) -> Compute:
    def compute(seed: int) -> float:
        from clipsonic_metrics.scores.prdc import prdc

        return prdc(*sets(seed, (60, 6), (50, 6)))[name].value

    return compute


def _retrieval(seed: int) -> float:
    from clipsonic_metrics.scores.retrieval import retrieval

    audio, text = sets(seed, (40, 12), (40, 12))
    return retrieval(audio, text + audio, k=(1,))[1].value


def _factor_accuracy(seed: int) -> float:
    from clipsonic_metrics.scores.factor_accuracy import factor_accuracy

    logits = sets(seed, (40, 5))[0]
    return factor_accuracy({"kind": logits}, {"kind": np.arange(40) % 5})["kind"].value


def _memorisation(seed: int) -> float:
    from clipsonic_metrics.scores.memorisation import memorisation

    return memorisation(*sets(seed, (80, 2, 4), (60, 2, 4), (50, 2, 4))).score.value


def _gap(seed: int) -> float:
    from clipsonic_metrics.scores.modality_gap import modality_gap

    return modality_gap(*sets(seed, (40, 12), (40, 12))).rmg.value


_COMPUTE: dict[str, Compute] = {
    "fad": _score("fad", "fad", (60, 3, 12), (40, 3, 12)),
    "fad-rank-deficient": _score("fad", "fad", (60, 3, 48), (10, 3, 48)),
    "fad-infinity": _score("fad_infinity", "fad_infinity", (60, 3, 12), (40, 3, 12)),
    "per-item-fad": _score("per_item_fad", "per_item_fad", (60, 3, 12), (40, 5, 12)),
    "kad": _kad,
    "kid": _score("kid", "kid", (60, 3, 12), (40, 3, 12)),
    "kl-reference-generated": _score("kl", "kl_reference_generated", (40, 3, 12), (40, 3, 12)),
    "kl-generated-reference": _score("kl", "kl_generated_reference", (40, 3, 12), (40, 3, 12)),
    "inception-score": _score("inception_score", "inception_score", (40, 3, 12)),
    "precision": _prdc("precision"),
    "recall": _prdc("recall"),
    "density": _prdc("density"),
    "coverage": _prdc("coverage"),
    "vendi": _score("vendi", "vendi", (40, 3, 12)),
    "clap-score": _score("clap_score", "clap_score", (40, 3, 12), (40, 12)),
    "clip-score": _score("clip_score", "clip_score", (40, 3, 12), (40, 4, 12)),
    "retrieval": _retrieval,
    "memorisation": _memorisation,
    "factor-accuracy": _factor_accuracy,
    "gap": _gap,
}

GOLDEN = (
    Golden("fad", 3, 2.0202794564830384, 1e-10),
    Golden("fad-rank-deficient", 3, 40.972275278742245, 1e-10),
    Golden("fad-infinity", 3, 1.4936158690919423, 1e-10),
    Golden("per-item-fad", 3, 17.837455039114985, 1e-10),
    Golden("kad", 3, 2.742240185745115, 1e-10),
    Golden("kid", 3, 0.352938190980836, 1e-10),
    Golden("kl-reference-generated", 3, 0.32090843031641053, 1e-10),
    Golden("kl-generated-reference", 3, 0.3188010464464726, 1e-10),
    Golden("inception-score", 3, 1.1299100421747537, 1e-10),
    Golden("precision", 3, 0.88, 1e-10),
    Golden("recall", 3, 0.9166666666666666, 1e-10),
    Golden("density", 3, 0.7280000000000001, 1e-10),
    Golden("coverage", 3, 0.95, 1e-10),
    Golden("vendi", 3, 10.445750114989941, 1e-10),
    Golden("clap-score", 3, -0.07403984469179438, 1e-10),
    Golden("clip-score", 3, -1.6288230289304813, 1e-10),
    Golden("retrieval", 3, 0.6, 1e-10),
    Golden("memorisation", 3, 0.04, 1e-10),
    Golden("factor-accuracy", 3, 0.25, 1e-10),
    Golden("gap", 3, 0.5248224223110176, 1e-10),
)
