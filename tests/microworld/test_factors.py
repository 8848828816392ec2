"""Factors: every item has an address of its own, and levels are drawn evenly and independently."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from clipsonic_benchmarks.microworld.corpus import world_item
from clipsonic_benchmarks.microworld.factors import LEVELS, SPLITS, draw_factors, generator, item_id

PURPOSES = ("factors", "frames", "sound", "caption")


def test_an_item_is_its_address() -> None:
    first = [world_item(5, "train", index) for index in (7, 0, 3)]
    again = [world_item(5, "train", index) for index in (3, 7, 0)]
    assert first == [again[1], again[2], again[0]]
    assert first[0].id == item_id("train", 7) == "train-000007"
    np.testing.assert_array_equal(first[0].sound(), again[1].sound())
    np.testing.assert_array_equal(first[0].frames(), again[1].frames())


def test_what_one_part_draws_does_not_move_another() -> None:
    item = world_item(5, "train", 0)
    expected = item.sound()
    item.frames()  # frames consume thousands of draws
    np.testing.assert_array_equal(item.sound(), expected)


def test_every_part_of_the_address_matters() -> None:
    draws = {
        generator(seed, split, index, purpose).integers(2**60)
        for seed in (0, 1)
        for split in SPLITS
        for index in (0, 1, 2)
        for purpose in PURPOSES
    }
    assert len(draws) == 2 * len(SPLITS) * 3 * len(PURPOSES)


def test_splits_do_not_share_items() -> None:
    sounds = {world_item(0, split, index).sound().tobytes() for split in SPLITS for index in range(3)}
    assert len(sounds) == 3 * len(SPLITS)


def test_levels_are_even_and_independent() -> None:
    n = 3000
    drawn = np.array([draw_factors(0, "train", index).indices() for index in range(n)])
    for column, levels in enumerate(LEVELS.values()):
        counts = np.bincount(drawn[:, column], minlength=len(levels))
        expected = n / len(levels)
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    for one, other in combinations(range(len(LEVELS)), 2):
        assert abs(np.corrcoef(drawn[:, one], drawn[:, other])[0, 1]) < 5 / np.sqrt(n)


def test_indices_name_the_levels() -> None:
    factors = draw_factors(1, "test", 4)
    named = dict(zip(LEVELS, factors.indices(), strict=True))
    assert {name: LEVELS[name][index] for name, index in named.items()} == factors.as_dict()


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split 'tset' does not exist; choose one of captioned, train, evaluators"):
        world_item(0, "tset", 0)
