"""What the commands say and offer: pairs for the gap, what each embedder takes, and what to type after an error."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipsonic_metrics import MetricsError, doctor, embedders, load_embedder, modality_gap, sources
from clipsonic_metrics.cli import run
from clipsonic_metrics.embedders import EMBEDDERS, NOT_OFFERED, takes
from clipsonic_metrics.npz import save_embeddings
from clipsonic_metrics.sets import SetOfEmbeddings
from clipsonic_metrics.sound import read_sound

from .conftest import TinyEmbedder

Maker = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPSONIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPSONIC_WEIGHTS", str(tmp_path / "weights"))


@pytest.fixture
def sounds(sound_folder: Maker) -> Path:
    return sound_folder("sounds", n=8)


@pytest.fixture
def images(sounds: Path) -> Path:
    folder = sounds.parent / "images"
    folder.mkdir()
    for index, path in enumerate(sorted(sounds.iterdir())):
        pixels = np.random.default_rng(index).integers(0, 40 + 25 * index, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{path.stem}.png")
    return folder


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    return captured.err


def test_sounds_and_images_have_a_pair_of_embedders(
    sounds: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No embedder takes both: the option once led to an error only."""
    assert run(["gap", "--sounds", str(sounds), "--images", str(images), "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    wav2clip, clip = load_embedder("microworld-wav2clip"), load_embedder("microworld-clip")
    heard = wav2clip.embed_sounds([read_sound(path) for path in sorted(sounds.iterdir())])
    seen = clip.embed_images([np.asarray(Image.open(path)) for path in sorted(images.iterdir())])
    unit = np.stack([frames.mean(axis=0) / np.linalg.norm(frames.mean(axis=0)) for frames in heard])
    expected = [score.value for score in modality_gap(unit, seen)]
    assert [score["value"] for score in record["scores"]] == pytest.approx(expected, rel=1e-5)
    assert {score["embedder"] for score in record["scores"]} == {"microworld-wav2clip+microworld-clip"}
    assert record["scores"][0]["protocol"].endswith(f"{wav2clip.protocol}+{clip.protocol}/video-8-frames")
    named = ["--embedder", "microworld-clip,microworld-wav2clip"]  # in any order, and with what is not needed
    asked = ["gap", "--sounds", str(sounds), "--images", str(images), "--json", "-"]
    assert run([*asked, *named, "--embedder", "microworld-probe"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == record["scores"]


def test_embedders_that_do_not_go_together_are_refused_with_those_that_do(
    sounds: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["gap", "--sounds", str(sounds), "--images", str(images), "--embedder"]
    assert run([*asked, "microworld-clip"]) == 2
    message = error_of(capsys)
    assert "microworld-clip takes no sounds" in message and "wav2clip,open-clip-vit-b-32" in message
    assert run([*asked, "microworld-clap,microworld-clip"]) == 3
    assert "microworld-clap and microworld-clip share no space" in error_of(capsys)


def test_captions_and_images_that_match_nothing_are_named(
    tiny: TinyEmbedder, sounds: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = sounds.parent / "prompts.csv"
    lines = [f"{path.stem},sound {index}" for index, path in enumerate(sorted(sounds.iterdir()))]
    prompts.write_text("\n".join(["id,caption", *lines, "item-99,nothing", "ghost,nothing"]))
    Image.new("RGB", (8, 8)).save(images / "spare.png")
    for sides, said in (
        (["--sounds", str(sounds), "--prompts", str(prompts)], "2 entries of .*prompts.csv have no sound"),
        (["--images", str(images), "--sounds", str(sounds)], "1 entry of .*images has no sound"),
    ):
        assert run(["gap", *sides, "--embedder", "tiny", "--json", "-"]) == 0
        captured = capsys.readouterr()
        [warning] = json.loads(captured.out)["warnings"]
        assert re.search(said, warning["said"]), warning
        assert warning["said"] in captured.err
    (images / "spare.png").unlink()
    assert run(["gap", "--images", str(images), "--prompts", str(prompts), "--embedder", "tiny", "--json", "-"]) == 0
    [warning] = json.loads(capsys.readouterr().out)["warnings"]
    assert warning["ids"] == ["ghost", "item-99"] and "have no image of their id" in warning["said"]


def test_list_says_what_each_embedder_takes_and_what_is_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    taken = {row["embedder"]: row["takes"] for row in record["embedders"]}
    assert taken["panns-cnn14-16k"] == taken["passt"] == ["sounds", "logits"]
    assert taken["clap"] == taken["laion-clap-music"] == taken["microworld-clap"] == ["sounds", "texts"]
    assert taken["open-clip-vit-b-32"] == taken["microworld-clip"] == ["images", "texts"]
    assert taken["vggish"] == taken["encodec-24k"] == taken["wav2clip"] == ["sounds"]
    assert all(taken.values())
    assert record["not_offered"] == NOT_OFFERED
    assert run(["list"]) == 0
    out = capsys.readouterr().out
    assert all(f"not offered: {name}: {reason}" in out for name, reason in NOT_OFFERED.items())


def test_what_an_embedder_takes_is_what_it_can() -> None:
    methods = {"sounds": "embed_sounds", "images": "embed_images", "texts": "embed_texts", "logits": "classify_sounds"}
    for name in EMBEDDERS:
        if name.startswith("microworld-"):
            found = load_embedder(name)
            assert takes(name) == tuple(what for what, method in methods.items() if hasattr(found, method)), name


def test_an_npz_that_does_not_fit_says_what_to_type(
    tiny: TinyEmbedder, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {path.stem: np.ones((1, 6), np.float32) for path in sorted(sounds.iterdir())}
    save_embeddings(SetOfEmbeddings(rows, "tiny@0", "tiny", "d"), tmp_path / "old.npz")
    assert run(["fad", str(tmp_path / "old.npz"), str(sounds), "--embedder", "tiny"]) == 3
    anew = f"make it anew by clipsonic-metrics embed SOUNDS --embedder tiny --out {tmp_path / 'old.npz'}"
    assert anew in error_of(capsys)
    save_embeddings(SetOfEmbeddings(rows, tiny.protocol, "tiny", "d"), tmp_path / "x.npz")
    (tmp_path / "prompts.csv").write_text("id,caption\nitem-00,x\n")
    asked = ["--prompts", str(tmp_path / "prompts.csv"), "--metrics", "clap-score", "--embedder", "tiny"]
    assert run(["score", str(tmp_path / "x.npz"), *asked]) == 2
    message = error_of(capsys)
    assert "7 items of" in message and "item-01: " in message and "add them there, or make x.npz anew" in message


def test_a_profile_and_the_clip_score_are_told_apart(
    sounds: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["score", str(sounds), "--images", str(images), "--metrics", "clip-score", "--profile", "google-fad"]
    assert run(asked) == 2
    message = error_of(capsys)
    assert "which no profile has; compute clip-score by a command of its own, without --profile" in message
    # An embedder of images hears nothing, so that no profile is about it: it is the one of sounds that is refused.
    assert run([*asked, "--embedder", "microworld-clip,microworld-wav2clip"]) == 2
    assert "profile google-fad has no microworld-wav2clip" in error_of(capsys)


def test_the_doctor_asks_every_tokenizer_that_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It once looked at those that ship alone, where an empty one of RoBERTa's is what goes wrong."""
    asked = []

    def load(name: str) -> object:
        asked.append(name)
        if name == "clap":
            raise MetricsError("the tokenizer of clap has 5 tokens, the text encoder 50265: it is empty")
        return TinyEmbedder()

    monkeypatch.setattr(sources, "fetched", lambda name: tmp_path if name == "clap" else None)
    monkeypatch.setattr(embedders, "load_embedder", load)
    found = doctor._checked("tokenizers", doctor.CHECKS["tokenizers"])
    assert found.failed and "clap: the tokenizer of clap has 5 tokens" in found.found
    assert asked == ["microworld-clap", "microworld-clip", "clap"]
