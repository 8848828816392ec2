"""Whatever is scored: a value within the range of its metric, inside its interval, which is within that range too."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipsonic_metrics import (
    MetricsError,
    Score,
    clap_score,
    clip_score,
    fad,
    inception_score,
    kl_reference_generated,
    memorisation,
    modality_gap,
    prdc,
    retrieval,
    vendi,
)

INFINITE = float("inf")
RANGES = {
    "gap/centroid-distance": (0, 2),
    "gap/rmg": (0, 1),
    "gap/separability": (0, 1),
    "gap/paired-cosine": (-1, 1),
    "gap/cone-x": (-1, 1),
    "gap/cone-y": (-1, 1),
    "clap-score": (-1, 1),
    "clip-score": (-100, 100),
    "memorisation": (0, 1),
    "precision": (0, 1),
    "recall": (0, 1),
    "density": (0, INFINITE),
    "coverage": (0, 1),
    "retrieval@1": (0, 1),
    "kl-reference-generated": (0, INFINITE),
    "fad": (0, INFINITE),
}


def in_range(score: Score) -> None:
    least, most = RANGES.get(score.metric, (1, score.items))  # vendi and the inception score: effective numbers
    if score.metric == "inception-score":
        most = min(most, score.extra["classes"])
    assert least <= score.value <= most, score
    assert (score.low is None) == (score.high is None)
    if score.low is not None and score.high is not None:
        assert least <= score.low <= score.value <= score.high <= most, score
    if score.per_item is not None:
        assert least <= score.per_item.min() and score.per_item.max() <= most


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of as many rows: unlike, opposite, in one direction, multiples of one another, with repeated rows."""
    items, dim = draw(st.integers(4, 34)), draw(st.integers(2, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.normal(size=(items, dim)) + draw(st.sampled_from([0.0, 1.0, 30.0]))
    kind = draw(st.sampled_from(["unlike", "same", "opposite", "near", "few"]))
    if kind == "few":
        x = x[rng.integers(0, 2, size=items)]
    if kind in ("unlike", "few"):
        return x, rng.normal(size=(items, dim))
    y = x * rng.uniform(0.1, 9, size=(items, 1)) + (1e-9 * rng.normal(size=(items, dim)) if kind == "near" else 0)
    return x, -y if kind == "opposite" else y


@settings(max_examples=80, deadline=None)
@given(pairs())
def test_values_and_intervals_stay_where_the_metric_is(sets: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = sets
    measures: list[Callable[[], Iterable[Score]]] = [
        lambda: modality_gap(x, y, replicates=20),
        lambda: [clap_score(x, y)],
        lambda: [clip_score(x, np.stack([y, y], axis=1))],
        lambda: [vendi(x, replicates=20)],
        lambda: [inception_score(x, replicates=20)],
        lambda: prdc(x, y, k=2).values(),
        lambda: retrieval(x, y, k=[1]).values(),
        lambda: [kl_reference_generated(x, y)],
        lambda: [memorisation(x, y, x).score],
        lambda: [fad(x, y, replicates=20)],
    ]
    made = 0
    for measure in measures:
        try:
            found = list(measure())
        except MetricsError:  # all rows alike, where a score is not defined; a reference that is the training set
            continue
        made += len(found)
        for score in found:
            in_range(score)
    assert made >= 10


def test_intervals_once_left_their_range() -> None:
    rng, found = np.random.default_rng(0), {}
    for seed in range(20):
        centre = rng.normal(size=5)
        x, y = (sign * centre + 0.3 * rng.standard_t(2, size=(5, 5)) for sign in (1, -1))
        for score in modality_gap(x, y, seed=seed):
            assert score.high is not None
            found[score.metric] = max(found.get(score.metric, -9), score.high)
            in_range(score)
    # They end at the edge: without it they went on, to 2.5 and 1.3.
    assert found["gap/centroid-distance"] == 2 and found["gap/rmg"] == found["gap/cone-x"] == 1
    x = rng.normal(size=(6, 7))
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert any(
        (u / np.linalg.norm(u) * (u / np.linalg.norm(u))).sum() > 1 for u in rng.normal(size=(200, 7))
    )  # rounding, or this test proves nothing
    assert clap_score(rows, 3.3 * rows).value <= 1


def test_a_score_outside_its_interval_is_nobodys_to_read() -> None:
    with pytest.raises(ValueError, match="m is 2, which its interval"):
        Score("m", 1, 2, 0, 1, 0.95, 9, "", "lower", "p", "")
    with pytest.raises(ValueError, match="does not hold"):
        Score("m", 1, float("nan"), 0, 1, 0.95, 9, "", "lower", "p", "")
