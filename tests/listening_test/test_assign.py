"""Pages and groups are dealt so that counts differ by at most one, drop-outs or not."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listening_rig import StudyMaker, block, full_study, page

from clipsonic_listening_test.assign import Filled, StudyFull, choose_group, choose_pages, deal, is_full, labels
from clipsonic_listening_test.pages import Attribute, Block, Instructed, Page
from clipsonic_listening_test.study import Study, load_study


def trial(id: str, **members: object) -> Page:
    return Page(id, "multi", stimuli=("a", "b"), attributes=(Attribute("q", "s", "q"),), **members)  # type: ignore[arg-type]


@dataclass
class Panel:
    """A simulated panel on one block: sessions come, hold pages, answer them or leave; time is counted in arrivals."""

    block: Block
    seed: int
    lease: int
    number: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    held: list[tuple[int, list[str]]] = field(default_factory=list)  # until, pages not answered

    def counts(self) -> Counter[str]:
        return self.answered + Counter(name for until, pages in self.held if until > self.number for name in pages)

    def arrive(self, answers: int | None) -> int:
        """Somebody comes and answers so many of their pages at once (None: all). Returns how many they were given."""
        if is_full(self.block, self.counts()):
            raise StudyFull
        given = choose_pages(self.block, self.seed, self.number, self.counts())
        self.number += 1
        done = given if answers is None else given[:answers]
        self.answered.update(done)
        if len(done) < len(given):
            self.held.append((self.number + self.lease, given[len(done) :]))
        return len(given)

    def spread(self) -> int:
        counts = [self.answered[each.id] for each in self.block.pages]
        return max(counts) - min(counts)


def pages(count: int) -> tuple[Page, ...]:
    return tuple(trial(f"p{n}") for n in range(count))


@settings(deadline=None)
@given(st.integers(1, 12), st.data(), st.integers(0, 10**6))
def test_without_drop_outs_counts_never_differ_by_more_than_one(count: int, data: st.DataObject, seed: int) -> None:
    each = data.draw(st.integers(1, count))
    panel = Panel(Block("main", pages(count), per_participant=each), seed, lease=5)
    for _ in range(25):
        assert panel.arrive(None) == each
        assert panel.spread() <= 1


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(1, 12), st.integers(1, 6), st.integers(0, 10**6), st.data())
def test_with_a_target_drop_outs_leave_no_gap(
    count: int, each: int, target: int, seed: int, data: st.DataObject
) -> None:
    """Two in five leave anywhere; when the block is full, every page has its target or one more."""
    dealt = Block("main", pages(count), per_participant=min(each, count), ratings_per_page=target)
    panel = Panel(dealt, seed, lease=data.draw(st.integers(0, 8)))
    luck = random.Random(data.draw(st.integers(0, 10**6)))
    for _ in range(10_000):
        try:
            panel.arrive(luck.randrange(count) if luck.random() < 0.4 else None)
        except StudyFull:
            if panel.counts() == panel.answered:
                break
            panel.number += 1  # nobody is let in while the last pages are held; their leases run out
    assert all(target <= panel.answered[each.id] <= target + 1 for each in dealt.pages)
    assert panel.spread() <= 1


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 10), st.integers(0, 10**6))
def test_without_a_target_gaps_close_as_others_come(count: int, seed: int) -> None:
    panel = Panel(Block("main", pages(count), per_participant=2), seed, lease=3)
    luck = random.Random(seed)
    for _ in range(40):
        panel.arrive(luck.randrange(2) if luck.random() < 0.4 else None)
    for _ in range(3 + 40 * count):
        panel.arrive(None)
    assert panel.spread() <= 1


def test_dealing_at_random_does_leave_gaps() -> None:
    """What is usual instead; the properties above must be able to fail."""
    luck = random.Random(0)
    counts = Counter(name for _ in range(30) for name in luck.sample(range(12), 4))
    assert max(counts.values()) - min(counts[name] for name in range(12)) > 1


def test_a_lease_that_has_run_out_frees_its_pages() -> None:
    panel = Panel(Block("main", pages(4), per_participant=2), 0, lease=1)
    panel.arrive(0)
    panel.arrive(None)
    assert panel.spread() == 1 and len(panel.answered) == 2  # the other two are held
    panel.arrive(None)
    assert panel.spread() == 0, panel.answered  # free again, so they came first


def test_a_full_block_is_full() -> None:
    dealt = Block("main", pages(2), per_participant=1, ratings_per_page=1)
    assert len(choose_pages(dealt, 0, 0, {"p0": 1})) == 1
    assert choose_pages(dealt, 0, 0, {"p0": 1}) == ["p1"]
    assert not is_full(dealt, {"p0": 1}) and is_full(dealt, {"p0": 1, "p1": 1})
    assert choose_pages(dealt, 0, 0, {"p0": 2, "p1": 1}) == ["p1"]  # one above the target, and no more
    assert choose_pages(dealt, 0, 0, {"p0": 2, "p1": 2}) == []


def test_a_full_pass_does_not_close_the_other() -> None:
    """Drop-outs fill one pass before the other: by group, and one after the other in one session."""
    limits = {"per_participant": 1, "ratings_per_page": 1}
    one = Block("one", (trial("a0"), trial("a1")), ("A",), **limits)  # type: ignore[arg-type]
    other = Block("other", (trial("b0"), trial("b1")), ("B",), **limits)  # type: ignore[arg-type]
    between = replace(_bare(), groups=("A", "B"), blocks=(one, other))
    only_one = Filled({"A": 0, "B": 5}, {("a0", 0): 1, ("a1", 0): 1})
    both = Filled({}, {**only_one.rows, ("b0", 0): 1, ("b1", 0): 1})
    for number in range(10):
        assert choose_group(between, number, only_one) == "B"
        with pytest.raises(StudyFull):
            choose_group(between, number, both)

    within = replace(between, groups=("A",), blocks=(one, replace(other, groups=None)))
    assert choose_group(within, 0, only_one) == "A"
    assert [each.block for each in deal(within, 0, "A", only_one)] == ["one", "other"]
    beyond = Filled({}, {("a0", 0): 2, ("a1", 0): 2})
    assert [each.block for each in deal(within, 0, "A", beyond)] == ["other"]
    with pytest.raises(StudyFull):
        choose_group(within, 0, both)


def test_replicates_go_with_their_page_and_instructed_pages_to_everyone() -> None:
    dealt = Block(
        "main",
        (*pages(6), trial("again", replicate_of="p0"), trial("check", instructed=Instructed(0, 10))),
        per_participant=2,
    )
    for number in range(30):
        given = choose_pages(dealt, 1, number, {})
        assert "check" in given
        assert ("again" in given) == ("p0" in given)
        assert len(set(given) - {"check", "again"}) == 2


def test_everyone_gets_everything_where_nothing_is_dealt() -> None:
    assert choose_pages(Block("main", pages(5)), 0, 3, {}) == [f"p{n}" for n in range(5)]


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6), st.integers(1, 40))
def test_groups_are_filled_evenly(tiny: int, seed: int, sessions: int) -> None:
    study = replace(_bare(), groups=tuple(f"g{n}" for n in range(tiny)), seed=seed)
    groups: Counter[str] = Counter()
    for number in range(sessions):
        groups[choose_group(study, number, Filled(groups))] += 1
        counts = [groups[group] for group in study.groups]
        assert max(counts) - min(counts) <= 1


def _bare() -> Study:
    return Study(
        schema=1, kind="study", id="s", title={"en": "s"}, made_by="", preset="gen", seed=0, name="", departures=(),
        languages=("en",), rate_hz=16000, channels=1, systems=(), stimuli={}, scales={}, blocks=(),
    )  # fmt: skip


def test_a_deal_belongs_to_its_session(tmp_path: Path) -> None:
    study = load_study(full_study(tmp_path / "study"))
    once = deal(study, 5, "A", Filled())
    assert deal(study, 5, "A", Filled()) == once
    assert deal(replace(study, seed=4), 5, "A", Filled()) != once
    assert deal(study, 6, "A", Filled()) != once
    kinds = [study.pages[each.page].type for each in once]
    assert kinds[:3] == ["consent", "headphones", "volume"] and kinds[-1] == "finish"


def test_stimuli_are_balanced_over_sessions_that_all_get_a_page(tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    study = load_study(maker.write([block("main", maker.trial("t", 4), maker.trial("u", 3))]))
    rows: Counter[tuple[str, int]] = Counter()
    orders: dict[str, list[tuple[int, ...]]] = {"t": [], "u": []}
    for number in range(12):
        for each in deal(study, number, "A", Filled({}, rows)):
            rows[each.page, each.row] += 1
            orders[each.page].append(each.stimuli)
    for name, sessions in (("t", 12 // 4), ("u", 12 // 3)):
        positions = Counter((place, at) for order in orders[name] for place, at in enumerate(order))
        assert set(positions.values()) == {sessions}


def test_groups_see_their_own_blocks(tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    blocks = [
        block("a", maker.trial("t"), groups=["fidelity"]),
        block("b", maker.trial("u"), groups=["relevance"]),
        block("end", page("finish", "finish")),
    ]
    study = load_study(maker.write(blocks, groups=["fidelity", "relevance"]))
    assert [each.page for each in deal(study, 0, "fidelity", Filled())] == ["t", "finish"]
    assert [each.page for each in deal(study, 0, "relevance", Filled())] == ["u", "finish"]


def test_x_is_dealt_evenly(tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    pair = [maker.sound("a", system="s"), maker.sound("b", system="t")]
    study = load_study(maker.write([block("main", page("abx", "abx", stimuli=pair))]))
    rows: Counter[tuple[str, int]] = Counter()
    found: Counter[tuple[tuple[int, ...], int | None]] = Counter()
    for number in range(40):
        (each,) = deal(study, number, "A", Filled({}, rows))
        rows[each.page, each.row] += 1
        found[each.stimuli, each.x] += 1
    assert len(found) == 4 and set(found.values()) == {10}
    assert list(labels(study.pages["abx"])) == ["A", "B", "X"]


def test_labels_go_on_after_z() -> None:
    many = Page("p", "multi", stimuli=tuple(f"s{n}" for n in range(30)))
    assert list(labels(many))[24:29] == ["Y", "Z", "AA", "AB", "AC"]
