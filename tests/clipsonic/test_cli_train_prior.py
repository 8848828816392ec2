"""`clipsonic train-prior` and `attach`: from pairs of any kind to a route of a model folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from clipsonic.claim import claimed
from clipsonic.cli import run
from clipsonic.pipeline import load_model
from clipsonic.training.config import TrainingConfig
from clipsonic.training.objective import Objective

Refused = Callable[..., str]
DIM = 8
TINY = """
[network]
heads = 2
head_dim = 8
layers = 1

[training]
steps = 4
batch = 4
learning_rate = 1e-3
warm_up = 2
weight_decay = 0.0
ema_decay = 0.9
condition_dropout = 0.1
precision = "32-true"
standardise = true
save_every = 2
report_every = 1

[sampling]
guidance_scale = 1.0
steps = 4
samples = 2
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny-prior.toml").write_text(TINY)
    return tmp_path / "tiny-prior.toml"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    lines = ["image,caption"]
    for number in range(6):
        Image.new("RGB", (40, 30), (40 * number, 10, 200 - 40 * number)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,the number {number}")
    (tmp_path / "5.png").write_text("no picture")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs.csv"


def test_from_pictures_and_captions_to_a_route(
    tmp_path: Path, tiny: Path, pairs: Path, run_folder: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = shutil.copytree(run_folder / "model", tmp_path / "model"), tmp_path / "prior-run"
    command = ["train-prior", str(tiny), "--pairs", str(pairs), "--clip", str(clip_folder), "--out", str(out)]
    assert run(command) == 0
    told, err = capsys.readouterr()
    assert told.startswith(f"prior in {out / 'prior'}; mean cosines over 1 held-out pair:\n")
    assert "what is drawn and the true image vector (ViT-L/14: 0.75 or more)" in told and told.count("\n") == 6
    assert f"1 of 6 pictures skipped: see {out / 'pairs' / 'skipped.jsonl'}" in err
    assert f"next: clipsonic attach MODEL {out / 'prior'} --as pd" in err
    assert run([*command, "--json", "-"]) == 0  # done already: the same answer
    record = json.loads(capsys.readouterr().out)
    assert (record["pairs"], record["clip"], record["scores"]["pairs"]) == (4, str(clip_folder), 1)

    assert run(["attach", str(model), str(out / "prior"), "--as", "pd"]) == 0
    assert capsys.readouterr().out == f"{model} has the route text+prior-pd\n"
    assert run(["generate", str(model), "--text", "the dog", "--out", str(tmp_path / "x.wav")]) == 0
    assert "by route 'text+prior-pd'" in capsys.readouterr().out
    unattached = ["generate", str(run_folder / "model"), "--text", "the dog", "--prior", str(out / "prior")]
    assert run([*unattached, "--out", str(tmp_path / "y.wav")]) == 0
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "y.wav").read_bytes()


def test_the_captions_of_the_training_videos_make_a_supervised_prior(
    tmp_path: Path, tiny: Path, prepared_folder: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "prior-run"
    assert run(["train-prior", str(tiny), "--data", str(prepared_folder), "--out", str(out)]) == 0
    assert f"next: clipsonic attach MODEL {out / 'prior'} --as sd" in capsys.readouterr().err
    model = shutil.copytree(run_folder / "model", tmp_path / "model")
    assert run(["attach", str(model), str(out / "prior"), "--as", "sd", "--json", str(tmp_path / "a.json")]) == 0
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "schema": 1,
        "model": str(model),
        "route": "text+prior-sd",
    }
    assert load_model(model).prior_sd is not None


@pytest.mark.parametrize("asked", [True, False])
def test_what_is_typed_is_what_is_trained(
    tmp_path: Path, tiny: Path, prepared_folder: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, asked: bool
) -> None:
    """Or else what the preset says."""
    found: dict[str, object] = {}

    def fit(objective: Objective, config: TrainingConfig, run: Path, **named: object) -> None:
        found.update(named, seed=objective.plan()["seed"], steps=config.steps, run=run)
        raise ValueError("enough")

    monkeypatch.setattr("clipsonic.training.loop.fit", fit)
    typed = "--seed 7 --steps 3 --strategy fsdp --device cpu" if asked else ""
    command = ["train-prior", tiny, "--data", prepared_folder, "--out", tmp_path / "run"]
    assert refused(*command, *typed.split()) == "error: enough"
    assert callable(found.pop("report"))
    assert found == {
        "seed": "7" if asked else "0",
        "steps": 3 if asked else 4,
        "run": tmp_path / "run",
        "strategy": "fsdp" if asked else "auto",
        "accelerator": "cpu" if asked else "auto",
    }


def test_vectors_of_any_pairs(tmp_path: Path, tiny: Path, clip_folder: Path, refused: Refused) -> None:
    image, text = np.random.default_rng(0).normal(size=(2, 10, DIM))
    np.savez(tmp_path / "v.npz", image=image, text=text)
    command = ("train-prior", tiny, "--vectors", tmp_path / "v.npz", "--out", tmp_path / "run")
    assert "give --clip" in refused(*command)
    assert run([str(word) for word in (*command, "--clip", clip_folder, "--steps", 2)]) == 0
    assert (tmp_path / "run" / "prior" / "prior.json").is_file()
    assert "another number of steps" in refused(*command, "--clip", clip_folder)


def test_mistakes(tmp_path: Path, tiny: Path, pairs: Path, prepared_folder: Path, refused: Refused) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    ask = ("train-prior", tiny, "--out", tmp_path / "run")
    assert "give one of --pairs, --data, --vectors; got none" in refused(*ask)
    assert "got --pairs, --data" in refused(*ask, "--pairs", pairs, "--data", prepared_folder)
    assert "--clip micro is not for --data" in refused(*ask, "--data", prepared_folder, "--clip", "micro")
    assert "did you mean 'base'?" in refused("train-prior", "bse", "--out", tmp_path / "run", "--pairs", pairs)
    assert "is not prepared data" in refused(*ask, "--data", tmp_path)
    assert "No such file" in refused(*ask, "--vectors", tmp_path / "gone.npz")
    assert "holds no model" in refused("attach", tmp_path, tmp_path, "--as", "pd")
    assert "--as" in refused("attach", tmp_path, tmp_path, "--as", "dd")
    assert "no folder of a training" in refused(*ask[:2], "--out", prepared_folder, "--data", prepared_folder)
    assert "less than or equal to 10000000000000" in refused(*ask, "--data", prepared_folder, "--seed", 2**62)
    assert "there is no folder" in refused(*ask, "--data", prepared_folder, "--json", tmp_path / "none" / "x.json")
    with claimed(tmp_path / "run"):
        assert "another process is at work in" in refused(*ask, "--data", prepared_folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_prior_of_another_space_is_not_attached(
    tmp_path: Path, tiny: Path, pairs: Path, karlo_clip_folder: Path, run_folder: Path, refused: Refused
) -> None:
    out, model = tmp_path / "prior-run", shutil.copytree(run_folder / "model", tmp_path / "model")
    command = ["train-prior", str(tiny), "--pairs", str(pairs), "--clip", str(karlo_clip_folder), "--out", str(out)]
    assert run([*command, "--steps", "1"]) == 0
    assert ": another space" in refused("attach", model, out / "prior", "--as", "pd")
    text = ("--text", "a", "--out", tmp_path / "x.wav")
    assert ": another space" in refused("generate", model, *text, "--prior", out / "prior")
    assert load_model(model).prior_pd is None and not (tmp_path / "x.wav").exists()


@pytest.mark.large
def test_two_processes_share_encoding_and_training(tmp_path: Path, tiny: Path, pairs: Path, clip_folder: Path) -> None:
    """With gentle steps: where a gradient is rounding alone, Adam makes a step of it."""
    tiny.write_text(TINY.replace("1e-3", "1e-4"))
    common = ["train-prior", str(tiny), "--pairs", str(pairs), "--clip", str(clip_folder), "--device", "cpu"]
    assert run([*common, "--out", str(tmp_path / "one")]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    for strategy in ("ddp", "fsdp"):
        words = [*launcher, "clipsonic", *common, "--strategy", strategy, "--out", str(tmp_path / strategy)]
        done = subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        assert done.stdout.count("prior in") == 1  # one of the processes speaks
    one, *others = (
        load_file(tmp_path / name / "prior" / "diffusion_pytorch_model.safetensors") for name in ("one", "ddp", "fsdp")
    )
    for other in others:
        for name, value in one.items():
            torch.testing.assert_close(other[name], value, atol=1e-6, rtol=1e-5)
