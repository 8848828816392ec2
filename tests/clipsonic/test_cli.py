"""The `clipsonic` command: the way from videos to a sound, and one line and exit code 2 for every mistake."""

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
import soundfile
import torch
from typer.exceptions import Abort

from clipsonic import __version__
from clipsonic.cli import run
from clipsonic.prepared import PreparedData

Refused = Callable[..., str]


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
    counts = {"prepared": 3, "skipped": 5, "padded": 0, "cut_texts": 0}
    assert json.loads(told) == {"schema": 1, **counts, "out": str(data)}
    assert "5 skipped (" in err and f"): see {data / 'skipped.jsonl'}" in err and "next: clipsonic train" in err

    assert run(["train", str(preset_file), "--data", str(data), "--out", str(out), "--steps", "2"]) == 0
    assert capsys.readouterr().out == f"model in {out / 'model'}\n"
    again = ["train", str(preset_file), "--data", str(data), "--out", str(out), "--steps", "2"]
    assert run([*again, "--json", str(tmp_path / "train.json")]) == 0
    assert json.loads((tmp_path / "train.json").read_text())["steps"] == 2

    assert run(["info", str(out / "model"), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["routes"] == ["image", "text"] and found["parameters"] > 1000
    assert run(["info", str(data)]) == 0
    assert capsys.readouterr().out.startswith("3 clips, CLIP")

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
    assert "'audio' is not one of 'image', 'text', 'vectors'" in refused(*common, "--condition", "audio")


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
    assert [len(vectors) for vectors in data.frames_of(np.arange(6))] == [3] * 6  # at 0, 1 and 2 s of 2.048 s


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


def test_a_missing_extra_is_named(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'diffusers'", name="diffusers")

    monkeypatch.setattr("clipsonic.commands.info.open_model", absent)
    assert "this needs 'diffusers'" in (line := refused("info", "micro")) and "pip install 'clipsonic[model]'" in line


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from clipsonic.training.stop import Stopped

    def stopped(error: BaseException) -> str:
        def stop(*arguments: object) -> None:
            raise error

        monkeypatch.setattr("clipsonic.commands.generate.find_model", stop)
        capsys.readouterr()
        assert run(["generate", "micro", "--text", "a", "--out", "x.wav"]) == 130
        return capsys.readouterr().err.strip()

    line = "error: stopped; what is finished is kept: repeat the command to go on"
    assert stopped(KeyboardInterrupt()) == line

    from clipsonic.commands.course import show_training
    from clipsonic.preset import load_preset

    how = load_preset("micro").training
    with pytest.raises(Abort, match="stopped after step 4 of 9") as caught, show_training(how):
        raise Stopped("stopped after step 4 of 9")
    assert stopped(caught.value) == "error: stopped after step 4 of 9: repeat the command to go on"


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (("prepare", "{videos}", "--out", "x"), "repeat it with fewer --workers (1 is the fewest)"),
        (("train", "micro", "--data", "x", "--out", "y"), "a smaller --micro-batch (1 is the smallest), or --act"),
        (("train-prior", "micro", "--data", "x", "--out", "y"), "that has a smaller micro_batch in [training]"),
        (("generate", "micro", "--text", "train", "--out", "x.wav"), "a smaller --batch-size (1 is the smallest), or"),
        (("info", "base"), "--debug shows where"),
    ],
)
def test_too_little_memory_is_one_line(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, videos: Path, command: tuple[str, ...], remedy: str
) -> None:
    """Old mistake: a traceback, since torch's own error is a RuntimeError."""
    words = [word.format(videos=videos) for word in command]
    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 9.")

    def full(*_: object) -> None:
        raise error

    for place in ("preset.load_preset", "prior_preset.load_prior_preset", "commands.generate.find_model"):
        monkeypatch.setattr(f"clipsonic.{place}", full)
    line = refused(*words)
    assert line.startswith("error: out of memory (could not allocate 20.00 GiB): ") and remedy in line
    with pytest.raises(torch.OutOfMemoryError):
        run([*words, "--debug"])
    error = RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")
    assert refused(*words).startswith("error: out of memory: ")
    error = RuntimeError("shapes do not match")  # a defect of the program, which is not hidden
    with pytest.raises(RuntimeError, match="shapes"):
        run(words)


@pytest.mark.parametrize("allocate", [torch.empty, np.empty])
def test_a_cpu_has_too_little_memory_too(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, allocate: Callable[[int], object]
) -> None:
    monkeypatch.setattr("clipsonic.commands.generate.find_model", lambda _: allocate(2**58))
    line = refused("generate", "micro", "--text", "a", "--out", "x.wav")
    assert line.startswith("error: out of memory (could not allocate ") and "--batch-size" in line


def test_a_locale_decides_nothing(tmp_path: Path) -> None:
    """Old mistake: texts were written as the locale has it, and the manifest, written last, failed in ASCII."""
    code = (
        "import locale, pathlib, clipsonic.sounds; assert locale.getencoding() != 'UTF-8';"
        "clipsonic.sounds.replace_text(pathlib.Path('manifest.csv'), 'eine M\\xf6we')"
    )
    ascii_alone = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=ascii_alone, check=True)
    assert (tmp_path / "manifest.csv").read_bytes() == "eine Möwe".encode()


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ValueError, match="give one of --text"):
        run(["generate", "micro", "--out", "x.wav", "--debug"])
