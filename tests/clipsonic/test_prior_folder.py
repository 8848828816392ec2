"""A prior folder names its space; attached to a model folder it is a route, and a foreign one is refused."""

from __future__ import annotations

import json
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import clipsonic.prior_folder as prior_folder
from clipsonic.clip import FrozenClip
from clipsonic.pipeline import CLIPSonicPipeline, load_model
from clipsonic.prior import build_prior
from clipsonic.prior_folder import PriorRecord, attach_prior, check_space, load_prior, read_record, save_prior

DIM = 8


@pytest.fixture(scope="module")
def record(clip_folder: Path) -> PriorRecord:
    return PriorRecord(
        clip=str(clip_folder),
        clip_sha256=FrozenClip(str(clip_folder)).digest,
        dim=DIM,
        pairs=10,
        guidance_scale=1.0,
        steps=4,
        samples=1,
        image_mean=(0.1,) * DIM,
        text_mean=(-0.1,) * DIM,
        scores={"pairs": 1},
    )


@pytest.fixture
def prior(tmp_path: Path, record: PriorRecord) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        built = build_prior(DIM, heads=2, head_dim=8, layers=1)
    built.clip_std.data.fill_(0.4)
    save_prior(built, record, tmp_path / "prior")
    return tmp_path / "prior"


@pytest.fixture
def model(tmp_path: Path, run_folder: Path) -> Path:
    """A model folder without priors and means."""
    return shutil.copytree(run_folder / "model", tmp_path / "model")


def test_what_is_written_is_read(prior: Path, record: PriorRecord) -> None:
    assert read_record(prior) == record
    assert load_prior(prior).config.embedding_dim == DIM
    assert json.loads((prior / "prior.json").read_text())["schema"] == 1
    save_prior(load_prior(prior), replace(record, pairs=11), prior)  # again, in its place
    assert read_record(prior).pairs == 11 and [path.name for path in prior.parent.iterdir()] == ["prior"]


@pytest.mark.parametrize("role", ["pd", "sd"])
def test_attached_it_is_a_route(model: Path, prior: Path, role: str) -> None:
    text = np.eye(2, DIM, dtype=np.float32)
    before = load_model(model)
    with pytest.raises(ValueError, match="needs a prior that this model folder does not hold"):
        before.condition(f"text+prior-{role}", ["a", "b"], text=text)
    attach_prior(model, prior, role)  # type: ignore[arg-type]
    after = load_model(model)
    assert after.condition(f"text+prior-{role}", ["a", "b"], text=text) is not None
    assert after.condition("text+shift", ["a", "b"], text=text) is not None  # with the means of the pairs
    assert after.what == replace(
        before.what, conditioning=replace(before.what.conditioning, image_mean=(0.1,) * DIM, text_mean=(-0.1,) * DIM)
    )
    for name, value in before.unet.state_dict().items():
        assert torch.equal(value, after.unet.state_dict()[name])
    before_again = (model / "model_index.json").stat().st_mtime_ns
    attach_prior(model, prior, role)  # type: ignore[arg-type]  # the same again: nothing to do
    assert (model / "model_index.json").stat().st_mtime_ns == before_again
    record = read_record(prior)
    save_prior(load_prior(prior), replace(record, pairs=record.pairs + 1), prior)
    with pytest.raises(ValueError, match=f"has another prior_{role} already"):
        attach_prior(model, prior, role)  # type: ignore[arg-type]


def test_means_that_are_there_stay(tmp_path: Path, complete: CLIPSonicPipeline, prior: Path) -> None:
    bare = CLIPSonicPipeline(complete.unet, complete.scheduler, settings=complete.what.as_dict())
    bare.save_pretrained(str(tmp_path / "m"))
    attach_prior(tmp_path / "m", prior, "sd")
    assert load_model(tmp_path / "m").what == complete.what


def test_killed_at_any_moment_the_model_folder_is_usable(
    model: Path, prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: the index first, so that a killed command leaves a folder that names a prior it has not."""
    for where in ("copytree", "replace", "replace_text"):

        def killed(*arguments: object, **named: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            owner = {"copytree": shutil, "replace": os, "replace_text": prior_folder}[where]
            patch.setattr(owner, where, killed)
            with pytest.raises(OSError, match="No space left"):
                attach_prior(model, prior, "sd")
        assert load_model(model).prior_sd is None
    attach_prior(model, prior, "sd")
    assert load_model(model).prior_sd is not None
    assert not list(model.glob(".*"))


def test_a_prior_of_another_space_is_refused(model: Path, prior: Path, record: PriorRecord) -> None:
    (prior / "prior.json").write_text((prior / "prior.json").read_text().replace(str(record.clip_sha256), "1" * 64))
    with pytest.raises(ValueError, match=r"was trained on .* \(sha256 111111111111\), the model .*: another space"):
        attach_prior(model, prior, "pd")
    assert load_model(model).prior_pd is None
    place = Path("p")
    with pytest.raises(ValueError, match="with 8 dimensions, the model takes 64 of CLIP micro: another space"):
        check_space(place, record, "micro", None, 64)
    with pytest.raises(ValueError, match="asked by vectors of another encoder: it takes no prior"):
        check_space(place, record, None, None, DIM)
    nameless = replace(record, clip_sha256=None)
    with pytest.raises(ValueError, match="the model on those of CLIP micro: another space"):
        check_space(place, nameless, "micro", "1" * 64, DIM)
    check_space(place, nameless, record.clip, "1" * 64, DIM)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, prior: Path, model: Path, record: PriorRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistakes: a traceback of safetensors, a list of shutil's, and a hidden part in the model folder."""
    before = sorted(tmp_path.rglob("*"))
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what a full disk does, to this process alone
    try:
        with pytest.raises(OSError, match=r"model/prior_pd cannot be written \(.*File too large") as told:
            attach_prior(model, prior, "pd")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    assert "[(" not in str(told.value) and sorted(tmp_path.rglob("*")) == before
    loaded = load_prior(prior)

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(OSError, match=r"prior cannot be written \(I/O error: No space left on device"):
            save_prior(loaded, record, prior)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wrong_folder_is_refused(tmp_path: Path, prior: Path, model: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no prior: prior.json is missing \(clipsonic train-prior"):
        read_record(model)
    with pytest.raises(ValueError, match=rf"{tmp_path} holds no prior: prior.json is missing \(type {prior}\)"):
        read_record(tmp_path)  # as the folder of a training is
    whole = (prior / "prior.json").read_text()
    for change, message in (
        (("dim", "dims"), "unexpected keyword argument 'dims'"),
        (('"schema": 1', '"schema": 2'), "its schema is not 1"),
        (("{", "[", 1), "cannot be used"),
        (('"image_mean"', '"mean"'), "image_mean"),
    ):
        (prior / "prior.json").write_text(whole.replace(*change))
        with pytest.raises(ValueError, match=message):
            read_record(prior)
    (prior / "prior.json").write_text(whole)
    (prior / "diffusion_pytorch_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is damaged"):
        attach_prior(model, prior, "pd")
    assert not (model / "prior_pd").exists()
    with pytest.raises(ValueError, match="holds no model: model_index.json is missing"):
        attach_prior(tmp_path, prior, "pd")


def test_a_prior_that_lacks_a_tensor_is_refused_before_a_model_folder_is_touched(
    tmp_path: Path, prior: Path, model: Path
) -> None:
    """Old mistake: diffusers draws what is missing at random, and says so in a log line."""
    file = prior / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    lost = "transformer_blocks.0.attn1.to_q.weight"
    save_file({name: value for name, value in state.items() if name != lost}, file)
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    for act in (lambda: load_prior(prior), lambda: attach_prior(model, prior, "pd")):
        with pytest.raises(ValueError, match=f"missing {lost}$"):
            act()
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before


def test_a_prior_is_sampled_as_it_says(
    tmp_path: Path, model: Path, prior: Path, record: PriorRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: with guidance and steps of the CLIPSonic's preset, which knows nothing of this prior."""
    asked: list[tuple[float, int, int]] = []

    def sample(_: object, text: torch.Tensor, ids: list[str], seed: int, *how: Any) -> torch.Tensor:
        asked.append(how)
        return text

    monkeypatch.setattr("clipsonic.pipeline.sample_image_embedding", sample)
    text = np.eye(1, DIM, dtype=np.float32)
    save_prior(load_prior(prior), replace(record, guidance_scale=1.5, steps=7, samples=2), prior)
    attach_prior(model, prior, "pd")
    loaded = load_model(model)
    loaded.condition("text+prior-pd", ["a"], text=text)
    loaded.condition("text+prior-pd", ["a"], text=text, prior_guidance_scale=3.0, prior_steps=5, prior_samples=1)
    loaded.save_pretrained(str(tmp_path / "again"))
    load_model(tmp_path / "again").condition("text+prior-pd", ["a"], text=text)
    (model / "prior_pd" / "prior.json").unlink()  # as in the folders that ship: the settings
    load_model(model).condition("text+prior-pd", ["a"], text=text)
    what = loaded.what
    assert asked == [(1.5, 7, 2), (3.0, 5, 1), (1.5, 7, 2), (what.prior_guidance_scale, what.prior_steps, 1)]


@pytest.mark.parametrize("change", [{"steps": 0}, {"steps": 1000}, {"samples": 1.5}, {"guidance_scale": float("nan")}])
def test_a_sampling_that_cannot_be_is_refused(prior: Path, record: PriorRecord, change: dict[str, Any]) -> None:
    values = json.loads((prior / "prior.json").read_text()) | change
    (prior / "prior.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"prior.json cannot be used: "):
        read_record(prior)
