"""Committed numbers: a metric that changes has to say so."""

from __future__ import annotations

import pytest

from clipsonic_metrics.golden import GOLDEN, SEEDS, Finding, Golden, check_golden
from clipsonic_metrics.scores import METRICS

FINDINGS = {(finding.golden.metric, finding.golden.seed): finding for finding in check_golden()}


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: f"{golden.metric}-{golden.seed}")
def test_every_metric_gives_its_golden_value(golden: Golden) -> None:
    finding = FINDINGS[golden.metric, golden.seed]
    assert finding.holds, f"{golden.metric} of seed {golden.seed} is {finding.value!r}, was {golden.value!r}"


def test_every_metric_has_a_golden_triple_and_a_changed_value_is_seen() -> None:
    assert len(set(SEEDS)) == 3
    assert {(metric, seed) for metric in METRICS for seed in SEEDS} <= set(FINDINGS)
    for metric in METRICS:  # one that gave a constant would not be seen to change
        assert len({FINDINGS[metric, seed].value for seed in SEEDS}) > 1, metric
    golden = GOLDEN[0]
    assert not Finding(golden, golden.value * (1 + 10 * golden.tolerance)).holds
