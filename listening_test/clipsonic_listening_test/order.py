"""Orders: of stimuli on a page, of pages in a block, of the headphone check's tones, and which of A and B is X.

Every draw has an address (study seed, session number or row, page, purpose) and is made by hashing it, so an order
can be made again from its address alone, in any language, and adding one draw changes no other.

Balance is by Williams squares (Williams 1949, Aust. J. Chem. 2:149): over all rows of the square each stimulus stands
equally often in each position and each ordered pair of neighbours occurs equally often. There are n rows for an even
number of stimuli and 2n for an odd one. Above `MOST_BALANCED` stimuli orders are plain seeded shuffles.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, Literal, TypeVar

MOST_BALANCED: Final = 12
_REDRAWS: Final = 200

T = TypeVar("T")
Kind = Literal["williams", "random"]


def shuffled(items: Iterable[T], *address: str | int) -> list[T]:
    """The items in the order that belongs to the address.

    They are sorted by the SHA-256 of the address (as JSON), a slash and their index.
    """
    prefix = hashlib.sha256(json.dumps(address).encode())

    def drawn(numbered: tuple[int, T]) -> bytes:
        digest = prefix.copy()
        digest.update(f"/{numbered[0]}".encode())
        return digest.digest()

    return [item for _, item in sorted(enumerate(items), key=drawn)]


def williams_rows(count: int) -> int:
    """Rows of the Williams square of `count` stimuli; 1 for none or one."""
    return max(1, count if count % 2 == 0 else 2 * count if count > 1 else 1)


def williams_square(count: int) -> list[tuple[int, ...]]:
    """The rows of a Williams square: permutations of 0..count-1.

    Shape (count or 2 * count, count). The first row zigzags 0, 1, n-1, 2, n-2, …, the others add 1 modulo n; an odd
    count needs the mirrored rows too.
    """
    zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    rows = [tuple((step + shift) % count for step in zigzag) for shift in range(count)]
    return rows or [()] if count % 2 == 0 or count < 2 else rows + [row[::-1] for row in rows]


def stimulus_rows(count: int, kind: Kind) -> int | None:
    """How many rows a page of `count` stimuli deals out, or None if each session shuffles for itself."""
    return williams_rows(count) if kind == "williams" and count <= MOST_BALANCED else None


def balanced_order(count: int, row: int, seed: int, page: str) -> list[int]:
    """Indices 0..count-1 in the order of one row of the page's square, whose stimuli are numbered by the seed."""
    names = shuffled(range(count), seed, page, "square")
    return [names[index] for index in williams_square(count)[row]]


def random_order(count: int, seed: int, number: int, page: str) -> list[int]:
    """Indices 0..count-1 shuffled for session `number` of the study."""
    return shuffled(range(count), seed, number, page, "stimuli")


def least_used_row(rows: int, used: dict[int, int], seed: int, page: str) -> int:
    """The row given out least often; ties in an order drawn once for the page."""
    return min(shuffled(range(rows), seed, page, "rows"), key=lambda row: used.get(row, 0))


def abx_order(row: int, seed: int, page: str) -> tuple[list[int], int]:
    """Order of the two stimuli, and the index of the one that is X. Row 0..3: all four cases."""
    case = shuffled(range(4), seed, page, "abx")[row]
    return ([0, 1] if case < 2 else [1, 0]), case % 2


def headphone_order(sizes: Sequence[int], seed: int, number: int, page: str, attempt: int) -> list[list[int]]:
    """Orders of the headphone check: first the order of the trials, then one order of the intervals for each of them.

    sizes: intervals of each trial (three, in Woods et al. 2017). The trials' order is the first list, then come the
    intervals' orders in the order of the trials as shown.
    """
    trials = shuffled(range(len(sizes)), seed, number, page, "headphones", attempt)
    return [trials, *(shuffled(range(sizes[at]), seed, number, page, "intervals", attempt, at) for at in trials)]


def balanced_pages(pages: Sequence[str], turn: int, seed: int, block: str) -> list[str]:
    """Pages that everyone gets, in the row of their Williams square whose turn it is; shuffled where many."""
    if len(pages) > MOST_BALANCED:
        return shuffled(pages, seed, turn, block, "pages")
    rows = shuffled(range(williams_rows(len(pages))), seed, block, "rows")
    return [pages[at] for at in balanced_order(len(pages), rows[turn % len(rows)], seed, block)]


def shuffled_pages(
    pages: Sequence[str], number: int, seed: int, block: str, apart: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """Pages in an order of session `number`'s own.

    `apart` names pairs that should not be neighbours (a page and its replicate): of up to `_REDRAWS` shuffles the
    first with the fewest such neighbours is taken.
    """
    pairs = {frozenset(pair) for pair in apart}
    best: list[str] = []
    fewest = len(pages) + 1
    for attempt in range(_REDRAWS):
        order = shuffled(pages, seed, number, block, "pages", attempt)
        found = sum(frozenset(two) in pairs for two in pairwise(order))
        if found < fewest:
            best, fewest = order, found
        if fewest == 0:
            break
    return best
