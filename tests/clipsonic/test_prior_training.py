"""Training a prior: it learns the image vector from the text, goes on where it was killed, and says how good it is."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from clipsonic.pairs import ArrayPairs
from clipsonic.preset import read_provenance
from clipsonic.prior_folder import load_prior, read_record
from clipsonic.prior_preset import (
    PRESETS,
    PriorNetwork,
    PriorPreset,
    PriorSampling,
    load_prior_preset,
    prior_preset_names,
)
from clipsonic.prior_training import HELD_OUT_SHARE, PriorObjective, held_out_scores
from clipsonic.training.config import TrainingConfig
from clipsonic.training.loop import fit

DIM = 8
PRESET = PriorPreset(
    PriorNetwork(heads=2, head_dim=16, layers=1),
    TrainingConfig(
        steps=6,
        batch=8,
        learning_rate=3e-3,
        warm_up=2,
        weight_decay=0.0,
        ema_decay=0.9,
        condition_dropout=0.1,
        precision="32-true",
        standardise=True,
        save_every=2,
        report_every=2,
    ),
    PriorSampling(guidance_scale=1.0, steps=8, samples=1),
)


def unit(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def make_pairs(count: int = 400) -> ArrayPairs:
    """Text vectors on a sphere, image vectors a rotation of them, moved: a gap that only learning can cross."""
    rng = np.random.default_rng(0)
    text = unit(rng.normal(size=(count, DIM)))
    turn = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    image = unit(text @ turn + 0.8 * unit(rng.normal(size=(1, DIM))))
    return ArrayPairs(image, text, np.arange(count), "micro", "0" * 64, "pairs")


def trained(preset: PriorPreset, pairs: ArrayPairs, run: Path, seed: int = 0) -> PriorObjective:
    objective = PriorObjective(preset, pairs, seed)
    fit(objective, preset.training, run, accelerator="cpu")
    return objective


def test_it_learns_the_image_vector_from_the_text(tmp_path: Path) -> None:
    training = replace(PRESET.training, steps=400, batch=64, warm_up=20, ema_decay=0.99, save_every=1000)
    trained(replace(PRESET, training=training), make_pairs(), tmp_path)
    record = read_record(tmp_path / "prior")
    scores = {name: value["mean"] for name, value in record.scores.items() if name != "pairs"}
    assert record.scores["pairs"] == round(HELD_OUT_SHARE * 400) and record.pairs == 380
    assert scores["predicted_image"] > 0.9 > 0.5 > abs(scores["image_text"])
    assert scores["predicted_text"] == pytest.approx(scores["image_text"], abs=0.1)
    assert scores["predicted_unrelated"] == pytest.approx(scores["image_unrelated"], abs=0.1)
    assert (record.clip, record.clip_sha256, record.dim) == ("micro", "0" * 64, DIM)
    assert np.linalg.norm(record.image_mean) > 0.3 > np.linalg.norm(record.text_mean)


def test_a_killed_training_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    pairs = make_pairs(40)
    trained(PRESET, pairs, tmp_path / "whole")

    class Killed(PriorObjective):
        def loss(self, module: torch.nn.Module, batch: object) -> torch.Tensor:
            self.done = getattr(self, "done", 0) + 1
            if self.done == 4:
                raise RuntimeError("killed")
            return super().loss(module, batch)  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match="killed"):
        fit(Killed(PRESET, pairs, 0), PRESET.training, tmp_path / "broken", accelerator="cpu")
    assert not (tmp_path / "broken" / "prior").exists()
    trained(PRESET, pairs, tmp_path / "broken")
    names = ("prior/diffusion_pytorch_model.safetensors", "prior/prior.json")
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()
    with pytest.raises(ValueError, match="holds a training with another seed: continue it with its own command"):
        trained(PRESET, pairs, tmp_path / "whole", seed=1)
    with pytest.raises(ValueError, match="another training set"):
        trained(PRESET, replace(pairs, digest="others"), tmp_path / "whole")


def test_a_step_is_shared_without_overlap_or_loss() -> None:
    objective = PriorObjective(PRESET, make_pairs(40), 0)
    whole = objective.draw(3, slice(0, 8))
    for part in (slice(0, 4), slice(4, 8)):
        for name, values in objective.draw(3, part).items():
            assert torch.equal(values, whole[name][part])
    assert objective.items(3, slice(0, 8)) == objective.items(3, slice(0, 4)) + objective.items(3, slice(4, 8))
    assert not torch.equal(objective.draw(4, slice(0, 8))["noise"], whole["noise"])


def test_the_pairs_of_one_picture_are_held_out_together() -> None:
    """Old mistake: rows were held out, and a picture with five captions was trained on with the other four."""
    pictures = tuple(Path(f"{row // 5}.png") for row in range(200))
    pairs = replace(make_pairs(200), pictures=pictures)
    objective = PriorObjective(PRESET, pairs, 0)
    shown = {pictures[int(row)] for row in objective._rows}
    held = {pictures[int(row)] for row in objective.held_out}
    assert len(held) == 2 == len(objective.held_out) and not shown & held and len(shown) == 38
    assert "held-out pairs" in objective.plan()  # so that a training of another split is not continued
    with pytest.raises(ValueError, match="all 3 pairs are of one video or picture"):
        PriorObjective(PRESET, replace(make_pairs(3), pictures=(Path("x.png"),) * 3), 0)


def test_no_text_of_its_own_picture_is_unrelated() -> None:
    """Old mistake: where whole pictures were held out, the next pair was mostly another caption of the same one."""
    rng, pictures = np.random.default_rng(0), unit(np.random.default_rng(1).normal(size=(100, DIM)))
    text = unit(pictures.repeat(5, 0) + 0.1 * rng.normal(size=(500, DIM)))  # five unlike captions of each
    pairs = replace(make_pairs(500), text=text, pictures=tuple(Path(f"{row // 5}.png") for row in range(500)))
    objective = PriorObjective(PRESET, pairs, 0)
    own = pairs.texts(objective.held_out)
    unrelated = objective._unrelated(own)
    nearest = (unrelated @ pictures.T).argmax(1)
    assert len(own) == 5 and not (nearest == objective.held_out // 5).any()


def test_a_picture_that_is_nearly_all_is_trained_on() -> None:
    for seed in range(8):
        pairs = replace(make_pairs(100), pictures=(Path("all.png"),) * 99 + (Path("one.png"),))
        objective = PriorObjective(PRESET, pairs, seed)
        assert objective.held_out.tolist() == [99] and len(objective._rows) == 99


def test_without_groups_the_split_is_that_of_the_rows() -> None:
    """The priors that ship were trained with it."""
    order = np.random.default_rng(3).permutation(400)
    alone = replace(make_pairs(), pictures=tuple(Path(f"{row}.png") for row in reversed(range(400))))
    for pairs in (make_pairs(), alone):
        objective = PriorObjective(PRESET, pairs, 3)
        np.testing.assert_array_equal(objective.held_out, np.sort(order[:20]))
        np.testing.assert_array_equal(objective._rows, np.sort(order[20:]))
        assert set(objective.plan()) == {"network", "recipe", "seed", "training set"}


def test_held_out_pairs_are_never_trained_on() -> None:
    pairs = make_pairs(40)
    objective = PriorObjective(PRESET, pairs, 0)
    shown = {name for step in range(200) for name in objective.items(step, slice(0, 8))}
    held = {pairs.name(int(row)) for row in objective.held_out}
    assert len(held) == 2 and not held & shown and len(shown) == 38


def test_image_vectors_are_standardised_as_karlo_or_scaled_as_laion() -> None:
    pairs = make_pairs()
    karlo = PriorObjective(PRESET, pairs, 0)
    seen = torch.cat([karlo.draw(step, slice(0, 8))["clean"] for step in range(200)])
    torch.testing.assert_close(seen.mean(0), torch.zeros(DIM), atol=0.1, rtol=0)
    torch.testing.assert_close(seen.std(0), torch.ones(DIM), atol=0.1, rtol=0)
    built = karlo.build()
    assert not built.clip_mean.requires_grad and not built.clip_std.requires_grad
    laion = PriorObjective(replace(PRESET, training=replace(PRESET.training, standardise=False)), pairs, 0)
    lengths = laion.draw(0, slice(0, 8))["clean"].norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((8,), DIM**0.5))


def test_the_text_is_dropped_as_often_as_said() -> None:
    objective = PriorObjective(PRESET, make_pairs(), 0)
    texts = torch.cat([objective.draw(step, slice(0, 8))["text"] for step in range(300)])
    share = float((texts.abs().sum(1) == 0).double().mean())
    assert 0.07 < share < 0.13


def test_scores_of_known_vectors() -> None:
    """Closed form: equal, opposite and orthogonal vectors."""
    x, y = np.eye(4, 8, dtype=np.float32), np.eye(4, 8, k=4, dtype=np.float32)
    scores = held_out_scores(x, x, -x, y)
    means = {name: value["mean"] for name, value in scores.items() if isinstance(value, dict)}
    assert means == {
        "predicted_image": 1.0,
        "predicted_text": -1.0,
        "image_text": -1.0,
        "predicted_unrelated": 0.0,
        "image_unrelated": 0.0,
    }
    assert scores["pairs"] == 4 and scores["predicted_image"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    few = held_out_scores(x[:3], x[:3], y[:3], y[:3])["predicted_image"]
    assert few == {"mean": 1.0, "low": None, "high": None}


def test_an_unrelated_text_is_another_text() -> None:
    """Labels repeat: the next pair often has the same text, which is not unrelated."""
    pairs = make_pairs(40)
    labels = unit(np.random.default_rng(1).normal(size=(2, DIM)))
    objective = PriorObjective(PRESET, replace(pairs, text=labels[np.arange(40) % 2]), 0)
    text = objective._pairs.texts(objective.held_out)
    assert (objective._unrelated(text) * text).sum(1).max() < 0.99


@pytest.mark.parametrize("kinds", [1, 2, 9, 400])
def test_unrelated_texts_are_found_without_a_copy_of_all_for_each(kinds: int) -> None:
    """Old mistake: the rolled copy that a text was found in stayed, 15.6 GB for 1000 texts of CLIP ViT-L/14."""
    labels = unit(np.random.default_rng(1).normal(size=(kinds, DIM)))
    pairs = replace(make_pairs(), text=labels[np.random.default_rng(2).integers(kinds, size=400)])
    objective = PriorObjective(PRESET, pairs, 0)
    text = pairs.texts(objective.held_out)
    others = pairs.texts(np.concatenate([objective.held_out, objective._rows]))
    tracemalloc.start()
    try:
        found = objective._unrelated(text)
        assert tracemalloc.get_traced_memory()[1] < 5 * others.nbytes
    finally:
        tracemalloc.stop()
    for place, own in enumerate(text):
        turned = np.roll(others, -place - 1, axis=0)
        np.testing.assert_array_equal(found[place], turned[int((turned @ own < 1 - 1e-4).argmax())])


def test_scores_are_written_on_the_way(tmp_path: Path) -> None:
    training = replace(PRESET.training, sample_every=16)
    trained(replace(PRESET, training=training), make_pairs(40), tmp_path)
    files = sorted((tmp_path / "scores").iterdir())
    assert [path.name for path in files] == ["0000000016.json", "0000000032.json", "0000000048.json"]
    assert json.loads(files[0].read_text())["scores"]["pairs"] == 2


def test_the_folder_is_diffusers_own(tmp_path: Path) -> None:
    trained(PRESET, make_pairs(40), tmp_path)
    prior = load_prior(tmp_path / "prior")
    assert not prior.training and prior.config.embedding_dim == DIM
    weights = load_file(tmp_path / "prior" / "diffusion_pytorch_model.safetensors")
    assert weights["clip_std"].min() > 0.05


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="1 pair is too few"):
        PriorObjective(PRESET, make_pairs(1), 0)


# Presets


@pytest.mark.parametrize("name", prior_preset_names())
def test_every_key_of_a_preset_has_a_provenance(name: str) -> None:
    path = PRESETS / f"{name}.toml"
    preset = load_prior_preset(name)
    keys = {each.key for each in read_provenance(str(path))}
    written = [line.split("=")[0].strip() for line in path.read_text().splitlines() if "=" in line.split("#")[0]]
    assert sorted(keys) == sorted(set(written)) and preset.training.weighting == "uniform"


def test_the_base_prior_has_the_size_it_says() -> None:
    how = load_prior_preset("base").network
    from clipsonic.prior import build_prior

    with torch.device("meta"):
        prior = build_prior(768, how.heads, how.head_dim, how.layers)
    assert 85e6 < sum(parameter.numel() for parameter in prior.parameters()) < 95e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("heads = 4", "unexpected keyword argument 'head'"),
        ("[network]", "unknown section netwrk"),
        ("samples = 1", "0 samples; at least 1"),
        ("standardise = true", "is not TOML"),
        ("layers = ", r"mine.toml: \[network\] layers is '2'; expected a whole number"),
        ("condition_dropout = 0.1", r"\[training\] training: condition_dropout is 2; expected 0 to 1"),
    ],
)
def test_a_wrong_preset_is_refused(tmp_path: Path, change: str, message: str) -> None:
    wrong = {
        "heads = 4": "head = 4",
        "[network]": "[netwrk]",
        "samples = 1": "samples = 0",
        "standardise = true": "= 1",
        "layers = ": 'layers = "2" # ',
        "condition_dropout = 0.1": "condition_dropout = 2",
    }
    path = tmp_path / "mine.toml"
    path.write_text((PRESETS / "micro.toml").read_text().replace(change, wrong[change]))
    with pytest.raises(ValueError, match=message):
        load_prior_preset(str(path))


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"preset 'mircro' of a prior does not exist; did you mean 'micro'\?"):
        load_prior_preset("mircro")
    with pytest.raises(ValueError, match="weighting 'min-snr' is not for priors"):
        replace(PRESET, training=replace(PRESET.training, weighting="min-snr"))
