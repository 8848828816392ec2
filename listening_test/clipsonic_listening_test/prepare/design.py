"""From the trials of a pass to blocks: which pages everyone sees, which are dealt out, which are repeated.

If each participant gets every page, they stand in one block in random order, the instructed-response pages among them.
If each gets some, the repeated page is the first for everyone and its repeat the last, so that nobody gets a repeat
without what it repeats; the others are dealt out, least-rated first, and each gets one of them at least. Repeats always
come last, far from the first time.

More systems than one page may hold (12 signals, hidden reference and anchors among them: BS.1534-3) are split over
several pages of each prompt: a resolvable incomplete block design, in which every system stands once per prompt and
every pair of systems meets about equally often over the prompts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from clipsonic_listening_test.order import shuffled
from clipsonic_listening_test.pages import Attribute, Block, Instructed, Page
from clipsonic_listening_test.prepare.material import Material, Options
from clipsonic_listening_test.prepare.naming import prefixed
from clipsonic_listening_test.study import Scale

MOST_SIGNALS: Final = 12
LONG_MINUTES: Final = 5.0  # in a longer session, one missed instruction must not decide alone
PAGE_S: Final = 20.0  # what a page takes beside listening
AROUND_PAGES: Final = 7  # consent, checks, instructions, questions, end
LISTENINGS: Final = 1.5  # how often a stimulus is heard on average, for the estimate of time
_TRIES: Final = 60


@dataclass(frozen=True)
class Pass:
    """The trials of one pass. group: who gets them, None is everyone."""

    name: str
    pages: tuple[Page, ...]
    instructions: Page
    group: str | None = None


def pass_blocks(
    one: Pass, material: Material, scales: dict[str, Scale], options: Options, most: int
) -> tuple[list[Block], list[str]]:
    """Blocks of one pass, in order, and what there is to say about them. most: trials for each if nothing is said."""
    wanted = min(options.per_participant or most, len(one.pages))
    groups = None if one.group is None else (one.group,)
    page_s = PAGE_S + mean_page_s(one.pages, material)
    shown = wanted + min(options.training, len(one.pages)) + min(options.replicates, len(one.pages)) + 1
    minutes = (shown * page_s + AROUND_PAGES * PAGE_S) / 60
    checks = instructed(one, scales, 1 if minutes < LONG_MINUTES else 2, options.seed)
    repeats = [
        replace(page, id=prefixed("repeat", page.id), replicate_of=page.id)
        for page in _chosen(one.pages, options.replicates, options.seed, one.name, "replicates")
    ]
    training = [
        replace(page, id=prefixed("training", page.id), training=True)
        for page in _chosen(_fullest(one.pages), options.training, options.seed, one.name, "training")
    ]
    blocks = [Block(f"{one.name}-instructions", (one.instructions,), groups)]
    if training:
        blocks += [Block(f"{one.name}-training", tuple(training), groups)]
    if wanted == len(one.pages):
        blocks += [_main(one, (*one.pages, *checks), groups, None, options)]
        last = repeats
    else:
        first = [page for page in one.pages if page.id in {repeat.replicate_of for repeat in repeats}][: wanted - 1]
        repeats = [repeat for repeat in repeats if repeat.replicate_of in {page.id for page in first}]
        rest = tuple(page for page in one.pages if page not in first)
        if first:
            blocks += [Block(f"{one.name}-first", tuple(first), groups, "random", None, None)]
        blocks += [_main(one, rest, groups, wanted - len(first), options)]
        last = [*repeats, *checks]
    if last:
        blocks += [Block(f"{one.name}-last", tuple(last), groups, "random")]
    pages = wanted + len(training) + len(checks) + len(repeats)
    note = (
        f"{one.name}: {wanted} of {len(one.pages)} trials for each participant, {len(training)} for training, "
        f"{len(repeats)} repeated, {len(checks)} instructed; about {max(1, round(pages * page_s / 60))} minutes"
    )
    return blocks, [note]


def mean_page_s(pages: Sequence[Page], material: Material) -> float:
    """Seconds of listening that a page takes: its sounds, each heard one and a half times."""
    seconds = [material.seconds(path) for path in material.facts]
    stimuli = sum(len(page.stimuli) for page in pages) / len(pages)
    return LISTENINGS * stimuli * sum(seconds) / len(seconds)


def instructed(one: Pass, scales: dict[str, Scale], count: int, seed: int) -> list[Page]:
    """Instructed-response pages: copies of trials on which one stimulus is to be rated in the lowest tenth.

    Its ratings are no data. None on pages without ratings: a choice has no lowest tenth.
    """
    pages = []
    for page in _chosen(one.pages, count, seed, one.name, "instructed"):
        if not page.attributes:
            continue
        attribute: Attribute = page.attributes[0]
        scale = scales[attribute.scale]
        below = scale.low + max((scale.high - scale.low) / 10, scale.step)
        at = shuffled(range(len(page.stimuli)), seed, page.id, "instructed")[0]
        require = replace(page.require, one_at_top=False)
        pages.append(
            replace(
                page,
                id=prefixed("instructed", page.id),
                attributes=(attribute,),
                instructed=Instructed(at, below),
                require=require,
            )
        )
    return pages


def split_systems(
    systems: Sequence[str], prompts: Sequence[str], most: int, seed: int
) -> tuple[dict[str, list[tuple[str, ...]]], str | None]:
    """For each prompt, sets of at most `most` systems that together are all; and a line on the design, if it is split.

    Sets of one prompt differ in size by one at most. Over the prompts, the number of times that two systems meet is
    kept as even as a seeded search finds.
    """
    if len(systems) <= most:
        return {prompt: [tuple(systems)] for prompt in prompts}, None
    parts = -(-len(systems) // most)
    met = dict.fromkeys(itertools.combinations(systems, 2), 0)
    sets: dict[str, list[tuple[str, ...]]] = {}
    for prompt in prompts:
        tries = [_deal(shuffled(systems, seed, prompt, "split", k), parts, systems) for k in range(_TRIES)]
        best = min(tries, key=lambda dealt: sum(2 * met[pair] + 1 for pair in _pairs(dealt)))
        for pair in _pairs(best):
            met[pair] += 1
        sets[prompt] = best
    low, high = min(met.values()), max(met.values())
    line = (
        f"{len(systems)} systems on {parts} pages per prompt: incomplete blocks in which each pair of systems "
        f"meets on {low} to {high} of {len(prompts)} prompts"
    )
    return sets, line


def _main(
    one: Pass, pages: tuple[Page, ...], groups: tuple[str, ...] | None, count: int | None, options: Options
) -> Block:
    return Block(one.name, pages, groups, "random", count, options.ratings_per_page)


def _chosen(pages: Sequence[Page], count: int, *address: str | int) -> list[Page]:
    return shuffled(pages, *address)[:count]


def _fullest(pages: Sequence[Page]) -> list[Page]:
    """Pages with the most stimuli: training is to show the whole range."""
    most = max(len(page.stimuli) for page in pages)
    return [page for page in pages if len(page.stimuli) == most]


def _deal(order: Sequence[str], parts: int, systems: Sequence[str]) -> list[tuple[str, ...]]:
    place = {system: at for at, system in enumerate(systems)}
    return [tuple(sorted(order[part::parts], key=place.__getitem__)) for part in range(parts)]


def _pairs(sets: Sequence[tuple[str, ...]]) -> list[tuple[str, str]]:
    return [pair for one in sets for pair in itertools.combinations(one, 2)]
