"""Training: a run that was killed ends bit for bit where an unbroken one does, and a folder belongs to one training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipsonic.checkpoint import load_checkpoint
from clipsonic.network import build_network, predict
from clipsonic.preset import Preset
from clipsonic.train import TrainingSet, _draw, conditioning_of, train


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def kill_at(step: int) -> Callable[[int, float], None]:
    def report(done: int, loss: float) -> None:
        if done == step:
            raise Killed

    return report


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(run / "checkpoint.safetensors")
    return {**state["model"], **{f"average {k}": v for k, v in enumerate(state["ema"]["shadow_params"])}}


@pytest.mark.parametrize("killed_at", [1, 3, 5])
def test_a_killed_run_ends_where_an_unbroken_one_does(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset, killed_at: int
) -> None:
    """Checkpoints are at 2, 4 and 6: a kill at 3 or 5 loses one step, which is done again."""
    with pytest.raises(Killed):
        train(preset, training_set, tmp_path, seed=0, report=kill_at(killed_at), accelerator="cpu")
    assert (tmp_path / "checkpoint.safetensors").exists() == (killed_at > 1)
    assert not (tmp_path / "model").exists()
    train(preset, training_set, tmp_path, seed=0, accelerator="cpu")
    expected, found = weights(run_folder), weights(tmp_path)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for name in ("unet/diffusion_pytorch_model.safetensors", "model_index.json"):
        assert (tmp_path / "model" / name).read_bytes() == (run_folder / "model" / name).read_bytes()


def test_the_log_of_a_killed_run_is_that_of_an_unbroken_one(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    with pytest.raises(Killed):
        train(preset, training_set, tmp_path, seed=0, report=kill_at(5), accelerator="cpu")
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"schema": 1, "st')  # torn
    train(preset, training_set, tmp_path, seed=0, accelerator="cpu")

    def read(run: Path) -> list[tuple[int, float]]:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        return [(line["step"], line["loss"]) for line in lines]

    assert read(tmp_path) == read(run_folder)
    assert [step for step, _ in read(run_folder)] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_is_not_trained_further(run_folder: Path, training_set: TrainingSet, preset: Preset) -> None:
    before = weights(run_folder)
    steps: list[int] = []
    train(preset, training_set, run_folder, seed=0, report=lambda step, loss: steps.append(step), accelerator="cpu")
    after = weights(run_folder)
    assert steps == [] and all(torch.equal(value, after[name]) for name, value in before.items())


def test_another_training_in_the_same_folder_is_refused(
    run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    def refused(match: str, preset: Preset = preset, data: TrainingSet = training_set, seed: int = 0) -> None:
        with pytest.raises(
            ValueError, match=f"holds a training with another {match}: continue it with its own command"
        ):
            train(preset, data, run_folder, seed=seed, accelerator="cpu")

    training = preset.training
    refused("seed", seed=1)
    refused("number of steps", replace(preset, training=replace(training, steps=7)))
    refused("recipe and seed", replace(preset, training=replace(training, learning_rate=1e-4)), seed=1)
    refused("network", replace(preset, network=replace(preset.network, channels=(16, 48))))
    refused("mel definition", replace(preset, mel=replace(preset.mel, floor=1e-4)))
    changed = [vectors + np.float32(0.01) for vectors in training_set.conditions]
    refused("training set", data=replace(training_set, conditions=changed))


def test_how_often_it_saves_and_reports_changes_nothing(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    rarely = replace(preset, training=replace(preset.training, save_every=100, report_every=100))
    train(rarely, training_set, tmp_path, seed=0, accelerator="cpu")
    expected = weights(run_folder)
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path).items())


def test_the_global_generators_are_left_alone(tmp_path: Path, training_set: TrainingSet, preset: Preset) -> None:
    one = replace(preset, training=replace(preset.training, steps=1))
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    train(one, training_set, tmp_path, seed=0, accelerator="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], before_numpy)  # type: ignore[index]


def test_it_learns(tmp_path: Path, training_set: TrainingSet, preset: Preset) -> None:
    longer = replace(preset, training=replace(preset.training, steps=80, learning_rate=5e-3, report_every=20))
    losses: list[float] = []
    train(longer, training_set, tmp_path, seed=0, report=lambda step, loss: losses.append(loss), accelerator="cpu")
    assert losses[-1] < 0.8 * losses[0], losses


def test_a_loss_that_is_not_finite_stops_it(tmp_path: Path, training_set: TrainingSet, preset: Preset) -> None:
    broken = replace(training_set, log_mels=lambda rows: training_set.log_mels(rows) * float("nan"))
    with pytest.raises(FloatingPointError, match="loss is nan at step 0"):
        train(preset, broken, tmp_path, seed=0, accelerator="cpu")
    assert not (tmp_path / "model").exists()


def test_processes_share_the_batch_one_process_has(training_set: TrainingSet, preset: Preset) -> None:
    known = conditioning_of(np.concatenate(training_set.conditions), True)
    whole = _draw(5, 0, training_set, known, preset, slice(0, 4))
    halves = [_draw(5, 0, training_set, known, preset, part) for part in (slice(0, 2), slice(2, 4))]
    for name in ("clean", "noise", "timesteps", "condition"):
        assert torch.equal(torch.cat([getattr(half, name) for half in halves]), getattr(whole, name)), name
    other = _draw(6, 0, training_set, known, preset, slice(0, 4))
    assert not torch.equal(other.noise, whole.noise)


def test_conditions_are_dropped_as_often_as_asked(training_set: TrainingSet, preset: Preset) -> None:
    known = conditioning_of(np.concatenate(training_set.conditions), True)
    large = replace(preset, training=replace(preset.training, batch=400))
    condition = _draw(0, 0, training_set, known, large, slice(0, 400)).condition
    assert float((condition == 0).all(1).float().mean()) == pytest.approx(0.25, abs=0.07)


def test_conditions_are_centred_and_of_unit_size() -> None:
    vectors = np.random.default_rng(0).normal(0.3, [0.1, 0.5, 1.0], (500, 3)).astype(np.float32)
    known = conditioning_of(vectors, True)
    seen = (vectors - np.array(known.mean)) * known.scale
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-4)
    assert (seen**2).mean() == pytest.approx(1, rel=1e-4)
    assert seen[:, 2].std() / seen[:, 0].std() == pytest.approx(vectors[:, 2].std() / vectors[:, 0].std(), rel=1e-4)
    plain = conditioning_of(vectors, False)
    assert plain.mean == () and plain.scale == pytest.approx(np.sqrt(3))


def test_the_network_hears_its_condition_and_knows_its_bands(preset: Preset) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(preset.mel, 8, preset.network).eval()
        noisy, condition = torch.randn(2, 16, 4, 8), torch.randn(2, 8)
    with torch.no_grad():
        time = torch.tensor(500)
        found = predict(network, noisy, time, condition)
        assert found.shape == noisy.shape
        assert not torch.allclose(found, predict(network, noisy, time, torch.zeros(2, 8)), atol=1e-4)
        assert not torch.allclose(found, predict(network, noisy, torch.tensor(100), condition), atol=1e-4)
        turned = predict(network, noisy.flip(2), time, condition).flip(2)
        assert not torch.allclose(found, turned, atol=1e-4)
        np.testing.assert_allclose(predict(network, noisy[1:], time, condition[1:]), found[1:], atol=1e-5)
