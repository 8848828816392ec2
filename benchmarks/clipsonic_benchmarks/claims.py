"""What is claimed about systems, and whether the intervals bear it out. Computed from differences, never assumed.

An order of systems, best first, *holds* in a metric if every neighbouring pair is decided that way by its paired
interval, *does not hold* if any pair is decided the other way, and is *inconclusive* otherwise. Intervals are at 95
% each, without correction for their number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

from clipsonic_benchmarks.registry import SystemSpec
from clipsonic_benchmarks.score import verdict
from clipsonic_benchmarks.suite import Claim, Expectation
from clipsonic_metrics import Difference, Score

Outcome = Literal["holds", "does not hold", "inconclusive"]


@dataclass(frozen=True)
class Comparison:
    """A difference (a minus b) with the direction of its metric."""

    a: str
    b: str
    difference: Difference
    direction: str

    def record(self) -> dict[str, Any]:
        return {
            "a": self.a,
            "b": self.b,
            **asdict(self.difference),
            "direction": self.direction,
            "verdict": verdict(self.difference, self.direction),
        }


@dataclass(frozen=True)
class Judged:
    """A claim in one metric; `model` is the argument its systems share, None for the run's own model."""

    says: str
    model: str | None
    metric: str
    outcome: Outcome
    because: str

    def record(self) -> dict[str, Any]:
        return asdict(self)


def judge(claims: Sequence[Claim], systems: Sequence[SystemSpec], comparisons: Sequence[Comparison]) -> list[Judged]:
    """Every claim, for every model whose systems were all run, in every metric its pairs were compared in."""
    judged = []
    for claim in claims:
        for model in dict.fromkeys(spec.argument for spec in systems):
            order = [SystemSpec(name, model).text for name in claim.order]
            if not set(order) <= {spec.text for spec in systems}:
                continue
            pairs = list(pairwise(order))
            found = [[c for c in comparisons if {c.a, c.b} == set(pair)] for pair in pairs]
            for metric in dict.fromkeys(c.difference.metric for c in found[0]):
                steps = [next((c for c in several if c.difference.metric == metric), None) for several in found]
                if all(steps):
                    judged.append(
                        _judge(claim.says, model, metric, pairs, [step for step in steps if step is not None])
                    )
    return judged


def _judge(says: str, model: str | None, metric: str, pairs: list[tuple[str, str]], steps: list[Comparison]) -> Judged:
    decided = []
    for (better, _), step in zip(pairs, steps, strict=True):
        found = verdict(step.difference, step.direction)
        turned = {"better": "worse", "worse": "better", "inconclusive": "inconclusive"}[found]
        decided.append(found if step.a == better else turned)
    outcome: Outcome = "holds"
    if "worse" in decided:
        outcome = "does not hold"
    elif "inconclusive" in decided:
        outcome = "inconclusive"
    return Judged(says, model, metric, outcome, "; ".join(map(_shown, steps)))


@dataclass(frozen=True)
class Checked:
    """An expectation of the suite and what became of it; `found` says what was seen, or why nothing could be."""

    says: str
    metric: str
    outcome: Literal["holds", "does not hold", "not made"]
    found: str

    def record(self) -> dict[str, Any]:
        return asdict(self)


def check(
    expectations: Sequence[Expectation], scores: Mapping[str, Sequence[Score]], comparisons: Sequence[Comparison]
) -> list[Checked]:
    """Every expectation: an order of two systems by their paired interval in `comparisons`, a bound by the score."""
    return [
        _check_order(wanted, comparisons) if wanted.system is None else _check_bound(wanted, wanted.system, scores)
        for wanted in expectations
    ]


def _check_order(wanted: Expectation, comparisons: Sequence[Comparison]) -> Checked:
    for one in comparisons:
        if (one.a, one.b, one.difference.metric) == (wanted.better, wanted.worse, wanted.metric):
            found = verdict(one.difference, one.direction)
            held = found == "better" or (wanted.tie and found == "inconclusive")
            return Checked(wanted.says, wanted.metric, "holds" if held else "does not hold", _shown(one))
    return Checked(wanted.says, wanted.metric, "not made", f"{wanted.better} and {wanted.worse} were not compared")


def _check_bound(wanted: Expectation, system: str, scores: Mapping[str, Sequence[Score]]) -> Checked:
    for score in scores.get(system, ()):
        if score.metric == wanted.metric:
            low = -math.inf if wanted.low is None else wanted.low
            high = math.inf if wanted.high is None else wanted.high
            outcome: Literal["holds", "does not hold"] = "holds" if low <= score.value <= high else "does not hold"
            return Checked(wanted.says, wanted.metric, outcome, f"{system} {score.value:.3f}")
    return Checked(wanted.says, wanted.metric, "not made", f"{system} has no such score")


def _shown(step: Comparison) -> str:
    of = step.difference
    interval = "interval unknown" if of.low is None or of.high is None else f"[{of.low:+.3f}, {of.high:+.3f}]"
    return f"{step.a} - {step.b} = {of.value:+.3f} {interval}"
