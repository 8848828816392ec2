"""What is claimed about systems, and whether the intervals bear it out. Computed from differences, never assumed.

An order of systems, best first, *holds* in a metric if every neighbouring pair is decided that way by its paired
interval, *does not hold* if any pair is decided the other way, and is *inconclusive* otherwise. Intervals are at 95
% each, without correction for their number.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    because = "; ".join(
        f"{step.a} - {step.b} = {step.difference.value:+.3f} [{step.difference.low:+.3f}, {step.difference.high:+.3f}]"
        for step in steps
    )
    return Judged(says, model, metric, outcome, because)


@dataclass(frozen=True)
class Checked:
    """An expectation of the suite, and whether it held."""

    says: str
    metric: str
    held: bool
    found: str

    def record(self) -> dict[str, Any]:
        return asdict(self)


def check(expectations: Sequence[Expectation], scores: dict[str, list[Score]]) -> list[Checked]:
    """Expectations whose systems and metric were run; the others are left out."""
    checked = []
    for wanted in expectations:
        values = {name: score for name, several in scores.items() for score in several if score.metric == wanted.metric}
        names = [name for name in (wanted.better, wanted.worse, wanted.system) if name is not None]
        if not names or not set(names) <= set(values):
            continue
        found = ", ".join(f"{name} {values[name].value:.3f}" for name in names)
        if wanted.better is not None and wanted.worse is not None:
            gain = values[wanted.better].value - values[wanted.worse].value
            held = gain > 0 if values[wanted.better].direction == "higher" else gain < 0
        else:
            value = values[names[0]].value
            held = (wanted.low is None or value >= wanted.low) and (wanted.high is None or value <= wanted.high)
        checked.append(Checked(wanted.says, wanted.metric, held, found))
    return checked
