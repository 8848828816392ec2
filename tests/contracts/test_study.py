"""What the benchmarks export, the listening test reads: the two packages share a folder and nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from clipsonic_benchmarks.cli import run_command
from clipsonic_listening_test.check import check_study
from clipsonic_listening_test.cli import run
from clipsonic_listening_test.prepare.progress import no_progress
from clipsonic_listening_test.study import load_study


@pytest.fixture(scope="module")
def fakes() -> ModuleType:
    """The benchmarks' fakes: a world and systems that need no weights."""
    path = Path(__file__).parents[1] / "benchmarks" / "fakes.py"
    spec = importlib.util.spec_from_file_location("contract_fakes", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["contract_fakes"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results(fakes: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of the quickstart on the fakes, whose sounds are long enough to be played."""
    out = tmp_path_factory.mktemp("results")

    def tone(kind: int, rng: np.random.Generator, blur: float) -> np.ndarray:
        time = np.arange(12_000) / 16_000
        wave = 0.5 * np.sin(2 * np.pi * 400 * (kind + 1) * time) + blur * rng.normal(size=len(time))
        return (wave / np.abs(wave).max() * 0.8).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fakes, "tone", tone)
        fakes.install(patch.setattr)
        systems = ["clipsonic-iq", "clipsonic-pd", "clipsonic-zs", "reference", "noise"]
        words = [word for system in systems for word in ("--system", system)]
        assert run_command(["run", "quickstart", "--n", "8", "--out", str(out), *words]) == 0
    yield out


def export(results: Path, out: Path, *words: str) -> dict[str, Any]:
    assert run_command(["export-study", str(results), "--out", str(out), *words]) == 0
    loaded: dict[str, Any] = json.loads((out / "study.json").read_text())
    return loaded


def test_what_is_exported_is_read(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = export(results, tmp_path / "samples")
    assert list(record)[:2] == ["schema", "kind"] and record["kind"] == "samples"
    assert "clipsonic-listen init" in capsys.readouterr().out
    assert {each["id"]: each["role"] for each in record["systems"]} == {
        "clipsonic-iq": "system",
        "clipsonic-pd": "system",
        "clipsonic-zs": "system",
        "reference": "reference",
    }
    assert run(["init", str(tmp_path / "samples"), "--preset", "gen", "--out", str(tmp_path / "study")]) == 0
    study = load_study(tmp_path / "study")
    assert study.systems == ("clipsonic-iq", "clipsonic-pd", "clipsonic-zs") and len(study.prompts) == 8
    assert {prompt.text for prompt in study.prompts.values()} == {each["text"] for each in record["prompts"].values()}
    assert all(prompt.image is not None for prompt in study.prompts.values())
    assert check_study(tmp_path / "study", 2, no_progress).faults == ()
    # From a rating back to the sound that was scored, by its place; two systems may have made the very same sound.
    scored = {each["origin"]: each for each in record["sounds"]}
    for stimulus in study.stimuli.values():
        if stimulus.role == "system":
            assert stimulus.source is not None
            sound = scored[stimulus.source.path]
            assert (sound["system"], sound["prompt"]) == (stimulus.system, stimulus.prompt)
            (place,) = results.glob(f"*/{stimulus.source.path}")
            assert hashlib.sha256(place.read_bytes()).hexdigest() == stimulus.source.sha256 == sound["sha256"]


def test_systems_and_items_can_be_chosen(results: Path, tmp_path: Path) -> None:
    chosen = export(results, tmp_path / "a", "--system", "clipsonic-iq", "--system", "noise", "--n", "4")
    assert [each["id"] for each in chosen["systems"]] == ["clipsonic-iq", "noise"]
    assert len(chosen["prompts"]) == 4 and len(chosen["sounds"]) == 8
    assert len({each["text"] for each in chosen["prompts"].values()}) == 4  # kinds take turns


def test_sounds_that_are_gone_are_named(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fakes: ModuleType
) -> None:
    sound = next(path for path in results.rglob("*.wav") if "clipsonic-zs" in str(path))
    kept = sound.read_bytes()
    sound.unlink()
    try:
        record = export(results, tmp_path / "a")
        assert record["left_out"] == [{"item": sound.stem, "reason": "no sound of clipsonic-zs"}]
        assert f"left out {sound.stem}: no sound of clipsonic-zs" in capsys.readouterr().err
        assert sound.stem not in record["prompts"] and len(record["prompts"]) == 7
        sound.write_bytes(b"another")
        assert run_command(["export-study", str(results), "--out", str(tmp_path / "b")]) == 2
        assert "is not the sound that was scored" in capsys.readouterr().err
        assert not (tmp_path / "b").exists() and sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    finally:
        sound.write_bytes(kept)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--system", "nobody"], "unknown system of this run 'nobody'"),
        (["--system", "reference"], "nothing to judge but the reference"),
    ],
)
def test_bad_choices_are_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run_command(["export-study", str(results), "--out", str(tmp_path / "a"), *words]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "a").exists()


def test_nothing_is_overwritten(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text("mine")
    assert run_command(["export-study", str(results), "--out", str(tmp_path)]) == 2
    assert "is there already and is never overwritten" in capsys.readouterr().err


def test_labels_become_ids_of_their_own() -> None:
    from clipsonic_benchmarks.study import _ids

    ids = _ids(["folder:a/x", "folder:a?x", "clipsonic-iq", "folder:a x", "y" * 90])
    assert list(ids.values())[:4] == ["folder-a-x", "folder-a-x-2", "clipsonic-iq", "folder-a-x-3"]
    assert len(set(ids.values())) == 5 and all(len(id) <= 64 for id in ids.values())
