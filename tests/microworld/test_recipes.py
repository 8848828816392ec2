"""Every recipe trains: a few steps of each stage on a tiny corpus, through the same code that trained what ships."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from clipsonic.clip import FrozenClip
from clipsonic.network import NetworkConfig
from clipsonic.pipeline import load_model
from clipsonic.preset import Preset, load_preset
from clipsonic_benchmarks.microworld.recipes.ablation import CELLS, train_cell
from clipsonic_benchmarks.microworld.recipes.everything import Workshop, new_workshop, train_everything
from clipsonic_benchmarks.microworld.recipes.recipe import Corpora, Effort, Recipe
from clipsonic_benchmarks.microworld.recipes.ship import finish_models

STEPS = 3
TINY = Effort(STEPS, 8, 1e-3)
RECIPE = Recipe(
    corpora=Corpora(captioned=150, train=10, evaluators=12, validation=10),
    clip=TINY,
    clap=TINY,
    wav2clip=TINY,
    probe=TINY,
    prior_pd=TINY,
    prior_sd=TINY,
    clip_replicates=(1,),
    generator_seeds=(0, 1),
    gate_kind=0.0,
    gate_lead=-1.0,
    ship_kind=0.0,
    ship_fad=1e9,
)


def tiny_preset() -> Preset:
    full = load_preset("micro")
    training = replace(full.training, steps=STEPS, batch=4, warm_up=1, report_every=1, save_every=1)
    network = NetworkConfig(channels=(16, 16), head_dim=16, norm_groups=8)
    return replace(full, network=network, training=training, sampling=replace(full.sampling, steps=2, prior_steps=2))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return new_workshop(tmp_path_factory.mktemp("work"), RECIPE, say=lambda line: None, preset=tiny_preset())


@pytest.fixture(scope="module")
def reports(shop: Workshop) -> dict[str, dict[str, float]]:
    return train_everything(shop)


def test_every_stage_trains_its_steps(shop: Workshop, reports: dict[str, dict[str, float]]) -> None:
    encoders = ["clip", "clap", "probe", "wav2clip", "prior-pd", "prior-sd", "gate"]
    generators = ["micro-0", "gate-micro-0", "micro-1", "gate-micro-1", "clip-tta", "clap-tta"]
    assert list(reports) == [*encoders, "clip-1", *generators]
    logs = [*shop.work.glob("runs/*/log.jsonl"), *shop.work.glob("generators/*/log.jsonl")]
    assert len(logs) == 11
    for log in logs:
        last = json.loads(log.read_text().splitlines()[-1])
        assert last["step"] == STEPS and math.isfinite(last["loss"]), log


def test_generators_differ_by_seed_and_by_condition(shop: Workshop, reports: dict[str, dict[str, float]]) -> None:
    weights = {
        name: (shop.work / "generators" / name / "model" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
        for name in ("micro-0", "micro-1", "clip-tta", "clap-tta")
    }
    assert len(set(weights.values())) == 4


def test_finished_model_has_every_route(shop: Workshop, reports: dict[str, dict[str, float]]) -> None:
    model = shop.finished_model("micro-0")
    text = shop.clip.encode_text(["one bell", "two dogs"])
    found = {
        route: model.condition(route, ["a", "b"], text=text)
        for route in ("text", "text+shift", "text+prior-pd", "text+prior-sd")
    }
    vectors = [v for v in found.values() if v is not None]
    assert len({v.tobytes() for v in vectors}) == 4
    assert all(v.shape == (2, 64) for v in vectors)


def test_every_trained_generator_becomes_a_model_folder(shop: Workshop, reports: dict[str, dict[str, float]]) -> None:
    folders = finish_models(shop)
    assert [path.name for path in folders.values()] == ["micro-0", "micro-1", "micro-clip-tta", "micro-clap-tta"]
    assert load_model(folders["micro-1"]).prior_sd is not None and load_model(folders["clip-tta"]).prior_sd is None


def test_replicates_of_clip_differ_by_seed(shop: Workshop, reports: dict[str, dict[str, float]]) -> None:
    weights = {(shop.work / name / "open_clip_model.safetensors").read_bytes() for name in ("clip", "clip-1")}
    assert len(weights) == 2
    assert reports["clip-1"]["gap"] > 0
    assert set(reports["clip-1"]["accuracy"]) == {"image", "text", "text+shift"}  # type: ignore[call-overload]


def test_cells_of_the_ablation_differ_in_what_they_say(shop: Workshop, reports: dict[str, dict[str, float]]) -> None:
    folders = {name: train_cell(shop, name, STEPS) for name in CELLS}
    models = {name: load_model(folder) for name, folder in folders.items()}
    logs = {name: (shop.work / "ablation" / name / "generators/micro-0/log.jsonl").read_text() for name in CELLS}
    assert len(set(logs.values())) == 3
    clips = {name: FrozenClip(str(model.what.clip)).digest for name, model in models.items() if name != "matched"}
    assert clips["temperature"] != FrozenClip(str(shop.work / "clip")).digest
    assert models["matched"].what.conditioning.mean and not models["unstandardised"].what.conditioning.mean
    assert all(model.prior_pd is not None and model.what.conditioning.image_mean for model in models.values())
    with pytest.raises(ValueError, match="no cell 'heat'; cells: matched, temperature, unstandardised"):
        train_cell(shop, "heat")


def test_stages_that_are_done_are_not_run_again(shop: Workshop, reports: dict[str, dict[str, float]]) -> None:
    before = {path: path.stat().st_mtime_ns for path in shop.work.rglob("*.safetensors")}
    assert train_everything(shop) == reports
    assert {path: path.stat().st_mtime_ns for path in shop.work.rglob("*.safetensors")} == before


def test_a_folder_of_another_recipe_is_refused(shop: Workshop) -> None:
    other = replace(RECIPE, logit_scale=50.0)
    with pytest.raises(ValueError, match="belongs to another recipe"):
        new_workshop(shop.work, other, say=lambda line: None, preset=tiny_preset())


def test_an_unknown_stage_is_refused_with_the_list(shop: Workshop) -> None:
    with pytest.raises(ValueError, match=r"no stage clep; stages: clip, clap"):
        train_everything(shop, ("clep",))


def test_a_killed_encoder_continues_as_if_unbroken(tmp_path: Path) -> None:
    import torch

    from clipsonic_benchmarks.microworld.recipes.loop import Schedule, fit

    def train(run: Path, stop_at: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 1)
        calls = 0

        def loss(rows: object, noise: torch.Generator) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise KeyboardInterrupt
            x = torch.randn(4, 3, generator=noise)
            value: torch.Tensor = (model(x) - x.sum(1, keepdim=True)).square().mean()
            return value

        fit(model, loss, Schedule(10, 8, 4, 1e-2, seed=3, warm_up=2, save_every=2, report_every=2), run)
        return model.weight.detach()

    unbroken = train(tmp_path / "a", None)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", 6)
    assert torch.equal(train(tmp_path / "b", None), unbroken)
    for run in ("a", "b"):
        lines = (tmp_path / run / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 8], "a step taken twice is reported once"


def test_the_gate_refuses_a_clip_whose_images_are_no_reference() -> None:
    from clipsonic_benchmarks.microworld.recipes.gate import check_gate

    good = {"image": {"kind": 0.97, "size": 0.9}, "text": {"kind": 0.7, "size": 0.5}}
    check_gate(good, kind=0.9, lead=0.05)
    with pytest.raises(ValueError, match="the kind is read from 0.970 of the images, 0.99 needed"):
        check_gate(good, kind=0.99, lead=0.05)
    with pytest.raises(ValueError, match="by route text with 0.600; images must lead by 0.5"):
        check_gate(good, kind=0.9, lead=0.5)


def test_the_gate_of_what_ships_refuses_a_generator_that_is_not_good(
    shop: Workshop, reports: dict[str, dict[str, float]]
) -> None:
    from clipsonic_benchmarks.microworld.recipes.generator_gate import check_generator

    untrained = reports["gate-micro-0"]
    assert untrained["items"] == 5 and untrained["kind"] < 0.85
    with pytest.raises(ValueError, match="micro-0: the kind is heard in 0.* of sounds, 0.85 needed; train longer"):
        check_generator("micro-0", untrained, kind=0.85, fad_ratio=5)
    good = {"kind": 0.9, "fad": 0.06, "fad_resynthesis": 0.03}
    check_generator("micro-0", good, kind=0.85, fad_ratio=5)
    with pytest.raises(ValueError, match="micro-0: FAD 0.060 is more than 1.5 times that of resynthesis, 0.030"):
        check_generator("micro-0", good, kind=0.85, fad_ratio=1.5)


def test_a_generator_is_not_trained_before_the_gate(tmp_path: Path) -> None:
    shop = new_workshop(tmp_path, RECIPE, say=lambda line: None, preset=tiny_preset())
    with pytest.raises(ValueError, match="the gate has not been passed"):
        train_everything(shop, ("micro-0",))


def test_what_is_not_trained_does_not_ship(tmp_path: Path) -> None:
    from clipsonic_benchmarks.microworld.recipes.ship import ship_everything

    shop = new_workshop(tmp_path, RECIPE, say=lambda line: None, preset=tiny_preset())
    with pytest.raises(ValueError, match="nothing shipped: stages clip, clap"):
        ship_everything(shop, {})
