"""Prompts rendered while a training runs: the same conditions and noise each time, and nothing of it in the weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from clipsonic.checkpoint import load_checkpoint
from clipsonic.mel import LogMel
from clipsonic.pipeline import load_model
from clipsonic.preset import Preset, load_preset
from clipsonic.training.clipsonic import train
from clipsonic.training.dataset import TrainingSet
from clipsonic.training.render import pixels_of_a_value, rows_as_prompts, write_picture


def test_prompts_are_rendered_every_so_many_items(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    """Six steps of four items, every ten items: after 12, 20 and, with the model that is saved, 24."""
    rendering = replace(preset, training=replace(preset.training, sample_every=10))
    prompts = {"a": training_set.conditions(np.array([0]))[0][0], "b/../c d": np.eye(8, dtype=np.float32)[0]}
    train(rendering, training_set, tmp_path, seed=0, prompts=prompts, accelerator="cpu")
    rendered = sorted(each.name for each in (tmp_path / "samples").iterdir())
    assert rendered == ["0000000012", "0000000020"]
    files = sorted(each.name for each in (tmp_path / "samples" / rendered[0]).iterdir())
    assert files == ["a.png", "a.wav", "b%2F..%2Fc d.png", "b%2F..%2Fc d.wav"]
    sounds = [soundfile.read(tmp_path / "samples" / seen / "a.wav")[0] for seen in rendered]
    assert sounds[0].shape == (preset.mel.samples,) and not np.array_equal(*sounds)
    state, plain = (load_checkpoint(run / "checkpoint.safetensors")["model"] for run in (tmp_path, run_folder))
    assert all(torch.equal(state[name], plain[name]) for name in plain)


def test_what_is_rendered_last_is_what_the_model_makes(
    tmp_path: Path, training_set: TrainingSet, preset: Preset
) -> None:
    rendering = replace(preset, training=replace(preset.training, sample_every=24))
    train(rendering, training_set, tmp_path, seed=0, accelerator="cpu")
    prompts = rows_as_prompts(training_set)
    assert list(prompts) == list(training_set.ids)
    made = load_model(tmp_path / "model").generate(
        np.stack(list(prompts.values())), list(prompts), seed=0, batch_size=3
    )
    write_picture(tmp_path / "made.png", made.log_mel[0], preset.mel)
    shown = tmp_path / "samples" / "0000000024" / f"{training_set.ids[0]}.png"
    pictures = [np.asarray(Image.open(path), np.float64) for path in (shown, tmp_path / "made.png")]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1 and pictures[0].std() > 10


def test_a_prompt_of_another_space_is_refused(tmp_path: Path, training_set: TrainingSet, preset: Preset) -> None:
    with pytest.raises(ValueError, match=r"prompt 'a' is a vector of shape \(9,\), the training set's have 8"):
        train(preset, training_set, tmp_path, seed=0, prompts={"a": np.ones(9, np.float32)}, accelerator="cpu")


def test_the_picture_is_the_log_mel(tmp_path: Path, preset: Preset) -> None:
    """Low bands below, black at the floor, white at the ceiling."""
    mel = preset.mel
    log_mel = np.full((mel.bands, mel.frames), np.log(mel.floor), np.float32)
    log_mel[0, 5] = mel.ceiling
    write_picture(tmp_path / "mel.png", log_mel, mel)
    with Image.open(tmp_path / "mel.png") as picture:
        pixels = np.asarray(picture)
    high, wide = pixels_of_a_value(mel)
    inside = pixels[24 : 24 + high * mel.bands, 64 : 64 + wide * mel.frames]
    assert (inside[-high:, 5 * wide : 6 * wide] == 255).all() and inside.sum() == high * wide * 255
    assert inside.shape[1] >= 2 * inside.shape[0] and pixels.shape[1] > pixels.shape[0]
    assert (pixels[24:-24, :58] < 128).any() and (pixels[-18:] < 128).any()  # Hz, and seconds


@pytest.mark.parametrize("name", ["micro", "small", "base"])
def test_a_pure_tone_stands_at_its_tick(tmp_path: Path, name: str) -> None:
    mel = load_preset(name).mel
    time = torch.arange(mel.samples) / mel.rate_hz
    write_picture(tmp_path / "mel.png", LogMel(mel)(torch.sin(2 * torch.pi * 4000 * time)[None])[0].numpy(), mel)
    with Image.open(tmp_path / "mel.png") as picture:
        pixels = np.asarray(picture)
    high, _ = pixels_of_a_value(mel)
    row = int(pixels[24 : 24 + high * mel.bands, 64 + 100].argmax())
    ticks = np.flatnonzero(pixels[:, 61] == 0) - 24  # 0, 250, 500, 1000, 2000, 4000, ... Hz from below
    assert abs(ticks[::-1][5] - row) <= 1.5 * high


def test_a_rendering_that_fails_is_a_warning(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: it ended the training, before the checkpoint of its step."""

    def fails(*arguments: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("clipsonic.training.clipsonic.render", fails)
    rendering = replace(preset, training=replace(preset.training, sample_every=16))
    with pytest.warns(RuntimeWarning, match="rendering after step 4 failed: RuntimeError: out of memory; the training"):
        train(rendering, training_set, tmp_path, seed=0, accelerator="cpu")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 4, 5, 6] and "out of memory" in lines[4]["warning"]
    train(rendering, training_set, tmp_path, seed=0, accelerator="cpu")  # which reads its log
    state, plain = (load_checkpoint(run / "checkpoint.safetensors")["model"] for run in (tmp_path, run_folder))
    assert all(torch.equal(state[name], plain[name]) for name in plain)
