"""`clipsonic info`: what a model folder, a preset and prepared data hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipsonic.cli import run
from clipsonic.preset import read_provenance

Ask = Callable[..., Any]


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str]) -> Ask:
    def ask(*arguments: object) -> Any:
        assert run(["info", *map(str, arguments), "--json", "-"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found.pop("schema") == 1
        assert run(["info", *map(str, arguments)]) == 0
        found["lines"] = capsys.readouterr().out.splitlines()
        return found

    return ask


def test_a_preset(asked: Ask) -> None:
    found = asked("base")
    assert 140e6 < found["parameters"] < 145e6 and found["condition_dim"] == 768 and 9.9 < found["seconds"] < 10
    assert found["flops"] > 4e11
    assert found["keys"] == [vars(each) for each in read_provenance("base")]
    assert found["lines"][0] == "142.90 M parameters for CLIP vectors of 768 dimensions"
    assert "[network]" in found["lines"] and "head_dim = 64  # choice" in found["lines"]


def test_micro_is_a_model_and_a_preset(asked: Ask) -> None:
    model, preset = asked("micro"), asked("micro", "--preset")
    assert model["parameters"] == preset["parameters"]
    assert model["settings"]["diffusion"]["prediction"] == "v_prediction" and "settings" not in preset
    assert model["scheduler"] == "DPMSolverMultistepScheduler" and Path(model["folder"]).name == "micro-0"
    assert model["lines"][-1] == "vocoder: griffin-lim" and "keys" in preset


def test_a_model_says_what_it_is(asked: Ask, tmp_path: Path, model_folder: Path) -> None:
    copy = shutil.copytree(model_folder, tmp_path / "model")
    index = json.loads((copy / "model_index.json").read_text())
    index["settings"]["provenance"] = {"preset": "small", "steps": "6"}
    (copy / "model_index.json").write_text(json.dumps(index))
    assert asked(copy)["lines"][-2:] == ["preset: small", "steps: 6"]


def test_a_model_of_vectors_has_one_route(asked: Ask) -> None:
    assert asked("micro-clap-tta")["routes"] == ["vectors"]


def test_a_file_of_ones_own(asked: Ask, preset_file: Path) -> None:
    found = asked(preset_file)
    assert found["condition_dim"] == 8 and [each["key"] for each in found["keys"]] == ["clip"]


def test_prepared_data(asked: Ask, prepared_folder: Path) -> None:
    found = asked(prepared_folder)
    assert found["rows"] == 3 and found["mel"]["bands"] == 16


def test_what_is_nothing_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "holds no model: model_index.json is missing" in refused("info", tmp_path)
    assert "did you mean 'base'?" in refused("info", "bases", "--preset")
    assert "no model 'mikro' ships" in refused("info", "mikro")
