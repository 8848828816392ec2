"""Plans: what is refused, what is resumed, and that a unit's key holds all that its sound depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.plan import Log, Plan, check_folder, first_difference, make_plan, read_plan, write_plan

ITEMS = {"a": "digest-a", "b": "digest-b"}
SUITE = {"name": "s", "version": 1, "sha256": "…", "n": 2}
SYSTEM = {"name": "x", "argument": None, "identity": {"weights_sha256": "w"}}


def plan(**changes: object) -> Plan:
    given = {"suite": SUITE, "system": SYSTEM, "items": ITEMS, "seeds": (0,), "left_out": {}} | changes
    return make_plan(**given)  # type: ignore[arg-type]


def line(unit: object, **more: object) -> dict[str, object]:
    return {"schema": 1, "item": unit.item, "seed": unit.seed, "key": unit.key, **more}  # type: ignore[attr-defined]


def test_units_are_items_times_seeds_and_survive_the_file(tmp_path: Path) -> None:
    made = plan(seeds=(0, 1))
    assert [(unit.item, unit.seed) for unit in made.units] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    write_plan(tmp_path, made)
    assert read_plan(tmp_path) == made
    assert read_plan(tmp_path).digest == made.digest


@pytest.mark.parametrize(
    "change",
    [
        {"system": {**SYSTEM, "identity": {"weights_sha256": "v"}}},
        {"items": {"a": "other", "b": "digest-b"}},
        {"seeds": (1,)},
    ],
)
def test_a_key_changes_with_system_item_and_seed(change: dict[str, object]) -> None:
    assert plan(**change).units[0].key != plan().units[0].key


def test_the_same_plan_may_go_on_and_another_is_refused_by_name(tmp_path: Path) -> None:
    write_plan(tmp_path, plan())
    check_folder(tmp_path, plan())
    other = plan(system={**SYSTEM, "identity": {"weights_sha256": "v"}})
    with pytest.raises(BenchmarkError, match=r"system\.identity\.weights_sha256 is w there and v here; repeat"):
        check_folder(tmp_path, other)
    with pytest.raises(BenchmarkError, match=r"suite\.n is 2 there and 3 here"):
        check_folder(tmp_path, plan(suite={**SUITE, "n": 3}, items={**ITEMS, "c": "digest-c"}))
    with pytest.raises(BenchmarkError, match="seeds"):
        check_folder(tmp_path, plan(seeds=(4,)))


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BenchmarkError, match="holds no plan"):
        check_folder(tmp_path, plan())


def test_first_difference_names_missing_keys_too() -> None:
    assert first_difference({"a": {"b": 1}}, {"a": {}}) == ("a.b", "1", "None")
    assert first_difference({"a": [1, 2]}, {"a": [1, 3]}) == ("a[1]", "2", "3")


def test_a_log_knows_what_waits(tmp_path: Path) -> None:
    made = plan()
    log = Log(tmp_path, made)
    assert log.waiting() == list(made.units)
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "a.wav").write_bytes(b"x")
    log.append([line(made.units[0], file="sounds/a.wav"), line(made.units[1], error="boom")])
    again = Log(tmp_path, made)
    assert again.waiting() == [made.units[1]], "a failed unit is tried again"
    assert again.failed() == {"b": "boom"}
    assert [one["item"] for one in again.finished()] == ["a"]
    (tmp_path / "sounds" / "a.wav").unlink()
    assert Log(tmp_path, made).waiting() == list(made.units), "a sound that was deleted is made again"


def test_an_item_is_finished_when_all_its_seeds_are(tmp_path: Path) -> None:
    made = plan(seeds=(0, 1))
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "a.wav").write_bytes(b"x")
    log = Log(tmp_path, made)
    log.append([line(made.units[0], file="sounds/a.wav"), line(made.units[1], error="boom")])
    assert log.finished() == []
    assert len(log.lines()) == 2, "but its first sound is not forgotten"


def test_lines_of_another_plan_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "a.wav").write_bytes(b"x")
    Log(tmp_path, plan()).append([line(replace(plan().units[0], key="stranger"), file="sounds/a.wav")])
    assert Log(tmp_path, plan()).waiting() == list(plan().units)


def test_sounds_of_several_seeds_do_not_collide() -> None:
    assert plan().sound_path("a", 0) == "sounds/a.wav"
    several = plan(seeds=(0, 1))
    assert several.sound_path("a", 0) != several.sound_path("a", 1)
