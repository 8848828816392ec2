"""Who gets which pages: groups and pages are dealt least-filled first, ties by the study's seed.

A page counts as filled by each answer to it and by each lease on it: a session holds its pages until it has not been
heard of for `Assignment.lease_minutes`. What a participant who left has not answered is free again then, so the
counts of a block's pages differ by at most one once the last of them is answered. (Who comes back later keeps their
pages; that may add one.) Answers of sessions that were
screened out, failed the checks or took back their consent do not count.

With a target (`Block.ratings_per_page`) pages below it come first, pages at it only fill up a participant's share,
and no page gets more than one above it; when every page has its target, the block is full. A group is full when all of
its blocks with a target are, and the study when all groups are: drop-outs fill one pass before the other.

A replicate goes with the page it repeats and an instructed page to everyone; neither counts towards
`Block.per_participant`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

from clipsonic_listening_test.order import (
    abx_order,
    balanced_order,
    balanced_pages,
    headphone_order,
    least_used_row,
    random_order,
    shuffled,
    shuffled_pages,
    stimulus_rows,
)
from clipsonic_listening_test.pages import Block, Page
from clipsonic_listening_test.study import Study

HEADPHONE_TRIES = 2


class StudyFull(Exception):
    """Every page that could be given has its ratings."""


@dataclass(frozen=True)
class Filled:
    """What has been given out and still counts: sessions by group, and sessions by (page, row)."""

    groups: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @cached_property
    def pages(self) -> Mapping[str, int]:
        """Sessions that answered a page or hold a lease on it, by page."""
        pages: dict[str, int] = {}
        for (page, _), count in self.rows.items():
            pages[page] = pages.get(page, 0) + count
        return pages

    @cached_property
    def used(self) -> Mapping[str, dict[int, int]]:
        """How often each row of a page is in use, by page."""
        used: dict[str, dict[int, int]] = {}
        for (page, row), count in self.rows.items():
            used.setdefault(page, {})[row] = count
        return used


@dataclass(frozen=True)
class AssignedPage:
    """One page of one session.

    row: row of the page's Williams square, or the session's number where each session shuffles for itself.
    stimuli: indices into `Page.stimuli`, in the order shown. x: index of the stimulus that X is. headphones: for each
    try, `order.headphone_order`.
    """

    page: str
    block: str
    row: int
    stimuli: tuple[int, ...] = ()
    x: int | None = None
    headphones: tuple[tuple[tuple[int, ...], ...], ...] = ()


def choose_group(study: Study, number: int, filled: Filled) -> str:
    """The group with the fewest sessions of those with something left to rate; ties drawn for the session.

    Raises:
        StudyFull: every group is full.
    """
    groups = [group for group in study.groups if not _group_is_full(study, group, filled.pages)]
    if not groups:
        raise StudyFull
    return min(shuffled(groups, study.seed, number, "group"), key=lambda group: filled.groups.get(group, 0))


def is_full(block: Block, counts: Mapping[str, int]) -> bool:
    """Whether the block has a target, and each of its pages that are dealt has as many ratings."""
    target, dealt = block.ratings_per_page, _dealt(block)
    return target is not None and bool(dealt) and all(counts.get(page, 0) >= target for page in dealt)


def choose_pages(block: Block, seed: int, number: int, counts: Mapping[str, int]) -> list[str]:
    """Ids of the block's pages that session `number` gets, in the block's order: none where no page takes one more."""
    if block.per_participant is None and block.ratings_per_page is None:
        return [page.id for page in block.pages]
    target, dealt = block.ratings_per_page, _dealt(block)
    left = [page for page in dealt if target is None or counts.get(page, 0) <= target]
    if dealt and not left:
        return []
    drawn = shuffled(left, seed, number, block.id, "deal")
    drawn.sort(key=lambda page: counts.get(page, 0))
    everyone = [page.id for page in block.pages if page.instructed is not None]
    chosen = {*everyone, *drawn[: block.per_participant]}
    return [page.id for page in block.pages if page.id in chosen or page.replicate_of in chosen]


def deal(study: Study, number: int, group: str, filled: Filled) -> list[AssignedPage]:
    """Every page of session `number`, in its order, with the order of what stands on it."""
    assigned = []
    for block in _blocks_of(study, group):
        chosen = choose_pages(block, study.seed, number, filled.pages)
        if block.order == "random":
            apart = [(name, other) for name in chosen if (other := study.pages[name].replicate_of) is not None]
            if apart or len(chosen) < len(block.pages):
                chosen = shuffled_pages(chosen, number, study.seed, block.id, apart)
            else:
                chosen = balanced_pages(chosen, filled.groups.get(group, 0), study.seed, block.id)
        assigned += [arrange(study, study.pages[name], block.id, number, filled) for name in chosen]
    return assigned


def arrange(study: Study, page: Page, block: str, number: int, filled: Filled) -> AssignedPage:
    """A page with the orders that session `number` sees on it."""
    used = filled.used.get(page.id, {})
    kind, seed = study.assignment.stimulus_order, study.seed
    if page.type == "abx":
        row = least_used_row(4, used, seed, page.id)
        order, x = abx_order(row, seed, page.id)
        return AssignedPage(page.id, block, row, tuple(order), x)
    if page.headphones is not None:
        sizes = [len(trial.stimuli) for trial in page.headphones]
        tries = (headphone_order(sizes, seed, number, page.id, attempt + 1) for attempt in range(HEADPHONE_TRIES))
        return AssignedPage(page.id, block, number, headphones=tuple(tuple(map(tuple, orders)) for orders in tries))
    rows = stimulus_rows(len(page.stimuli), kind)
    if rows is None:
        return AssignedPage(page.id, block, number, tuple(random_order(len(page.stimuli), seed, number, page.id)))
    row = least_used_row(rows, used, seed, page.id)
    return AssignedPage(page.id, block, row, tuple(balanced_order(len(page.stimuli), row, seed, page.id)))


def labels(page: Page) -> tuple[str, ...]:
    """Labels of the stimuli in the order shown: A, B, …, Z, AA, …; for ABX A, B, X."""
    return ("A", "B", "X") if page.type == "abx" else _letters(len(page.stimuli))


def _blocks_of(study: Study, group: str) -> list[Block]:
    return [block for block in study.blocks if block.groups is None or group in block.groups]


def _group_is_full(study: Study, group: str, counts: Mapping[str, int]) -> bool:
    targeted = [block for block in _blocks_of(study, group) if block.ratings_per_page is not None]
    return bool(targeted) and all(is_full(block, counts) for block in targeted)


def _dealt(block: Block) -> list[str]:
    """Pages that are dealt out; the others go with them, or to everyone."""
    return [page.id for page in block.pages if page.instructed is None and page.replicate_of is None]


@cache
def _letters(count: int) -> tuple[str, ...]:
    letters = [chr(65 + at) for at in range(26)]
    return tuple([*letters, *(first + second for first in letters for second in letters)][:count])
