"""`clipsonic train`: what each condition trains, rendered prompts, and one line for every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clipsonic.cli import run
from clipsonic.prepared import PreparedData
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


def test_prompts_and_memory_savers(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text("id,caption\nbell,the bell\n")
    savers = ["--micro-batch", "3", "--activation-checkpointing"]
    prompts = ["--sample-every", "8", "--prompts", str(tmp_path / "prompts.csv")]
    assert run([*command, "--steps", "2", *savers, *prompts]) == 0
    rendered = sorted(path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("bell.*"))
    assert rendered == ["samples/0000000008/bell.png", "samples/0000000008/bell.wav"]


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


def test_a_mistake_in_the_preset_is_said_before_anything_is_made(
    command: list[str], tmp_path: Path, preset_file: Path, refused: Refused
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('vocoder = "bigvgan-v2-24khz-100band"\n' + preset_file.read_text())
    assert "rate_hz 8000 (wanted 24000)" in refused("train", mine, *command[2:])
    assert not (tmp_path / "run").exists()
