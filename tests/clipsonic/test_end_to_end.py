"""The whole way on real videos, by command line: prepare, train, train both priors, generate by every route.

Tiny networks and a few steps: what is heard is noise, and every file and command is real.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clipsonic.cli import run
from clipsonic.prepared import PreparedData
from clipsonic.vectors import write_vectors

PRIOR = """
[network]
heads = 2
head_dim = 8
layers = 1

[training]
steps = 3
batch = 4
learning_rate = 1e-3
warm_up = 1
weight_decay = 0.0
ema_decay = 0.9
condition_dropout = 0.1
precision = "32-true"
standardise = true

[sampling]
guidance_scale = 1.0
steps = 4
samples = 1
"""


def clipsonic(*words: object) -> None:
    assert run([str(word) for word in words]) == 0, words


@pytest.fixture(scope="module")
def work(
    tmp_path_factory: pytest.TempPathFactory,
    media: Path,
    preset_file: Path,
    karlo_clip_folder: Path,
) -> Path:
    """A model folder of the real videos with both priors, made by commands alone."""
    work = tmp_path_factory.mktemp("end-to-end")
    videos = sorted((media / "videos").glob("*.mp4"))
    lines = [f"{path.stem},{path.name},{path.stem.split('_')[0]}" for path in videos]
    (work / "videos.csv").write_text("\n".join(["id,video,label", *lines]) + "\n")
    pictures = sorted((media / "images").glob("*.jpg"))
    rows = [f"{path},a photo of a {path.stem.rstrip('0123456789')}" for path in pictures]
    (work / "pairs.csv").write_text("\n".join(["image,caption", *rows]) + "\n")
    (work / "prior.toml").write_text(PRIOR)
    preset = work / "tiny.toml"
    preset.write_text(re.sub(r'^clip = ".*?"', f'clip = "{karlo_clip_folder}"', preset_file.read_text()))
    how = ("--preset", preset, "--workers", 1)
    clipsonic("prepare", work / "videos.csv", "--folder", media / "videos", "--out", work / "data", *how)
    clipsonic("train", preset, "--data", work / "data", "--out", work / "run", "--steps", 20)
    prior = ("train-prior", work / "prior.toml")
    clipsonic(*prior, "--pairs", work / "pairs.csv", "--clip", karlo_clip_folder, "--out", work / "pd")
    clipsonic(*prior, "--data", work / "data", "--out", work / "sd")
    for role in ("pd", "sd"):
        clipsonic("attach", work / "run" / "model", work / role / "prior", "--as", role)
    return work


def test_the_data_are_of_all_videos(work: Path, media: Path) -> None:
    data = PreparedData(work / "data")
    assert data.ids == sorted(path.stem for path in (media / "videos").glob("*.mp4"))
    assert data.captions()[0] == "a photo of baby"
    assert json.loads((work / "run" / "log.jsonl").read_text().splitlines()[-1])["step"] == 20


def test_every_route_gives_sounds(work: Path, media: Path, karlo_folder: Path, tmp_path: Path) -> None:
    model = work / "run" / "model"
    (tmp_path / "prompts.csv").write_text("id,caption\none,a photo of dog\ntwo,a photo of drum\n")
    texts = ("--prompts", tmp_path / "prompts.csv")
    data = PreparedData(work / "data")
    write_vectors(tmp_path / "v.npz", ["one", "two"], data.vectors("clip_text")[:2])
    routes = {
        "image": ("--images", media / "images"),
        "text": (*texts, "--route", "text"),
        "text+shift": (*texts, "--route", "text+shift"),
        "text+prior-pd": (*texts, "--route", "text+prior-pd"),
        "text+prior-sd": (*texts, "--route", "text+prior-sd"),
        "karlo": (*texts, "--prior", karlo_folder, "--prior-samples", 2),
        "vectors": ("--vectors", tmp_path / "v.npz"),
        "unconditional": (*texts, "--route", "unconditional"),
    }
    heard = set()
    for name, how in routes.items():
        clipsonic("generate", model, *how, "--out", tmp_path / name)
        with (tmp_path / name / "manifest.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == (12 if name == "image" else 2)
        for row in rows:
            samples, rate_hz = soundfile.read(tmp_path / name / row["file"])
            assert rate_hz == 8000 and samples.shape == (2048,) and np.abs(samples).max() > 0
            heard.add(samples.tobytes())
    assert len(heard) == 12 + 7 * 2


def test_text_trained_rivals(work: Path, tmp_path: Path) -> None:
    """CLIP-TTA on the labels, CLAP-TTA on vectors that are handed in."""
    data = PreparedData(work / "data")
    vectors = np.random.default_rng(0).normal(size=(len(data), 12)).astype(np.float32)
    write_vectors(tmp_path / "clap.npz", data.ids, vectors)
    ways = {"clip-tta": ("text",), "clap-tta": ("vectors", "--vectors", tmp_path / "clap.npz")}
    for name, how in ways.items():
        out = tmp_path / name
        train = ("train", work / "tiny.toml", "--data", work / "data", "--out", out, "--steps", 2)
        clipsonic(*train, "--condition", *how)
    clipsonic("generate", tmp_path / "clip-tta" / "model", "--text", "a photo of dog", "--out", tmp_path / "a.wav")
    asked = ("--vectors", tmp_path / "clap.npz")
    clipsonic("generate", tmp_path / "clap-tta" / "model", *asked, "--out", tmp_path / "sounds")
    assert len(list((tmp_path / "sounds").glob("*.wav"))) == len(data)
