"""Suites are data: they load, they are complete, and what is misspelt is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.registry import METRICS
from clipsonic_benchmarks.suite import FOLDER, load_suite, read_suite, suite_names

QUICKSTART = (FOLDER / "quickstart.toml").read_text()


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_loads_and_is_named_like_its_file(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    run = {spec.name for spec in suite.systems}
    assert {name for pair in suite.pairs for name in pair} <= run
    assert {name for claim in suite.claims for name in claim.order} <= run


def test_quickstart_compares_every_route_and_every_control() -> None:
    suite = load_suite("quickstart")
    assert {spec.text for spec in suite.systems} == {
        "clipsonic-iq", "clipsonic-pd", "clipsonic-sd", "clipsonic-zs", "clipsonic-shift", "clip-tta", "clap-tta",
        "reference", "resynthesis", "nearest", "unconditional", "shuffled", "noise",
    }  # fmt: skip
    assert set(suite.metrics) == set(METRICS)
    assert suite.items is not None and suite.items.n >= 200


def test_evaluation_and_reference_are_different_items() -> None:
    suite = load_suite("quickstart")
    assert suite.items is not None and suite.reference is not None
    assert (suite.items.split, suite.items.seed) != (suite.reference.split, suite.reference.seed)


def test_the_digest_covers_the_file_but_not_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(QUICKSTART)
    same = read_suite(path).digest
    path.write_text("# another comment\n" + QUICKSTART)
    assert read_suite(path).digest == same == load_suite("quickstart").digest
    path.write_text(QUICKSTART.replace("n = 200", "n = 201"))
    assert read_suite(path).digest != same


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = [0]", "sedes = [0]", "did you mean seeds"),
        ('"clipsonic-iq", "clipsonic-pd", "clipsonic-sd"', '"clipsonic-iqq"', "did you mean clipsonic-iq"),
        ('metrics = ["fad", "kad"', 'metrics = ["fda", "kad"', "unknown metric 'fda'"),
        ("schema = 1", "schema = 2", "this version reads 1"),
        ("version = 2\n", "", "missing or misspelt key 'version'"),
        ("schema = 1", "schema = ", "is not TOML"),
    ],
)
def test_a_broken_suite_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in QUICKSTART
    path = tmp_path / "s.toml"
    path.write_text(QUICKSTART.replace(old, new, 1))
    with pytest.raises(BenchmarkError, match=said):
        read_suite(path)


def test_an_unknown_suite_offers_near_names() -> None:
    with pytest.raises(BenchmarkError, match="did you mean quickstart"):
        load_suite("quickstrat")
