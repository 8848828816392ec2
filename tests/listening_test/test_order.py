"""Orders are balanced where they say so, drawn from their address alone, and reach every arrangement."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipsonic_listening_test.order import (
    MOST_BALANCED,
    abx_order,
    balanced_order,
    balanced_pages,
    headphone_order,
    least_used_row,
    random_order,
    shuffled,
    shuffled_pages,
    stimulus_rows,
    williams_rows,
    williams_square,
)

SEEDS = st.integers(0, 2**40)


@settings(deadline=None)
@given(st.integers(1, 16))
def test_williams_squares_balance_positions_and_neighbours(count: int) -> None:
    square = williams_square(count)
    assert len(square) == williams_rows(count)
    assert all(sorted(row) == list(range(count)) for row in square)
    positions = Counter((place, stimulus) for row in square for place, stimulus in enumerate(row))
    assert set(positions.values()) == {len(square) // count}
    neighbours = Counter(pair for row in square for pair in pairwise(row))
    assert len(neighbours) == count * (count - 1)
    assert count == 1 or set(neighbours.values()) == {len(square) // count}


def test_a_cyclic_square_does_not_balance_neighbours() -> None:
    """What is often used instead; the property above must be able to fail."""
    cyclic = [tuple((start + step) % 4 for step in range(4)) for start in range(4)]
    neighbours = Counter(pair for row in cyclic for pair in pairwise(row))
    assert len(neighbours) < 4 * 3


@settings(deadline=None)
@given(st.integers(1, MOST_BALANCED), SEEDS)
def test_orders_of_a_page_keep_the_balance_of_the_square(count: int, seed: int) -> None:
    orders = [balanced_order(count, row, seed, "p") for row in range(williams_rows(count))]
    positions = Counter((place, stimulus) for order in orders for place, stimulus in enumerate(order))
    assert set(positions.values()) == {len(orders) // count}
    neighbours = Counter(pair for order in orders for pair in pairwise(order))
    assert count == 1 or set(neighbours.values()) == {len(orders) // count}


@settings(deadline=None)
@given(st.integers(1, 10), SEEDS, st.integers(1, 4))
def test_rows_are_dealt_in_rounds(rows: int, seed: int, rounds: int) -> None:
    used: dict[int, int] = {}
    for _ in range(rows * rounds):
        row = least_used_row(rows, used, seed, "p")
        used[row] = used.get(row, 0) + 1
        assert max(used.values()) - min(used.get(each, 0) for each in range(rows)) <= 1
    assert set(used.values()) == {rounds}


@settings(deadline=None)
@given(st.lists(st.integers(), max_size=30), SEEDS, st.integers(0, 1000))
def test_a_shuffle_belongs_to_its_address(items: list[int], seed: int, number: int) -> None:
    once = shuffled(items, seed, number)
    assert sorted(once) == sorted(items)
    assert shuffled(items, seed, number) == once


def test_shuffles_are_what_they_were() -> None:
    """A stored seed must give the same order in every version: these are the values of the first."""
    assert shuffled(range(8), 3, 7, "p") == [2, 3, 6, 5, 0, 1, 7, 4]
    assert balanced_order(5, 3, 3, "p") == [1, 3, 0, 2, 4]
    assert random_order(5, 3, 7, "p") == [1, 0, 2, 3, 4]


def test_shuffles_reach_every_order_about_equally() -> None:
    found = Counter(tuple(random_order(4, 0, number, "p")) for number in range(4800))
    assert set(found) == set(permutations(range(4)))
    expected = 4800 / 24
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 49.7  # chi², 23 degrees, 0.001


def test_neighbouring_addresses_have_unrelated_orders() -> None:
    orders = [tuple(random_order(6, seed, number, page)) for seed in (0, 1) for number in (0, 1) for page in "ab"]
    assert len(set(orders)) == len(orders)


@settings(deadline=None)
@given(SEEDS)
def test_abx_deals_all_four_cases(seed: int) -> None:
    cases = {(tuple(order), x) for order, x in (abx_order(row, seed, "p") for row in range(4))}
    assert cases == {((0, 1), 0), ((0, 1), 1), ((1, 0), 0), ((1, 0), 1)}


@settings(deadline=None)
@given(SEEDS, st.integers(0, 100), st.integers(1, 2))
def test_headphone_orders(seed: int, number: int, attempt: int) -> None:
    trials, *intervals = headphone_order([3] * 6, seed, number, "p", attempt)
    assert sorted(trials) == list(range(6))
    assert [sorted(order) for order in intervals] == [[0, 1, 2]] * 6


def test_each_try_of_the_headphone_check_has_its_own_order() -> None:
    tries = [headphone_order([3] * 6, 0, 0, "p", attempt) for attempt in (1, 2)]
    assert tries[0] != tries[1]
    quiet = Counter(
        order.index(1) for number in range(300) for order in headphone_order([3] * 6, 0, number, "p", 1)[1:]
    )
    assert set(quiet) == {0, 1, 2}
    assert max(quiet.values()) - min(quiet.values()) < 150  # of 1800


def test_pages_that_everyone_gets_are_balanced() -> None:
    pages = ["a", "b", "c", "d"]
    orders = [balanced_pages(pages, turn, 5, "main") for turn in range(8)]
    positions = Counter((place, name) for order in orders for place, name in enumerate(order))
    assert set(positions.values()) == {2}
    many = [f"p{n}" for n in range(20)]
    assert sorted(balanced_pages(many, 0, 5, "main")) == sorted(many)
    assert balanced_pages(many, 0, 5, "main") != balanced_pages(many, 1, 5, "main")


@settings(deadline=None)
@given(SEEDS, st.integers(0, 50), st.integers(3, 12))
def test_a_replicate_is_not_beside_its_original(seed: int, number: int, count: int) -> None:
    pages = [f"p{n}" for n in range(count)] + ["again"]
    order = shuffled_pages(pages, number, seed, "main", [("again", "p0")])
    assert sorted(order) == sorted(pages)
    assert abs(order.index("again") - order.index("p0")) > 1


def test_where_it_cannot_be_avoided_it_is_beside_it() -> None:
    assert sorted(shuffled_pages(["a", "again"], 0, 0, "main", [("again", "a")])) == ["a", "again"]
    assert shuffled_pages([], 0, 0, "main") == []


@pytest.mark.parametrize(("count", "kind", "rows"), [(4, "williams", 4), (5, "williams", 10), (13, "williams", None)])
def test_many_stimuli_are_shuffled(count: int, kind: str, rows: int | None) -> None:
    assert stimulus_rows(count, kind) == rows  # type: ignore[arg-type]
    assert stimulus_rows(count, "random") is None
