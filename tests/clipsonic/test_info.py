"""`clipsonic info`: what a model folder, a preset and prepared data hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipsonic.cli import run
from clipsonic.prepared import PreparedData
from clipsonic.preset import read_provenance
from clipsonic.prior import build_prior
from clipsonic.prior_folder import PriorRecord, save_prior

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
    kinds = ("broken", "no picture", "no sound", "silent", "too short")
    assert found["skipped"] == dict.fromkeys(kinds, 1)
    digest = PreparedData(prepared_folder).digest
    assert (found["padded"], found["texts"], found["cut_texts"], found["digest"]) == (0, ["caption"], 0, digest)
    assert found["lines"][2:] == [
        "skipped: 1 broken, 1 no picture, 1 no sound, 1 silent, 1 too short",
        "padded with silence: 0",
        "texts: caption",
        "texts longer than CLIP's context: 0",
        f"digest: {digest}",
    ]


def test_a_mel_is_told_in_plain_words(asked: Ask, prepared_folder: Path, model_folder: Path) -> None:
    """Old mistake: Python's own writing of records."""
    for place in (prepared_folder, model_folder):
        lines = asked(place)["lines"]
        assert "sound: 0.26 s at 8000 Hz; log-mel of 16 bands, 0 to 4000 Hz, 32 frames (n_fft 256, hop 64)" in lines
        assert not any("Config(" in line or "Diffusion(" in line for line in lines)
    said = "v_prediction on 1000 timesteps of squaredcos_cap_v2; sampler dpm-solver++, 4 steps, guidance 2"
    assert said in asked(model_folder)["lines"]


def test_the_folder_of_a_training(asked: Ask, tmp_path: Path, run_folder: Path) -> None:
    found = asked(run_folder)
    assert (found["step"], found["steps"], found["made"]) == (6, 6, str(run_folder / "model"))
    assert found["lines"][0] == f"step 6 of 6, in {run_folder / 'checkpoint.safetensors'}"
    assert found["lines"][1].startswith("loss ") and found["lines"][1].endswith(" at step 6")
    assert found["lines"][2] == f"model in {run_folder / 'model'}"
    (tmp_path / "log.jsonl").write_text('{"step": 1, "warning": "x"}\n{"step": 2, "lo')  # killed while it wrote
    assert asked(tmp_path)["lines"] == [
        "no checkpoint yet",
        "no loss is logged yet",
        "not finished: repeat its command to go on",
    ]


def test_a_prior(asked: Ask, tmp_path: Path) -> None:
    names = ("predicted_image", "predicted_text", "image_text", "predicted_unrelated", "image_unrelated")
    scores = {"pairs": 1, **{name: {"mean": 0.5, "low": None, "high": None} for name in names}}
    known = {"clip": "micro", "clip_sha256": None, "dim": 8, "pairs": 9, "guidance_scale": 1.5, "steps": 7}
    known |= {"samples": 2, "image_mean": (0.0,) * 8, "text_mean": (0.0,) * 8, "scores": scores}
    save_prior(build_prior(8, heads=2, head_dim=8, layers=1), PriorRecord(**known), tmp_path / "prior")
    found = asked(tmp_path / "prior")
    assert (found["clip"], found["steps"], found["scores"]) == ("micro", 7, scores)
    assert found["lines"][0].endswith(" M parameters for 8 dimensions of CLIP micro, trained on 9 pairs")
    assert found["lines"][1:3] == [
        "7 steps, guidance 1.5, the best of 2 drawn",
        "mean cosines over 1 held-out pair:",
    ]
    assert found["lines"][3].startswith("   0.50  what is drawn and the true image vector") and len(found["lines"]) == 8


def test_what_is_nothing_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "holds no model: model_index.json is missing" in refused("info", tmp_path)
    assert "did you mean 'base'?" in refused("info", "bases", "--preset")
    assert "no model or preset of that name; did you mean 'micro'? models: micro, micro-0" in refused("info", "mikro")
