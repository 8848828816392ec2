"""A model folder is read strictly and written whole: whatever lacks or adds a key or tensor is one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from clipsonic.model_folder import check_model_folder, find_model_folder
from clipsonic.pipeline import CLIPSonicPipeline, load_model
from clipsonic.settings import Settings
from clipsonic.weights import model_folder as shipped_folder
from clipsonic.weights import model_names

WEIGHTS = "diffusion_pytorch_model.safetensors"
Table = dict[str, Any]


@pytest.fixture
def copy(tmp_path: Path, model_folder: Path) -> Path:
    return shutil.copytree(model_folder, tmp_path / "model")


def change(file: Path, edit: Callable[[Table], object]) -> None:
    table = json.loads(file.read_text())
    edit(table)
    file.write_text(json.dumps(table))


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        load_model(folder)
    assert "\n" not in str(told.value) and len(str(told.value)) < 700


@pytest.mark.parametrize("name", model_names())
def test_shipped_folders_are_whole(name: str) -> None:
    check_model_folder(shipped_folder(name))


INDEX_CASES: list[tuple[Callable[[Table], object], str]] = [
    (lambda t: t.pop("unet"), "model_index.json: missing unet$"),
    (lambda t: t.pop("settings"), "model_index.json: missing settings$"),
    (lambda t: t.update(prior_xd=[None, None]), "model_index.json: unknown prior_xd$"),
    (lambda t: t.update(_class_name="UnCLIPPipeline"), "_class_name is 'UnCLIPPipeline', expected 'CLIPSonicPipeline'"),
    (lambda t: t.update(unet=["diffusers", "UNet2DModel"]), "unet is diffusers.UNet2DModel, expected UNet2DC"),
    (lambda t: t.update(unet=["os", "system"]), "unet is os.system, expected UNet2DConditionModel"),
    (lambda t: t.update(scheduler=["diffusers", "None_"]), "scheduler is diffusers.None_, expected"),
    (lambda t: t.update(unet=None), "unet is None.None, expected"),
    (lambda t: t.update(unet="x"), "unet must be a library and a class, found 'x'"),
    (lambda t: t.update(scheduler=["diffusers", "DDIMScheduler"]), "_class_name is 'DPM.*', expected 'DDIMScheduler'"),
    (lambda t: t.update(settings=3), "settings must be a table, found 3"),
    (lambda t: t["settings"].pop("vocoder"), r"model settings: missing \['vocoder'\], unknown \[\]"),
    (lambda t: t["settings"].pop("diffusion"), r"model settings: missing \['diffusion'\]"),
    (lambda t: t["settings"]["diffusion"].update(steps=3), r"settings, diffusion: missing \[\], unknown \['steps'\]"),
    (lambda t: t["settings"]["mel"].pop("hop"), r"model settings, mel: missing \['hop'\]"),
    (lambda t: t["settings"].update(mel=[]), r"model settings: mel must be a table, found \[\]"),
    (lambda t: t["settings"].update(steps="many"), "model settings: steps must be a number, found 'many'"),
    (lambda t: t["settings"]["mel"].update(hop=None), "model settings, mel: hop must be a number, found None"),
    (lambda t: t["settings"]["mel"].update(hop=0), "mel: hop 0; expected whole numbers above 0"),
    (lambda t: t["settings"]["mel"].update(patch=8), "mel: patch must be two whole numbers above 0, found 8"),
    (lambda t: t["settings"]["mel"].update(patch=[4, 0]), r"mel: patch must be two .*, found \(4, 0\)"),
    (lambda t: t["settings"]["mel"].update(scale=0.0), "scale above 0"),
    (lambda t: t["settings"]["mel"].update(frames=64), r"unet/config.json: sample_size is \[4, 8\], .* \[4, 16\]"),
    (lambda t: t["settings"]["conditioning"].update(mean=[0.5] * 7), "mean must be 8 finite numbers, or none"),
    (lambda t: t["settings"]["conditioning"].update(mean=0.5), "mean must be 8 finite numbers, or none"),
    (lambda t: t["settings"]["conditioning"].update(scale=0), "conditioning: dim 8 and scale 0, expected numbers"),
    (lambda t: t["settings"]["conditioning"].update(text_mean=[]), "image_mean and text_mean go together"),
    (lambda t: t["settings"].update(steps=0), "model settings: steps 0"),
    (lambda t: t["settings"].update(guidance_scale=float("nan")), "must be finite"),
    (lambda t: t["settings"].update(clip=3), "clip must be a text or null, found 3"),
    (lambda t: t["settings"].update(provenance={"seed": 0}), "provenance must be a table of texts"),
    (lambda t: t["settings"].update(vocoder="bigvgan-v2-24khz-100band"), "does not take this model's mel: .*n_fft 256"),
    (lambda t: t["settings"].update(vocoder="hifigan"), "vocoder 'hifigan' does not exist"),
    (
        lambda t: t["settings"]["diffusion"].update(prediction="epsilon"),
        "expects v_prediction, the network was trained for epsilon",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), INDEX_CASES)
def test_a_wrong_index_is_refused(copy: Path, edit: Callable[[Table], object], message: str) -> None:
    change(copy / "model_index.json", edit)
    refused(copy, message)


PART_CASES: list[tuple[str, Callable[[Table], object], str]] = [
    ("unet/config.json", lambda t: t.pop("attention_head_dim"), "unet/config.json: missing attention_head_dim$"),
    ("unet/config.json", lambda t: t.update(head_dims=3), "unet/config.json: unknown head_dims$"),
    ("unet/config.json", lambda t: t.update(block_out_channels=[16, 64]), "has shape .*, its config says"),
    ("unet/config.json", lambda t: t.update(norm_num_groups=7), "unet/config.json: norm_num_groups is 7, which does"),
    ("unet/config.json", lambda t: t.update(down_block_types=["x", "y"]), "no UNet2DConditionModel can be built of th"),
    ("prior_pd/config.json", lambda t: t.pop("num_layers"), "prior_pd/config.json: missing num_layers$"),
    ("prior_sd/config.json", lambda t: t.update(num_layers=2), "prior_sd/diffusion_py.*: missing transformer_blocks"),
    ("scheduler/scheduler_config.json", lambda t: t.update(beta_shedule=3), "unknown beta_shedule$"),
    ("scheduler/scheduler_config.json", lambda t: t.pop("prediction_type"), "missing prediction_type$"),
    ("scheduler/scheduler_config.json", lambda t: t.update(beta_schedule="linear"), "other noise levels"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "edit", "message"), PART_CASES)
def test_a_wrong_part_is_refused(copy: Path, file: str, edit: Callable[[Table], object], message: str) -> None:
    change(copy / file, edit)
    refused(copy, message)


def test_without_the_check_a_missing_key_would_be_another_network(copy: Path) -> None:
    """diffusers reads on: same tensors, other heads, other sounds."""
    change(copy / "unet" / "config.json", lambda t: t.update(attention_head_dim=16))
    meant = load_model(copy).unet
    change(copy / "unet" / "config.json", lambda t: t.pop("attention_head_dim"))
    read = UNet2DConditionModel.from_pretrained(str(copy), subfolder="unet", low_cpu_mem_usage=False).eval()
    given = torch.randn(1, 20, 4, 8, generator=torch.Generator().manual_seed(0)), torch.tensor(500), None
    with torch.no_grad():
        found, expected = (network(*given, class_labels=torch.zeros(1, 8)).sample for network in (read, meant))
    assert float((found - expected).abs().max()) > 1e-3


@pytest.mark.parametrize("part", ["unet", "prior_pd"])
def test_weights_are_accounted_for(copy: Path, part: str) -> None:
    file = copy / part / WEIGHTS
    state = load_file(file)
    name = sorted(state)[0]
    save_file({key: value for key, value in state.items() if key != name}, file)
    refused(copy, f"{part}/{WEIGHTS}: missing {name}$")
    save_file({**state, "extra": torch.zeros(1)}, file)
    refused(copy, f"{part}/{WEIGHTS}: unknown extra$")
    file.write_bytes(file.read_bytes()[:1000])
    refused(copy, f"{part}/{WEIGHTS} is damaged: ")
    file.unlink()
    refused(copy, f"{part}/{WEIGHTS} is missing$")


def test_what_is_no_json_is_named(copy: Path) -> None:
    (copy / "unet" / "config.json").write_text("{")
    refused(copy, "unet/config.json is not JSON: ")
    (copy / "unet" / "config.json").write_text("[]")
    refused(copy, "unet/config.json must hold a table")
    (copy / "unet" / "config.json").unlink()
    refused(copy, "unet/config.json is missing")
    (copy / "model_index.json").write_text('"')
    refused(copy, "model_index.json is not JSON: ")


def test_a_folder_of_the_hub_is_found_and_read(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path, complete: CLIPSonicPipeline
) -> None:
    asked: list[tuple[str, str | None, list[str]]] = []

    def download(
        name: str, revision: str | None = None, allow_patterns: list[str] | None = None, local_files_only: bool = False
    ) -> str:
        assert local_files_only  # nothing is fetched but by `weights fetch`: a name may be a mistyped path
        asked.append((name, revision, allow_patterns or []))
        return str(model_folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    read = CLIPSonicPipeline.from_pretrained("someone/clipsonic", revision="v2")
    assert read.what == complete.what
    assert asked == [("someone/clipsonic", "v2", ["*.json", "*.safetensors"])]


def test_a_hub_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fails(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no network\nand no cache")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    with pytest.raises(
        ValueError, match=r"a/b is no folder here, .* the cache; .* clipsonic weights fetch --model a/b$"
    ):
        find_model_folder("a/b")
    with pytest.raises(ValueError, match="is no folder, and no hub id either"):
        find_model_folder(tmp_path / "none")


# Writing


def test_saving_again_keeps_other_files_and_leaves_no_others(tmp_path: Path, complete: CLIPSonicPipeline) -> None:
    folder = tmp_path / "deep" / "model"
    complete.save_pretrained(folder)
    first = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "README.md").write_text("mine")
    complete.with_settings(guidance_scale=5.0, steps=3).save_pretrained(folder)
    second = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert second == {*first, Path("README.md")}
    assert load_model(folder).what.guidance_scale == 5.0
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_disk_that_is_full_leaves_the_old_folder(
    tmp_path: Path, complete: CLIPSonicPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    complete.save_pretrained(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(complete.prior_sd), "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        complete.save_pretrained(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    with pytest.raises(OSError, match="No space left"):
        complete.save_pretrained(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_pickles_are_not_written(tmp_path: Path, complete: CLIPSonicPipeline) -> None:
    with pytest.raises(ValueError, match="a model folder holds safetensors"):
        complete.save_pretrained(tmp_path / "model", safe_serialization=False)
    assert not (tmp_path / "model").exists()


def test_settings_without_a_space_are_those_of_before(complete: CLIPSonicPipeline) -> None:
    """The folders that ship stay as they are, to the byte."""
    values = complete.what.as_dict()
    assert "space" not in values and Settings.from_dict(values) == complete.what
    named = replace(complete.what, space="clap/sha256:0")
    assert list(named.as_dict()) == [*values, "space"] and Settings.from_dict(named.as_dict()) == named
    with pytest.raises(ValueError, match="space must be a text or null, found 3"):
        Settings.from_dict({**values, "space": 3})
