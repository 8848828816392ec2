"""The `clipsonic` command: the way from videos to a sound, and one line and exit code 2 for every mistake."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from clipsonic import __version__
from clipsonic.cli import run
from clipsonic.data import PreparedData
from clipsonic.pipeline import CLIPSonicPipeline

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must end with code 2 and one line; return the line."""

    def check(*arguments: object) -> str:
        assert run([str(each) for each in arguments]) == 2
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert out == "" and len(lines) == 1 and err.rstrip("\n").endswith(lines[0]) and "Traceback" not in err
        return lines[0]

    return check


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, complete: CLIPSonicPipeline) -> Path:
    folder = tmp_path_factory.mktemp("shipped") / "model"
    complete.save_pretrained(str(folder), safe_serialization=True)
    return folder


def test_from_videos_to_a_sound(
    tmp_path: Path,
    videos: Path,
    captions_file: Path,
    preset_file: Path,
    clip_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, out, wav = tmp_path / "data", tmp_path / "run", tmp_path / "sounds" / "x.wav"
    how = ["--captions", str(captions_file), "--preset", str(preset_file), "--clip", str(clip_folder), "--fps", "4"]
    assert run(["prepare", str(videos), "--out", str(data), *how, "--workers", "1", "--json", "-"]) == 0
    told, err = capsys.readouterr()
    assert json.loads(told) == {"schema": 1, "prepared": 3, "skipped": 5, "padded": 0, "out": str(data)}
    assert f"5 skipped: see {data / 'skipped.jsonl'}" in err and "next: clipsonic train" in err

    assert run(["train", str(preset_file), "--data", str(data), "--out", str(out), "--steps", "2"]) == 0
    assert capsys.readouterr().out == f"model in {out / 'model'}\n"
    again = ["train", str(preset_file), "--data", str(data), "--out", str(out), "--steps", "2"]
    assert run([*again, "--json", str(tmp_path / "train.json")]) == 0
    assert json.loads((tmp_path / "train.json").read_text())["steps"] == 2

    assert run(["info", str(out / "model"), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["routes"] == ["image", "text"] and found["parameters"] > 1000
    assert run(["info", str(data)]) == 0
    assert capsys.readouterr().out.startswith("3 rows, CLIP")

    assert run(["generate", str(out / "model"), "--text", "the dog", "--out", str(wav)]) == 0
    assert capsys.readouterr().out == f"1 sound by route 'text': {wav}\n"
    samples, rate_hz = soundfile.read(wav)
    assert samples.shape == (2048,) and rate_hz == 8000


def test_text_conditions_are_trained_on_captions(
    tmp_path: Path,
    prepared_folder: Path,
    preset_file: Path,
    refused: Refused,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = ["train", str(preset_file), "--data", str(prepared_folder), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert run([*common, "--condition", "text"]) == 0
    assert capsys.readouterr().out == f"model in {tmp_path / 'run' / 'model'}\n"
    assert "another training set: continue it with its own command" in refused(*common)
    assert "choose image or text" in refused(*common, "--condition", "audio")


def test_every_route_of_a_complete_model(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "red.png")
    heard = {}
    for route in ("text", "text+shift", "text+prior-pd", "text+prior-sd", "unconditional"):
        out = tmp_path / f"{route}.wav"
        assert run(["generate", str(model), "--text", "the dog", "--route", route, "--out", str(out)]) == 0
        heard[route] = out.read_bytes()
    assert run(["generate", str(model), "--image", str(tmp_path / "red.png"), "--out", str(tmp_path / "i.wav")]) == 0
    heard["image"] = (tmp_path / "i.wav").read_bytes()
    assert len(set(heard.values())) == 6
    assert run(["generate", str(model), "--text", "the dog", "--out", str(tmp_path / "default.wav")]) == 0
    assert (tmp_path / "default.wav").read_bytes() == heard["text+prior-pd"]
    assert "by route 'text+prior-pd'" in capsys.readouterr().out


def test_the_same_command_gives_the_same_sound_in_another_file(tmp_path: Path, model: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        out = str(tmp_path / f"{name}.wav")
        assert run(["generate", str(model), "--text", "the dog", "--seed", seed, "--out", out]) == 0
    a, b, c = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert a == b != c


def test_a_list_of_prompts(
    tmp_path: Path, model: Path, complete: CLIPSonicPipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("id,caption\none,the dog\nmore/two,a bell\n")
    arguments = ["generate", str(model), "--prompts", str(prompts), "--out", str(tmp_path / "s"), "--route", "text"]
    assert run([*arguments, "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["sounds"] == {name: str(tmp_path / "s" / f"{name}.wav") for name in ("one", "more/two")}
    prompts.write_text("id,caption\nmore/two,a bell\n")
    arguments[5] = str(tmp_path / "alone")
    assert run(arguments) == 0
    both = [soundfile.read(tmp_path / where / "more" / "two.wav", dtype="float32")[0] for where in ("s", "alone")]
    mels = [complete.log_mel(samples[None]) for samples in both]
    np.testing.assert_allclose(*mels, atol=0.5)


def test_version_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"clipsonic {__version__}\n"
    assert run(["weights", "list", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1


def test_real_videos_are_prepared(
    tmp_path: Path, media: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--preset", "micro", "--clip", str(clip_folder), "--workers", "1", "--json", "-"]
    assert run(["prepare", str(media / "videos"), "--out", str(tmp_path / "data"), *how]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["prepared"], record["skipped"]) == (6, 0)
    data = PreparedData(tmp_path / "data")
    assert data.ids == sorted(path.stem for path in (media / "videos").glob("*.mp4"))
    log_mels = data.log_mels(np.arange(6))
    assert log_mels.shape == (6, 64, 128) and torch.isfinite(log_mels).all()
    assert (log_mels.amax((1, 2)) > -3).all()  # there is sound in each
    assert [len(vectors) for vectors in data.frame_vectors()] == [3] * 6  # at 0, 1 and 2 s of 2.048 s


# Mistakes


def test_mistakes_of_usage(refused: Refused) -> None:
    assert "No such command" in refused("generat")
    assert "see clipsonic --help" in refused("prepare")
    assert "No such option" in refused("info", "x", "--nope")


def test_mistakes_of_prepare(
    tmp_path: Path, videos: Path, preset_file: Path, clip_folder: Path, refused: Refused
) -> None:
    how = ("--out", tmp_path / "data", "--preset", preset_file, "--workers", 1, "--clip", clip_folder)
    assert "is not a folder of videos" in refused("prepare", tmp_path / "gone", *how)
    assert "did you mean 'micro'?" in refused("prepare", videos, *how, "--preset", "mirco")
    assert "is not known: give micro" in refused("prepare", videos, *how, "--clip", "ViT")
    assert "give a positive number" in refused("prepare", videos, *how, "--fps", 0)
    assert "No such file" in refused("prepare", videos, *how, "--captions", tmp_path / "gone.csv")
    (tmp_path / "c.csv").write_text("id,text\nlow,a\n")
    assert "column caption missing; found id, text" in refused(
        "prepare", videos, *how, "--captions", tmp_path / "c.csv"
    )
    bad = tmp_path / "bad"
    bad.mkdir()
    shutil.copy(videos / "silent.mp4", bad)
    assert "none of 1 videos could be prepared (silent.mp4: silent)" in refused("prepare", bad, *how)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bad", "c.csv"]


def test_mistakes_of_train(tmp_path: Path, prepared_folder: Path, preset_file: Path, refused: Refused) -> None:
    out = ("--out", tmp_path / "run")
    assert "is not prepared data" in refused("train", preset_file, "--data", tmp_path, *out)
    assert "another mel definition" in refused("train", "micro", "--data", prepared_folder, *out)
    assert "--steps" in refused("train", preset_file, "--data", prepared_folder, *out, "--steps", 0)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_of_generate(tmp_path: Path, model: Path, refused: Refused) -> None:
    out = ("--out", tmp_path / "x.wav")
    text = ("--text", "a")
    assert "give one of --text, --image, --prompts; got none" in refused("generate", model, *out)
    assert "got --text, --image" in refused("generate", model, *out, *text, "--image", "x.png")
    assert "route 'txt' does not exist; choose one of" in refused("generate", model, *out, *text, "--route", "txt")
    assert "needs an image query" in refused("generate", model, *out, *text, "--route", "image")
    assert "holds no model" in refused("generate", tmp_path, *out, *text)
    assert "no model 'mirco' ships with clipsonic" in refused("generate", "mirco", *out, *text)
    assert "--steps" in refused("generate", model, *out, *text, "--steps", 0)
    assert "not a readable picture" in refused("generate", model, *out, "--image", tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    assert "not a readable picture" in refused("generate", model, *out, "--image", tmp_path / "text.png")
    (tmp_path / "p.csv").write_text("id,caption\n")
    assert "lists no prompt" in refused("generate", model, *out, "--prompts", tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("id,caption\n../../x,a\n")
    assert "would be written outside" in refused("generate", model, *out, "--prompts", tmp_path / "p.csv")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["p.csv", "text.png"]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, model: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(partial: Path, *rest: object, **named: object) -> None:
        partial.write_bytes(b"RIFF")
        raise OSError(28, "No space left on device", str(partial))

    monkeypatch.setattr("clipsonic.sounds.soundfile.write", full)
    assert "No space left on device" in refused("generate", model, "--text", "a", "--out", tmp_path / "x.wav")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'diffusers'", name="diffusers")

    monkeypatch.setattr("clipsonic.cli._model", absent)
    assert "this needs 'diffusers'" in (line := refused("info", "micro")) and "pip install 'clipsonic[model]'" in line


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ValueError, match="give one of --text"):
        run(["generate", "micro", "--out", "x.wav", "--debug"])
