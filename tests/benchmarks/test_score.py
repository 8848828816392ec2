"""Scores and differences from embeddings: alignment, seeds within items, and what is absent rather than invented."""

from __future__ import annotations

import numpy as np
import pytest

from clipsonic_benchmarks.embed import Heard
from clipsonic_benchmarks.score import CompareTask, Scored, ScoreTask, Sounds, Target, compare, score, verdict
from clipsonic_metrics import Difference, clap_score, fad
from clipsonic_metrics.uncertainty import bootstrap_mean

DIM = 5
PROTOCOLS = {"sound_text": "st", "sound_image": "si", "image": "im", "probe": "pr"}


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def sounds(items: int = 30, seeds: tuple[int, ...] = (0,), noise: float = 0.3, key: int = 0) -> Sounds:
    rng = np.random.default_rng(key)
    truth = np.arange(items) % DIM
    rows = np.repeat(np.eye(DIM)[truth], len(seeds), axis=0) + noise * rng.normal(size=(items * len(seeds), DIM))
    heard = Heard(
        [unit(row[None]) for row in rows], [unit(row[None]) for row in rows], {"kind": rows.astype(np.float32)}
    )
    return Sounds(tuple(f"i{index}" for index in range(items)), seeds, heard)


def target(items: int = 30) -> Target:
    truth = np.arange(items) % DIM
    vectors = {f"i{index}": unit(np.eye(DIM)[kind] + 0.01) for index, kind in enumerate(truth)}
    factors = {f"i{index}": {"kind": int(kind)} for index, kind in enumerate(truth)}
    rng = np.random.default_rng(9)
    reference = [unit(np.eye(DIM)[k % DIM][None] + 0.3 * rng.normal(size=(1, DIM))) for k in range(100)]
    return Target(reference, vectors, vectors, factors, PROTOCOLS)


ALL = ("fad", "kad", "clap-score", "clip-score", "factor-accuracy", "retrieval")


def values(found: Scored) -> dict[str, float]:
    return {one.metric: one.value for one in found.scores}


def test_scores_are_those_of_the_metrics_package() -> None:
    ours, made, against = score(ScoreTask("x", sounds(), target(), ALL)), sounds(), target()
    text = np.stack([against.captions[id] for id in made.items])
    assert values(ours)["clap-score"] == clap_score(np.concatenate(made.heard.clap), text).value
    assert values(ours)["fad"] == fad(np.concatenate(against.reference), np.concatenate(made.heard.clap)).value
    assert set(values(ours)) == {
        "fad", "kad", "clap-score", "clip-score", "factor-accuracy/kind", "retrieval@1", "retrieval@10",
    }  # fmt: skip


def test_items_are_paired_by_id_not_by_position() -> None:
    made = sounds(noise=0.05)
    order = [id for id in reversed(made.items)]
    assert values(score(ScoreTask("x", made.only(order), target(), ALL))) == pytest.approx(
        values(score(ScoreTask("x", made, target(), ALL))), rel=1e-6
    )


def test_pairing_by_position_would_be_seen() -> None:
    """The test above can fail: with ids that do not travel with their sounds, the score falls."""
    made = sounds(noise=0.05)
    wrong = Sounds(made.items[1:] + made.items[:1], made.seeds, made.heard)
    assert values(score(ScoreTask("x", wrong, target(), ALL)))["clap-score"] < 0.5


def test_seeds_are_averaged_within_items_before_resampling() -> None:
    made = sounds(seeds=(0, 1, 2))
    found = score(ScoreTask("x", made, target(), ("clap-score",)))
    per_item = [np.mean([found.per_sound["clap-score"][id, seed] for seed in made.seeds]) for id in made.items]
    expected = bootstrap_mean(per_item, seed=0)
    one = found.scores[0]
    assert (one.value, one.low, one.high) == (pytest.approx(np.mean(per_item)), expected.low, expected.high)
    assert one.items == 30
    pooled = bootstrap_mean(list(found.per_sound["clap-score"].values()), seed=0)
    assert one.low is not None and one.high is not None and pooled.low is not None and pooled.high is not None
    assert one.high - one.low != pytest.approx(pooled.high - pooled.low), (
        "pooling seeds as items gives another interval"
    )


def test_fad_of_several_seeds_counts_items_not_sounds() -> None:
    found = score(ScoreTask("x", sounds(seeds=(0, 1)), target(), ("fad",)))
    assert found.scores[0].items == 30
    assert found.scores[0].extra["frames"] == 60


def test_what_cannot_be_computed_is_absent_with_its_reason() -> None:
    bare = Target([], {}, {}, {}, PROTOCOLS)
    found = score(ScoreTask("x", sounds(), bare, ALL))
    assert found.scores == []
    assert set(found.absent) == set(ALL)
    assert found.absent["fad"] == "no real sounds to compare with"
    assert found.absent["clap-score"] == "no item has a caption"


def test_few_items_have_no_recall_at_ten() -> None:
    found = score(ScoreTask("x", sounds(5), target(5), ("retrieval",)))
    assert values(found).keys() == {"retrieval@1"}
    assert found.absent == {"retrieval@10": "5 items, 10 needed"}


def compared(a: Sounds, b: Sounds) -> dict[str, Difference]:
    both = (score(ScoreTask("a", a, target(), ALL)), score(ScoreTask("b", b, target(), ALL)))
    task = CompareTask("a", "b", (a, b), both, target(), ("fad", "clap-score", "factor-accuracy/kind"))
    found, absent = compare(task)
    assert absent == {}
    return {one.metric: one for one in found}


def test_a_difference_is_a_minus_b() -> None:
    good, bad = sounds(noise=0.1), sounds(noise=1.0, key=1)
    found = compared(good, bad)
    expected = {
        name: values(score(ScoreTask("", good, target(), ALL)))[name]
        - values(score(ScoreTask("", bad, target(), ALL)))[name]
        for name in found
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    assert verdict(found["clap-score"], "higher") == "better"
    assert verdict(compared(bad, good)["clap-score"], "higher") == "worse"


def test_a_system_does_not_differ_from_itself() -> None:
    for one in compared(sounds(), sounds()).values():
        assert one.value == 0 and one.low is not None and one.high is not None and one.low == -one.high
        assert (one.high == 0) == (one.metric != "factor-accuracy/kind")  # of hits, other sounds might disagree
        assert verdict(one, "higher") == "inconclusive"


def test_pairs_are_compared_on_common_items_only() -> None:
    a = sounds()
    b = sounds(key=1).only(list(a.items[:20]))
    assert {one.items for one in compared(a, b).values()} == {20}


@pytest.mark.parametrize(
    ("low", "value", "high", "direction", "said"),
    [
        (0.1, 0.2, 0.3, "higher", "better"),
        (0.1, 0.2, 0.3, "lower", "worse"),
        (-0.3, -0.2, -0.1, "lower", "better"),
        (-0.1, 0.2, 0.3, "higher", "inconclusive"),
        (0.0, 0.2, 0.3, "higher", "inconclusive"),
    ],
)
def test_verdicts(low: float, value: float, high: float, direction: str, said: str) -> None:
    assert verdict(Difference("m", value, low, high, 0.95, 9, ""), direction) == said


def test_scores_of_other_protocols_are_not_compared() -> None:
    """R@1 among 20 captions is another task than R@1 among 30: the difference says so instead of mixing the two."""
    a = sounds()
    b = sounds(key=1).only(list(a.items[:20]))
    both = (score(ScoreTask("a", a, target(), ALL)), score(ScoreTask("b", b, target(), ALL)))
    found, absent = compare(CompareTask("a", "b", (a, b), both, target(), ("clap-score", "retrieval@1", "kad")))
    assert [one.metric for one in found] == ["clap-score"]
    assert "captions:30" in absent["retrieval@1"] and "captions:20" in absent["retrieval@1"]
    assert "kad" in absent
