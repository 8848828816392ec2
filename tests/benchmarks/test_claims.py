"""Claims are computed from intervals: three outcomes, and none of them by default."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clipsonic_benchmarks.claims import Comparison, check, judge
from clipsonic_benchmarks.registry import SystemSpec
from clipsonic_benchmarks.suite import Claim, Expectation
from clipsonic_metrics import Difference, Score

ORDER = Claim("IQ, then PD, then ZS", ("clipsonic-iq", "clipsonic-pd", "clipsonic-zs"))
SYSTEMS = [SystemSpec(name) for name in ORDER.order]
PAIR = ("clipsonic-iq", "clipsonic-zs")
BETTER, WORSE, OPEN = (-0.2, -0.1), (0.1, 0.2), (-0.1, 0.2)  # of FAD, where lower is better


def comparison(a: str, b: str, interval: tuple[float, float], direction: str = "lower") -> Comparison:
    low, high = interval
    return Comparison(a, b, Difference("fad", (low + high) / 2, low, high, 0.95, 200, ""), direction)


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (BETTER, BETTER, "holds"),
        (BETTER, OPEN, "inconclusive"),
        (OPEN, OPEN, "inconclusive"),
        (BETTER, WORSE, "does not hold"),
        (OPEN, WORSE, "does not hold"),
    ],
)
def test_an_order(first: tuple[float, float], second: tuple[float, float], outcome: str) -> None:
    steps = [comparison("clipsonic-iq", "clipsonic-pd", first), comparison("clipsonic-pd", "clipsonic-zs", second)]
    (judged,) = judge([ORDER], SYSTEMS, steps)
    assert judged.outcome == outcome
    assert judged.metric == "fad"
    assert "clipsonic-iq - clipsonic-pd" in judged.because


def test_a_pair_given_the_other_way_round_is_turned() -> None:
    claim = Claim("IQ beats ZS", ("clipsonic-iq", "clipsonic-zs"))
    (judged,) = judge([claim], SYSTEMS, [comparison("clipsonic-zs", "clipsonic-iq", WORSE)])
    assert judged.outcome == "holds"


def test_direction_matters() -> None:
    claim = Claim("IQ beats ZS", ("clipsonic-iq", "clipsonic-zs"))
    (judged,) = judge([claim], SYSTEMS, [comparison("clipsonic-iq", "clipsonic-zs", WORSE, "higher")])
    assert judged.outcome == "holds"


def test_a_claim_is_not_judged_without_its_systems_or_differences() -> None:
    steps = [comparison("clipsonic-iq", "clipsonic-pd", BETTER)]
    assert judge([ORDER], SYSTEMS[:2], steps) == []
    assert judge([ORDER], SYSTEMS, steps) == []


def test_every_model_is_judged_on_its_own() -> None:
    claim = Claim("IQ beats ZS", ("clipsonic-iq", "clipsonic-zs"))
    systems = [SystemSpec(name, model) for model in ("m0", "m1") for name in claim.order]
    steps = [
        comparison("clipsonic-iq:m0", "clipsonic-zs:m0", BETTER),
        comparison("clipsonic-iq:m1", "clipsonic-zs:m1", WORSE),
    ]
    assert [(one.model, one.outcome) for one in judge([claim], systems, steps)] == [
        ("m0", "holds"),
        ("m1", "does not hold"),
    ]


def a_score(value: float, direction: str = "lower") -> list[Score]:
    return [Score("fad", 1, value, None, None, 0.95, 9, "", direction, "", "")]  # type: ignore[arg-type]


def test_controls_in_and_out_of_place() -> None:
    wanted = Expectation("fad", "real beats noise", better="clipsonic-iq", worse="clipsonic-zs")

    def outcome(step: Comparison, wanted: Expectation = wanted) -> str:
        return check([wanted], {}, [step])[0].outcome

    assert outcome(comparison(*PAIR, BETTER)) == "holds"
    assert outcome(comparison(*PAIR, WORSE)) == "does not hold"
    assert outcome(comparison(*PAIR, OPEN)) == "does not hold", "what is not decided is not in place"
    forgiving = replace(wanted, tie=True)
    assert outcome(comparison(*PAIR, OPEN), forgiving) == "holds"
    assert outcome(comparison(*PAIR, WORSE), forgiving) == "does not hold"


def test_a_control_that_could_not_be_checked_is_listed() -> None:
    wanted = [
        Expectation("fad", "real beats noise", better="reference", worse="noise"),
        Expectation("fad", "small", system="reference", high=0.2),
    ]
    made = check(wanted, {"noise": a_score(0.1)}, [])
    assert [one.outcome for one in made] == ["not made", "not made"]
    assert made[0].found == "reference and noise were not compared"


@pytest.mark.parametrize(("value", "outcome"), [(0.2, "holds"), (0.3, "does not hold"), (-0.1, "does not hold")])
def test_bounds(value: float, outcome: str) -> None:
    wanted = Expectation("fad", "small", system="reference", low=0.0, high=0.2)
    assert check([wanted], {"reference": a_score(value)}, [])[0].outcome == outcome
