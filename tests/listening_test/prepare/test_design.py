"""Blocks: what everybody sees, what is dealt out, what is repeated; and many systems over several pages."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipsonic_listening_test.pages import Attribute, Page, Require
from clipsonic_listening_test.prepare.decode import Facts
from clipsonic_listening_test.prepare.design import Pass, pass_blocks, split_systems
from clipsonic_listening_test.prepare.material import Material, Options
from clipsonic_listening_test.prepare.samples import Samples
from clipsonic_listening_test.study import Scale

CQS = {"cqs": Scale(0, 100, 1, "cqs"), "acr": Scale(1, 5, 1, "acr")}


def material(seconds: float = 1.0) -> Material:
    path = Path("x/y.wav")
    samples = Samples(Path(), ("a",), {}, {}, {})
    return Material(samples, {path: Facts("", 16_000, 1, round(16_000 * seconds), 0.5, None)}, 16_000, 2)


def one(count: int, scale: str = "cqs", group: str | None = None, stimuli: int = 4) -> Pass:
    ids = tuple(f"s{k}" for k in range(stimuli))
    attributes = (Attribute("fidelity", scale, "fidelity"),)
    pages = [
        Page(
            f"fidelity__p{k}", "multi", "fidelity", stimuli=ids, attributes=attributes, require=Require(one_at_top=True)
        )
        for k in range(count)
    ]
    return Pass("fidelity", tuple(pages), Page("told", "instructions"), group)


def options(**changed: object) -> Options:
    return Options("gen", **changed)  # type: ignore[arg-type]


def test_all_pages_for_everybody() -> None:
    blocks, notes = pass_blocks(one(2), material(), CQS, options(), most=12)
    assert [block.id for block in blocks] == [
        "fidelity-instructions",
        "fidelity-training",
        "fidelity",
        "fidelity-last",
    ]
    told, training, main, last = blocks
    assert [page.id for page in told.pages] == ["told"] and told.order == "fixed"
    assert all(page.training for page in training.pages) and len(training.pages) == 1
    assert main.order == "random" and main.per_participant is None and len(main.pages) == 3
    checks = [page for page in main.pages if page.instructed is not None]
    assert len(checks) == 1 and checks[0].instructed is not None and checks[0].instructed.below == 10
    assert not checks[0].require.one_at_top  # one cannot be at the top if one must be at the bottom of one
    repeat = last.pages[0]
    assert repeat.replicate_of in {page.id for page in main.pages}
    original = next(page for page in main.pages if page.id == repeat.replicate_of)
    assert repeat.stimuli == original.stimuli and repeat.attributes == original.attributes
    assert notes == [
        "fidelity: 2 of 2 trials for each participant, 1 for training, 1 repeated, 1 instructed; about 2 minutes"
    ]


def test_some_pages_for_each_and_no_repeat_of_what_was_not_seen() -> None:
    blocks, _ = pass_blocks(one(40), material(), CQS, options(per_participant=10, ratings_per_page=6), most=12)
    by_id = {block.id: block for block in blocks}
    first, main, last = by_id["fidelity-first"], by_id["fidelity"], by_id["fidelity-last"]
    assert len(first.pages) == 1 and first.per_participant is None
    assert main.per_participant == 9 and main.ratings_per_page == 6 and len(main.pages) == 39
    assert first.pages[0] not in main.pages
    assert [page.replicate_of for page in last.pages if page.replicate_of] == [first.pages[0].id]
    assert sum(page.instructed is not None for page in last.pages) == 2  # longer than five minutes


@pytest.mark.parametrize("wanted", [1, 2, 3])
@pytest.mark.parametrize("replicates", [1, 3])
def test_every_trial_is_dealt_to_somebody(wanted: int, replicates: int) -> None:
    """Trials that everyone repeats never take the whole share: the others would be rated by nobody."""
    asked = options(per_participant=wanted, replicates=replicates)
    blocks, _ = pass_blocks(one(6), material(), CQS, asked, most=12)
    by_id = {block.id: block for block in blocks}
    first = by_id["fidelity-first"].pages if "fidelity-first" in by_id else ()
    main = by_id["fidelity"]
    assert {page.id for page in (*first, *main.pages)} == {page.id for page in one(6).pages}
    assert main.per_participant is not None and main.per_participant >= 1
    assert len(first) + main.per_participant == wanted
    repeated = [page.replicate_of for page in by_id["fidelity-last"].pages if page.replicate_of]
    assert sorted(str(each) for each in repeated) == sorted(page.id for page in first)


@pytest.mark.parametrize(("minutes", "count"), [(0.1, 1), (30.0, 2)])
def test_a_long_session_has_two_instructed_pages(minutes: float, count: int) -> None:
    blocks, _ = pass_blocks(one(4), material(minutes), CQS, options(), most=12)
    assert sum(page.instructed is not None for block in blocks for page in block.pages) == count


def test_the_lowest_step_of_five_points_is_one() -> None:
    blocks, _ = pass_blocks(one(3, "acr"), material(), CQS, options(), most=12)
    below = [page.instructed.below for block in blocks for page in block.pages if page.instructed is not None]
    assert below == [2]


def test_nothing_asked_for_is_nothing_made() -> None:
    blocks, _ = pass_blocks(one(3), material(), CQS, options(training=0, replicates=0), most=12)
    assert [block.id for block in blocks] == ["fidelity-instructions", "fidelity"]


@pytest.mark.parametrize(
    "asked", [{}, {"per_participant": 1}, {"per_participant": 2, "replicates": 5}, {"replicates": 9}]
)
@pytest.mark.parametrize("group", [None, "fidelity"])
def test_ids_are_unique_and_groups_kept(asked: dict[str, int], group: str | None) -> None:
    blocks, _ = pass_blocks(one(4, group=group), material(), CQS, options(**asked), most=3)
    ids = [page.id for block in blocks for page in block.pages]
    assert len(set(ids)) == len(ids)
    assert {block.groups for block in blocks} == {None if group is None else (group,)}
    shown = {page.id for block in blocks for page in block.pages if block.id != "fidelity"}
    for block in blocks:
        assert block.per_participant is None or 1 <= block.per_participant <= len(block.pages)
        if block.id == "fidelity-last":  # whoever gets a repeat has got what it repeats
            for page in block.pages:
                assert page.replicate_of is None or page.replicate_of in shown or asked.get("per_participant") is None


def test_the_seed_decides_and_nothing_else() -> None:
    same = [pass_blocks(one(9), material(), CQS, options(seed=3), 12)[0] for _ in range(2)]
    assert same[0] == same[1]
    others = {str(pass_blocks(one(9), material(), CQS, options(seed=k), 12)[0]) for k in range(6)}
    assert len(others) > 1


def test_few_systems_stay_together() -> None:
    sets, line = split_systems(("a", "b", "c"), ["p1", "p2"], 9, seed=0)
    assert sets == {"p1": [("a", "b", "c")], "p2": [("a", "b", "c")]} and line is None


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 24), st.integers(1, 12), st.integers(2, 9), st.integers(0, 5))
def test_every_system_once_per_prompt(systems: int, prompts: int, most: int, seed: int) -> None:
    names = tuple(f"s{k:02d}" for k in range(systems))
    sets, line = split_systems(names, [f"p{k}" for k in range(prompts)], most, seed)
    for parts in sets.values():
        assert sorted(name for part in parts for name in part) == list(names)
        assert max(map(len, parts)) <= most and max(map(len, parts)) - min(map(len, parts)) <= 1
        assert all(list(part) == sorted(part) for part in parts)
    assert (line is None) == (systems <= most)


def test_pairs_meet_about_equally_often() -> None:
    """Twelve systems on two pages of six: each pair meets on 5/11 of the prompts if all is even."""
    names = tuple(f"s{k:02d}" for k in range(12))
    prompts = [f"p{k}" for k in range(44)]
    sets, line = split_systems(names, prompts, 9, seed=0)
    met = dict.fromkeys(itertools.combinations(names, 2), 0)
    for parts in sets.values():
        for part in parts:
            for pair in itertools.combinations(part, 2):
                met[pair] += 1
    assert sum(met.values()) / len(met) == pytest.approx(20)
    assert min(met.values()) >= 17 and max(met.values()) <= 23
    assert line == (
        "12 systems on 2 pages per prompt: incomplete blocks in which each pair of systems "
        f"meets on {min(met.values())} to {max(met.values())} of 44 prompts"
    )
    # Always the same halves would leave pairs that never meet.
    assert len({tuple(parts[0]) for parts in sets.values()}) > 10
