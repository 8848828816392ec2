"""`clipsonic train`: what each condition trains, rendered prompts, and one line for every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from clipsonic.claim import LOCK, claimed
from clipsonic.cli import run
from clipsonic.commands.course import MOST_SEED
from clipsonic.prepared import PreparedData
from clipsonic.preset import Preset
from clipsonic.training.dataset import TrainingSet
from clipsonic.vectors import write_vectors

Refused = Callable[..., str]


@pytest.fixture
def command(preset_file: Path, prepared_folder: Path, tmp_path: Path) -> list[str]:
    return [
        "train",
        str(preset_file),
        "--data",
        str(prepared_folder),
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
    ]


def test_vectors_of_another_encoder(command: list[str], prepared: PreparedData, tmp_path: Path) -> None:
    """Of another dimension than CLIP's, in another order than the data's, with vectors to spare."""
    rng = np.random.default_rng(0)
    ids = ["spare", *reversed(prepared.ids)]
    write_vectors(tmp_path / "e.npz", ids, rng.normal(size=(4, 5)).astype(np.float32))
    assert run([*command, "--condition", "vectors", "--vectors", str(tmp_path / "e.npz"), "--steps", "1"]) == 0
    settings = json.loads((tmp_path / "run" / "model" / "model_index.json").read_text())["settings"]
    assert settings["conditioning"]["dim"] == 5 and settings["clip"] is None


def test_the_space_of_vectors_is_kept_and_held_to(
    command: list[str], prepared: PreparedData, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old mistake: any vectors of the dimension were taken for the encoder's that the model was trained on."""
    path, vectors = tmp_path / "e.npz", np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    write_vectors(path, prepared.ids, vectors, space="clap/sha256:0")
    assert run([*command, "--condition", "vectors", "--vectors", str(path), "--steps", "1"]) == 0
    model = str(tmp_path / "run" / "model")
    capsys.readouterr()
    assert run(["info", model]) == 0
    assert "clap/sha256:0" in capsys.readouterr().out
    ask = ["generate", model, "--vectors", str(path), "--out"]
    assert run([*ask, str(tmp_path / "same")]) == 0
    assert "nobody vouches" not in capsys.readouterr().err
    write_vectors(path, prepared.ids, vectors)
    assert run([*ask, str(tmp_path / "unnamed")]) == 0
    said = "of a space that their file does not name, the model takes those of space clap/sha256:0: nobody vouches"
    assert said in capsys.readouterr().err
    write_vectors(path, prepared.ids, vectors, space="clap/sha256:1")
    line = refused(*ask, tmp_path / "other")
    assert "of space clap/sha256:1, this model takes those of clap/sha256:0: another encoder's" in line
    assert not (tmp_path / "other").exists()
    assert run([*ask, str(tmp_path / "none"), "--route", "unconditional"]) == 0  # where they are only named


def test_prompts_and_memory_savers(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text("id,caption\nbell,the bell\n")
    savers = ["--micro-batch", "3", "--activation-checkpointing"]
    prompts = ["--sample-every", "8", "--prompts", str(tmp_path / "prompts.csv")]
    assert run([*command, "--steps", "2", *savers, *prompts]) == 0
    rendered = sorted(path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("bell.*"))
    assert rendered == ["samples/0000000008/bell.png", "samples/0000000008/bell.wav"]


@pytest.mark.parametrize("asked", [True, False])
def test_what_is_typed_is_what_is_trained(
    command: list[str], tmp_path: Path, preset: Preset, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    """Or else what the preset says."""
    found: dict[str, object] = {}

    def train(preset: Preset, data: TrainingSet, run: Path, **named: object) -> None:
        found.update(named, training=preset.training, kind=data.kind, run=run)

    monkeypatch.setattr("clipsonic.training.clipsonic.train", train)
    numbers = "--seed 7 --steps 5 --micro-batch 3 --sample-every 8"
    typed = f"--condition text {numbers} --activation-checkpointing --strategy fsdp --compile" if asked else ""
    assert run([*command, *typed.split()]) == 0
    changed = {"steps": 5, "micro_batch": 3, "sample_every": 8, "activation_checkpointing": True}
    assert callable(found.pop("report"))
    assert found == {
        "training": replace(preset.training, **changed) if asked else preset.training,  # type: ignore[arg-type]
        "kind": "captions" if asked else "frames",
        "run": tmp_path / "run",
        "seed": 7 if asked else 0,
        "prompts": None,
        "strategy": "fsdp" if asked else "auto",
        "accelerator": "cpu",
        "compile": asked,
    }


def test_what_the_preset_says_of_memory_holds(
    command: list[str], preset_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, found = tmp_path / "mine.toml", list[Preset]()
    saving = "[training]\nmicro_batch = 2\nactivation_checkpointing = true\n"
    mine.write_text(preset_file.read_text().replace("[training]\n", saving))
    monkeypatch.setattr("clipsonic.training.clipsonic.train", lambda preset, *_, **__: found.append(preset))
    assert run(["train", str(mine), *command[2:]]) == 0
    assert found[0].training.micro_batch == 2 and found[0].training.activation_checkpointing


def test_progress_says_speed_and_time_left(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 0
    said = capsys.readouterr()
    assert "items/s, 0:00:00 left" in said.err and "6/6" in said.err
    assert said.out.startswith("model in ")


def test_other_ranks_are_silent(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run([*command, "--steps", "1"]) == 0
    assert capsys.readouterr().out == ""


def test_mistakes(command: list[str], tmp_path: Path, prepared: PreparedData, refused: Refused) -> None:
    vectors = tmp_path / "e.npz"
    assert "'--seed'" in refused(*command, "--seed", -1)
    assert "less than or equal to 10000000000000" in refused(*command, "--seed", 10**13 + 1)
    for inside in ("none/x.json", "run/a/b.json"):
        assert "there is no folder" in refused(*command, "--json", tmp_path / inside)
    assert "--vectors is missing" in refused(*command, "--condition", "vectors")
    assert "--vectors is not for --condition image" in refused(*command, "--vectors", vectors)
    write_vectors(vectors, prepared.ids[:2], np.ones((2, 5), np.float32))
    line = refused(*command, "--condition", "vectors", "--vectors", vectors)
    assert f"1 of 3 rows have no vector, the first is {prepared.ids[2]!r}" in line
    assert "--sample-every N, which is missing" in refused(*command, "--prompts", tmp_path / "p.csv")
    assert "device 'gpu' is not to be had for training here" in refused(*command, "--device", "gpu")
    assert "'fsdp1' is not one of 'auto', 'ddp', 'fsdp'" in refused(*command, "--strategy", "fsdp1")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["e.npz"]


@pytest.mark.parametrize("condition", ["image", "text"])
def test_data_of_another_clip_are_refused(
    command: list[str], tmp_path: Path, preset_file: Path, prepared: PreparedData, condition: str, refused: Refused
) -> None:
    """Old mistake: `prepare --preset base` took the CLIP micro, and `train base` took that."""
    other = tmp_path / "other.toml"
    other.write_text(preset_file.read_text().replace(f'"{prepared.clip}"', '"ViT-L-14/openai"', 1))
    line = refused("train", other, *command[2:], "--condition", condition)
    assert f"was prepared with CLIP {prepared.clip}, preset '{other}' is for ViT-L-14/openai: type " in line
    assert f"clipsonic prepare VIDEOS --preset {other} --out NEW" in line and not (tmp_path / "run").exists()
    write_vectors(tmp_path / "e.npz", prepared.ids, np.eye(3, 5, dtype=np.float32))  # of no CLIP: any preset's
    vectors = ["--condition", "vectors", "--vectors", str(tmp_path / "e.npz"), "--steps", "1"]
    assert run(["train", str(other), *command[2:], *vectors]) == 0


def test_vectors_that_are_all_the_same_are_refused(
    command: list[str], tmp_path: Path, prepared: PreparedData, refused: Refused
) -> None:
    write_vectors(tmp_path / "e.npz", prepared.ids, np.ones((3, 5), np.float32))
    line = refused(*command, "--condition", "vectors", "--vectors", tmp_path / "e.npz")
    assert "all 3 condition vectors of these data are the same" in line


def test_a_place_of_something_else_is_refused(
    command: list[str], tmp_path: Path, prepared_folder: Path, model_folder: Path, refused: Refused
) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "plan.json").write_text("{}")
    for place, message in (
        (prepared_folder, "holds a prepared.json and is no folder of a training"),
        (model_folder / "run", "holds a model_index.json and is no folder of a training"),
        (tmp_path / "sounds", "and so sounds: choose another --out"),
    ):
        before = sorted(place.rglob("*"))
        assert message in refused(*command, "--out", place)
        assert sorted(place.rglob("*")) == before


def test_two_of_one_training_at_once(command: list[str], tmp_path: Path, refused: Refused) -> None:
    with claimed(tmp_path / "run"):
        assert "another process is at work in" in refused(*command)
    assert run([*command, "--steps", "1"]) == 0
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_full_disk_at_the_model_folder_is_one_line(
    command: list[str], tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: safetensors' own error, which is no OSError, leaked as a traceback."""
    import safetensors.torch as whole

    save = whole.save_file

    def full(tensors: object, filename: object, *rest: object, **named: object) -> None:
        Path(str(filename)).write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        line = refused(*command, "--steps", "1")
    assert "cannot be written (Error while serializing: I/O error: No space left on device (os error 28))" in line
    assert f"{tmp_path / 'run' / 'model'} cannot be written" in line  # and not the name of its part
    assert line.count("make room, and repeat the command") == 1 and whole.save_file is save
    assert not (tmp_path / "run" / "model").exists() and not list((tmp_path / "run").glob(".*"))
    assert run([*command, "--steps", "1"]) == 0


def test_the_largest_seed(command: list[str], tmp_path: Path) -> None:
    """Old mistake: milliseconds since 1970, which torch's generators take, were refused."""
    most = 2**64 - 1  # of torch's generators
    assert MOST_SEED > 1_700_000_000_000 and most >= MOST_SEED * 1_000_003 + 10**12
    assert run([*command, "--steps", "1", "--seed", str(MOST_SEED), "--json", str(tmp_path / "run" / "r.json")]) == 0
    assert (tmp_path / "run" / "r.json").is_file()


def test_a_mistake_in_the_preset_is_said_before_anything_is_made(
    command: list[str], tmp_path: Path, preset_file: Path, refused: Refused
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('vocoder = "bigvgan-v2-24khz-100band"\n' + preset_file.read_text())
    assert "rate_hz 8000 (wanted 24000)" in refused("train", mine, *command[2:])
    assert not (tmp_path / "run").exists()
