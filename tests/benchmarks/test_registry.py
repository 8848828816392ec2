"""Names: what exists, what was meant, and what may not be typed."""

from __future__ import annotations

import pytest

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.registry import SYSTEMS, SystemSpec, check_metrics, load


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "folder"])
def test_every_system_has_a_class(name: str) -> None:
    assert callable(load(SYSTEMS[name].target).generate)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("clipsonic-qi", "did you mean clipsonic-iq"),
        ("zzz", "Known: clipsonic-iq, "),
        ("clipsonic-iq:", "ends in a colon"),
        ("reference:x", "takes no argument"),
        ("folder", "type folder:PATH"),
    ],
)
def test_a_system_that_cannot_be_meant(typed: str, said: str) -> None:
    with pytest.raises(BenchmarkError, match=said):
        SystemSpec.parse(typed)


def test_an_unknown_metric_offers_near_names() -> None:
    with pytest.raises(BenchmarkError, match="did you mean clap-score"):
        check_metrics(["fad", "clapscore"])


def test_metrics_are_not_repeated() -> None:
    assert check_metrics(["fad", "kad", "fad"]) == ("fad", "kad")


def test_folder_names_are_safe_and_tell_systems_apart() -> None:
    names = [
        "clipsonic-iq",
        "clipsonic-iq:micro-1",
        "folder:/a/b c",
        "folder:/x/b c",
        "folder:../..",
        "clipsonic-iq:a/b",
    ]
    found = [SystemSpec.parse(name).folder_name for name in names]
    assert len(set(found)) == len(found)
    assert found[:2] == ["clipsonic-iq", "clipsonic-iq+micro-1"]
    assert all("/" not in name and name not in (".", "..") for name in found)


def test_a_missing_library_says_what_to_type() -> None:
    with pytest.raises(BenchmarkError, match=r"pip install 'clipsonic\[bench\]'"):
        load("no_such_library_at_all:Thing")
