"""Committed numbers: a metric that changes has to say so."""

from __future__ import annotations

import pytest

from clipsonic_metrics.golden import GOLDEN, Finding, Golden, check_golden
from clipsonic_metrics.scores import METRICS

FINDINGS = {finding.golden.metric: finding for finding in check_golden()}


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.metric)
def test_every_metric_gives_its_golden_value(golden: Golden) -> None:
    finding = FINDINGS[golden.metric]
    assert finding.holds, f"{golden.metric} of seed {golden.seed} is {finding.value!r}, was {golden.value!r}"


def test_every_metric_has_a_golden_value_and_a_changed_one_is_seen() -> None:
    assert set(METRICS) <= set(FINDINGS)
    golden = GOLDEN[0]
    assert not Finding(golden, golden.value * (1 + 10 * golden.tolerance)).holds
