"""Comparison of two scores: the paired difference of the same items, and refusals of all that is not comparable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from clipsonic_metrics import (
    MetricsError,
    NotComparable,
    Score,
    clap_score,
    compare_scores,
    fad,
    modality_gap,
    paired_mean_difference,
)


def draw(items: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(items, 8))


def scored(noise: float, seed: int, items: int = 40, protocol: str = "clap@1") -> Score:
    text = draw(items, 0)
    made = clap_score(text + noise * draw(items, seed), text, protocol=protocol)
    return replace(made, ids=tuple(f"item-{index}" for index in range(items)))


def test_it_is_the_paired_difference_of_what_the_items_contributed() -> None:
    a, b = scored(0.5, 1), scored(1.5, 2)
    assert a.per_item is not None and b.per_item is not None
    found = compare_scores(a, b, seed=3)
    bare = paired_mean_difference(a.per_item, b.per_item, seed=3, metric="clap-score")
    assert found == replace(bare, protocol="clap-score@1/clap@1", direction="higher")
    assert (bare.protocol, bare.direction) == ("", None)
    assert found.value == pytest.approx(a.value - b.value) and found.excludes_zero
    oracle = scipy.stats.ttest_rel(a.per_item, b.per_item).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), rel=0.15)
    itself = compare_scores(a, a)
    assert (itself.value, itself.low, itself.high) == (0, 0, 0) and not itself.excludes_zero


def test_another_protocol_is_refused_where_bare_arrays_cannot_know_of_it() -> None:
    a, b = scored(0.5, 1), scored(0.5, 2, protocol="clap@2")
    assert a.per_item is not None and b.per_item is not None
    paired_mean_difference(a.per_item, b.per_item, seed=0)  # the old way compares them without a word
    with pytest.raises(NotComparable, match=r"under 'clap-score@1/clap@1' and under 'clap-score@1/clap@2'"):
        compare_scores(a, b)
    with pytest.raises(NotComparable, match="clap-score and clip-score are not compared"):
        compare_scores(a, replace(a, metric="clip-score"))


def test_other_items_are_refused() -> None:
    a, b = scored(0.5, 1), scored(1.0, 2)
    assert a.ids is not None and b.ids is not None
    with pytest.raises(NotComparable, match="2 are in one of the two alone, first 'item-7'"):
        compare_scores(a, replace(b, ids=tuple("other" if id == "item-7" else id for id in b.ids)))
    with pytest.raises(NotComparable, match="the same ones in another order"):
        compare_scores(a, replace(b, ids=b.ids[::-1]))
    with pytest.raises(NotComparable, match="of 40 items and of 39"):
        compare_scores(replace(a, ids=None), replace(scored(0.5, 2, items=39), ids=None))
    with pytest.raises(MetricsError, match="fad is no mean over items"):
        compare_scores(fad(draw(20, 0), draw(20, 1)), fad(draw(20, 0), draw(20, 2)))


def test_items_in_common_are_named_and_found_by_id() -> None:
    a, b = scored(0.5, 1), scored(1.0, 2)
    assert a.per_item is not None and b.per_item is not None and b.ids is not None
    turned = replace(b, ids=b.ids[::-1], per_item=b.per_item[::-1])
    common = [f"item-{index}" for index in range(5, 25)]
    found = compare_scores(a, turned, on=common)
    assert found.items == 20 and found.value == pytest.approx(float((a.per_item - b.per_item)[5:25].mean()))
    with pytest.raises(NotComparable, match="has no item 'nobody'"):
        compare_scores(a, b, on=[*common, "nobody"])
    with pytest.raises(MetricsError, match="knows no ids"):
        compare_scores(replace(a, ids=None), replace(b, ids=None), on=common)
    with pytest.raises(MetricsError, match="expected 4 items or more"):
        compare_scores(a, b, on=common[:3])


def test_ids_that_name_no_set_of_items_are_refused() -> None:
    a, b = scored(0.5, 1), scored(1.0, 2)
    assert a.ids is not None
    with pytest.raises(MetricsError, match="1 ids are given more than once, first 'item-3'"):
        compare_scores(a, b, on=["item-3"] * 50)  # 50 items out of one
    with pytest.raises(MetricsError, match="a single string, 'item-3'"):
        compare_scores(a, b, on="item-3")
    with pytest.raises(MetricsError, match="39 ids of 40 items"):
        compare_scores(a, replace(b, ids=a.ids[:-1]), on=a.ids[:10])
    twice = (*a.ids[:-1], a.ids[0])
    with pytest.raises(MetricsError, match="more than once, first 'item-0'"):
        compare_scores(replace(a, ids=twice), replace(b, ids=twice))


@pytest.mark.parametrize("on", [None, [f"item-{index}" for index in range(9)]])
def test_ids_of_one_side_alone_are_refused(on: list[str] | None) -> None:
    a, b = scored(0.5, 1), scored(1.0, 2)
    with pytest.raises(NotComparable, match="the items of one score have ids, those of the other have none"):
        compare_scores(a, replace(b, ids=None), on=on)


def test_the_paired_cosine_of_a_gap_is_compared_by_id() -> None:
    ids = [f"item-{index}" for index in range(40)]
    x = draw(40, 0)
    near, far = (modality_gap(x, x + noise * draw(40, 1), protocol="p", ids=ids).paired_cosine for noise in (0.5, 2))
    found = compare_scores(near, far)
    assert found.excludes_zero and found.value == pytest.approx(near.value - far.value)
    assert (found.direction, found.protocol) == ("higher", near.protocol)
    with pytest.raises(MetricsError, match="gap/rmg is no mean over items"):
        compare_scores(modality_gap(x, draw(40, 1)).rmg, modality_gap(x, draw(40, 2)).rmg)
