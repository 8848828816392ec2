"""Golden triples: every metric on the fixed inputs of three seeds, as committed numbers.

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
    """Every golden value computed anew; takes a few seconds."""
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

SEEDS = (3, 11, 2023)
TOLERANCE = 1e-10
_VALUES = {
    "fad": (2.0202794564830384, 2.3342471242391483, 2.2716720717617243),
    "fad-rank-deficient": (40.972275278742245, 45.31779127157293, 43.09212058545714),
    "fad-infinity": (1.4936158690919423, 1.8542156076378704, 1.7895809422356233),
    "per-item-fad": (17.837455039114985, 18.263454100616965, 17.438156675542196),
    "kad": (2.742240185745115, 2.970264531579536, 3.11101699224019),
    "kid": (0.352938190980836, 0.44159886461573405, 0.37633329964685025),
    "kl-reference-generated": (0.32090843031641053, 0.38289994891074036, 0.3459833300583092),
    "kl-generated-reference": (0.3188010464464726, 0.3625639425894767, 0.35253394279858097),
    "inception-score": (1.1299100421747537, 1.1622331624547204, 1.1508674966792354),
    "precision": (0.88, 0.72, 0.92),
    "recall": (0.9166666666666666, 1.0, 0.9833333333333333),
    "density": (0.7280000000000001, 0.408, 0.7880000000000001),
    "coverage": (0.95, 0.75, 0.9333333333333333),
    "vendi": (10.445750114989941, 10.51143352461539, 10.623570011083372),
    "clap-score": (-0.07403984469179438, -0.011696508677800829, -0.009940988834962198),
    "clip-score": (-1.6288230289304813, 2.6916751383675344, -3.0271388804926467),
    "retrieval": (0.6, 0.5, 0.675),
    "memorisation": (0.04, 0.02, 0.04),
    "factor-accuracy": (0.25, 0.3, 0.125),
    "gap": (0.5248224223110176, 0.5131426734033933, 0.4863989803164394),
}
"""Of each metric, its values on the inputs of the three seeds."""

GOLDEN = tuple(
    Golden(metric, seed, value, TOLERANCE)
    for metric, values in _VALUES.items()
    for seed, value in zip(SEEDS, values, strict=True)
)
