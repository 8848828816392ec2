"""Training in one process: what a step sees, what its loss is, and what accumulation and memory savers leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.training_utils import compute_snr

from clipsonic.checkpoint import load_checkpoint
from clipsonic.diffusion import Diffusion
from clipsonic.network import build_network, predict
from clipsonic.prepared import PreparedData
from clipsonic.preset import Preset
from clipsonic.training.clipsonic import CLIPSonicObjective, train
from clipsonic.training.config import TrainingConfig
from clipsonic.training.dataset import Rows, TrainingSet, Vectors, conditioning_of, of_captions, of_frames, of_vectors
from clipsonic.training.draw import Draw
from clipsonic.training.log import Report
from clipsonic.training.loop import fit, learning_rate
from clipsonic.training.loss import diffusion_loss, min_snr_weight
from clipsonic.training.prefetch import Prefetch

Learn = Callable[..., Path]


@pytest.fixture
def learn(tmp_path: Path, training_set: TrainingSet, preset: Preset) -> Learn:
    """`learn(name, data=…, report=…, KEY=VALUE …)` trains with these keys of the preset changed; returns the run."""

    def learn(name: str, data: TrainingSet = training_set, report: object = None, **changes: object) -> Path:
        changed = replace(preset, training=replace(preset.training, **changes))  # type: ignore[arg-type]
        train(changed, data, tmp_path / name, seed=0, report=report, accelerator="cpu")  # type: ignore[arg-type]
        return tmp_path / name

    return learn


def weights(run: Path) -> torch.Tensor:
    state = load_checkpoint(run / "checkpoint.safetensors")
    return torch.cat([value.double().flatten() for value in (*state["model"].values(), *state["ema"]["shadow_params"])])


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / one.norm())


# What a step sees


def draw_of(preset: Preset, data: TrainingSet, size: int = 4, dropout: float = 0.25) -> Draw:
    known = conditioning_of(data, True)
    return Draw(data, preset.mel, preset.diffusion, known, dropout, size, 0)


def test_processes_share_the_batch_one_process_has(training_set: TrainingSet, preset: Preset) -> None:
    draw = draw_of(preset, training_set)
    whole = draw.batch(5, slice(0, 4))
    halves = [draw.batch(5, part) for part in (slice(0, 2), slice(2, 4))]
    for name, values in whole.items():
        assert len(values) == 4
        assert torch.equal(torch.cat([half[name] for half in halves]), values), name
    assert not torch.equal(draw.batch(6, slice(0, 4))["noise"], whole["noise"])


def test_rows_are_those_that_are_read(training_set: TrainingSet, preset: Preset) -> None:
    asked: list[int] = []

    def read(rows: Rows) -> torch.Tensor:
        asked.extend(rows)
        return training_set.log_mels(rows)

    draw = draw_of(preset, replace(training_set, log_mels=read))
    draw.batch(3, slice(1, 3))
    assert asked == list(draw.rows(3)[1:3])


def test_conditions_are_dropped_as_often_as_asked(training_set: TrainingSet, preset: Preset) -> None:
    condition = draw_of(preset, training_set, size=400).batch(0, slice(0, 400))["condition"]
    assert float((condition == 0).all(1).float().mean()) == pytest.approx(0.25, abs=0.07)


def test_timesteps_are_spread_over_the_batch(training_set: TrainingSet, preset: Preset) -> None:
    timesteps = draw_of(preset, training_set, size=100).batch(0, slice(0, 100))["timesteps"]
    assert torch.equal(timesteps // 10, torch.arange(100))


def set_of(vectors: list[Vectors]) -> TrainingSet:
    ids = [str(row) for row in range(len(vectors))]
    return TrainingSet(ids, torch.zeros, lambda rows: [vectors[row] for row in rows], None, None, "")


def test_conditions_are_centred_and_of_unit_size() -> None:
    rng = np.random.default_rng(0)
    vectors = [rng.normal(0.3, [0.1, 0.5, 1.0], (1 + row % 4, 3)).astype(np.float32) for row in range(2500)]
    known = conditioning_of(set_of(vectors), True)
    every = np.concatenate(vectors)
    seen = (every - np.array(known.mean)) * known.scale
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-6)
    assert (seen**2).mean() == pytest.approx(1, rel=1e-6)
    assert seen[:, 2].std() / seen[:, 0].std() == pytest.approx(every[:, 2].std() / every[:, 0].std(), rel=1e-4)
    plain = conditioning_of(set_of(vectors), False)
    assert plain.mean == () and plain.scale == pytest.approx(np.sqrt(3))


def test_statistics_read_in_parts_are_those_of_the_whole() -> None:
    """The weights that ship were trained with statistics of the whole table at once: to the last digit the same."""
    rng = np.random.default_rng(1)
    vectors = [rng.normal(size=(1 + row % 3, 16)).astype(np.float32) for row in range(3000)]
    whole = np.concatenate(vectors).astype(np.float64)
    mean = whole.mean(0)
    known = conditioning_of(set_of(vectors), True)
    assert known.mean == tuple(mean)
    assert np.float32(known.scale) == np.float32(1 / np.sqrt(((whole - mean) ** 2).mean()))


def test_what_the_vectors_are_makes_the_training(prepared: PreparedData) -> None:
    frames, captions = of_frames(prepared), of_captions(prepared)
    rows = np.array([2, 0])
    for found, expected in zip(frames.conditions(rows), prepared.frames_of(rows), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.concatenate(captions.conditions(rows)), prepared.vectors("clip_text", rows))
    rng = np.random.default_rng(0)
    handed = {name: rng.normal(size=5).astype(np.float32) for name in reversed(prepared.ids)}
    other = of_vectors(prepared, handed)
    np.testing.assert_array_equal(np.concatenate(other.conditions(rows)), [handed[prepared.ids[row]] for row in rows])
    assert (frames.clip, captions.clip_sha256, other.clip) == (prepared.clip, prepared.clip_sha256, None)
    assert len({each.digest for each in (frames, captions, other)}) == 3
    with pytest.raises(ValueError, match=f"1 of 3 rows have no vector, the first is '{prepared.ids[1]}'"):
        of_vectors(prepared, {name: vector for name, vector in handed.items() if name != prepared.ids[1]})


def test_later_clips_of_a_video_take_its_vector(prepared: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "ids", ["a", "a+0001", "b+0002"])
    handed = {name: np.full(5, number, np.float32) for number, name in enumerate(("a", "b", "b+0002"))}
    found = of_vectors(prepared, handed)
    assert np.concatenate(found.conditions(np.arange(3)))[:, 0].tolist() == [0, 0, 2]
    with pytest.raises(ValueError, match=r"2 of 3 rows have no vector, the first is 'a'"):
        of_vectors(prepared, {"b": handed["b"]})


def test_batches_come_in_order_and_an_error_comes_with_its_step() -> None:
    def draw(step: int) -> dict[str, torch.Tensor]:
        if step == 7:
            raise ValueError("row 3 is broken")
        return {"step": torch.tensor([step])}

    with Prefetch(draw, 4, 9) as batches:
        assert [int(batches.take()["step"]) for _ in range(3)] == [4, 5, 6]
        with pytest.raises(ValueError, match="row 3 is broken"):
            batches.take()


# The loss


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_min_snr_weighs_the_clean_sample_s_error(prediction: str) -> None:
    """Hang et al. 2023: of the clean sample's error by min(SNR, gamma), whatever the network predicts."""
    diffusion = Diffusion(prediction=prediction)  # type: ignore[arg-type]
    timesteps = torch.tensor([1, 50, 200, 500, 800, 950])
    kept = diffusion.noising().alphas_cumprod[timesteps]
    alpha, sigma, snr = kept.sqrt(), (1 - kept).sqrt(), kept / (1 - kept)
    torch.testing.assert_close(diffusion.signal_to_noise(timesteps), compute_snr(diffusion.noising(), timesteps))
    error = 0.1  # of what is predicted; the clean sample is x = alpha x_t - sigma v = (x_t - sigma e) / alpha
    of_clean = error * (sigma if prediction == "v_prediction" else sigma / alpha)
    expected = torch.clamp(snr, max=5.0) * of_clean**2
    torch.testing.assert_close(min_snr_weight(snr, 5.0, prediction) * error**2, expected)


class Constant(torch.nn.Module):
    """Says the same of everything, in the form of diffusers' networks."""

    def forward(self, noisy: torch.Tensor, *_: object, class_labels: torch.Tensor) -> torch.Tensor:
        self.sample = torch.full_like(noisy[:, :16], 0.5)
        return self  # type: ignore[return-value]


@pytest.mark.parametrize("weighting", ["uniform", "min-snr"])
def test_the_loss_is_the_weighted_mean_square(training_set: TrainingSet, preset: Preset, weighting: str) -> None:
    batch = draw_of(preset, training_set).batch(0, slice(0, 4))
    target = preset.diffusion.target(batch["clean"], batch["noise"], batch["timesteps"])
    errors = ((0.5 - target) ** 2).flatten(1).mean(1)
    weight = min_snr_weight(preset.diffusion.signal_to_noise(batch["timesteps"]), 2.0, "v_prediction")
    expected = (errors * (weight if weighting == "min-snr" else 1)).mean()
    found = diffusion_loss(Constant(), batch, preset.diffusion, weighting, 2.0)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected)


def test_min_snr_trains_something_else(learn: Learn, run_folder: Path) -> None:
    assert relative(weights(run_folder), weights(learn("min-snr", weighting="min-snr"))) > 1e-4


# Steps


def test_accumulated_gradients_are_those_of_the_whole(learn: Learn) -> None:
    """Micro-batches of 3 and 1, and of 1: gradients are means over items, not over micro-batches."""
    one = learn("one", learning_rate=1e-4)
    for name, micro_batch in (("uneven", 3), ("single", 1)):
        run = learn(name, learning_rate=1e-4, micro_batch=micro_batch)
        assert relative(weights(one), weights(run)) < 1e-6
    assert relative(weights(one), weights(learn("other", learning_rate=1e-4, batch=3))) > 1e-5


def test_activation_checkpointing_computes_twice_and_changes_no_bit(
    tmp_path: Path, training_set: TrainingSet, preset: Preset, run_folder: Path
) -> None:
    """Old mistake: a training that did not save memory passed this."""
    computed: list[int] = []

    class Watched(CLIPSonicObjective):
        def build(self) -> torch.nn.Module:
            network = super().build()
            block = network.get_submodule("down_blocks.0.resnets.0")
            block.register_forward_pre_hook(lambda *_: computed.append(len(computed)))
            return network

    for saves, times in ((False, 1), (True, 2)):
        computed.clear()
        how, run = replace(preset.training, activation_checkpointing=saves), tmp_path / str(saves)
        fit(Watched(preset, training_set, seed=0), how, run, accelerator="cpu")
        assert len(computed) == times * how.steps
        assert torch.equal(weights(run_folder), weights(run))


def test_gradients_are_clipped(learn: Learn) -> None:
    """AdamW does not see the size of gradients, but it sees that of one step against another."""
    told: list[Report] = []
    free = learn("free", clip_norm=1e6, report=told.append)
    clipped = learn("clipped", clip_norm=min(each.gradient_norm for each in told) / 2)
    assert relative(weights(free), weights(clipped)) > 1e-6


def test_the_learning_rate_rises_and_falls(preset: Preset) -> None:
    config: TrainingConfig = replace(preset.training, steps=100, warm_up=10, learning_rate=1.0)
    assert learning_rate(0, config) == pytest.approx(0.1, rel=1e-3)
    assert learning_rate(50, config) == pytest.approx(0.51)
    assert learning_rate(100, config) == pytest.approx(0.02)
    assert np.argmax([learning_rate(step, config) for step in range(100)]) == 9


def test_how_often_it_saves_and_reports_changes_nothing(learn: Learn, run_folder: Path) -> None:
    assert torch.equal(weights(run_folder), weights(learn("rarely", save_every=100, report_every=100)))


def test_the_global_generators_are_left_alone(learn: Learn) -> None:
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    learn("one", steps=1, sample_every=1)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], before_numpy)  # type: ignore[index]


def test_it_learns(learn: Learn) -> None:
    told: list[Report] = []
    learn("longer", steps=80, learning_rate=5e-3, report_every=20, report=told.append)
    assert told[-1].loss < 0.8 * told[0].loss, told
    assert [each.step for each in told] == [20, 40, 60, 80] and all(each.samples_per_second > 0 for each in told)


def test_a_loss_that_is_not_finite_names_step_and_items(
    learn: Learn, training_set: TrainingSet, tmp_path: Path
) -> None:
    def broken(rows: Rows) -> torch.Tensor:
        mels = training_set.log_mels(rows).clone()
        mels[rows == 1] = float("nan")
        return mels

    name = training_set.ids[1]
    first = next(k for k in range(6) if 1 in np.random.default_rng((0, k)).integers(3, size=4)) + 1
    with pytest.raises(FloatingPointError, match=f"loss is nan .*in step {first} of .*: items {name}[,;]") as caught:
        learn("run", data=replace(training_set, log_mels=broken))
    assert not any(other in str(caught.value).split("items")[1] for other in training_set.ids if other != name)
    assert not (tmp_path / "run" / "model").exists()


def test_another_device_or_strategy_is_refused_in_one_line(
    preset: Preset, training_set: TrainingSet, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="device 'gpu' is not to be had for training here; choose auto, cpu or cuda"):
        train(preset, training_set, tmp_path, seed=0, accelerator="gpu")
    with pytest.raises(ValueError, match="strategy 'fsdp1' does not exist; choose one of auto, ddp, fsdp"):
        train(preset, training_set, tmp_path, seed=0, strategy="fsdp1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("micro_batch", 0, "micro_batch must be at least 1"),
        ("sample_every", 0, "sample_every must be at least 1"),
        ("clip_norm", 0.0, "clip_norm is 0.0; expected a number above 0"),
        ("weighting", "snr", "weighting is 'snr'; choose uniform or min-snr"),
        ("precision", "16-mixed", "precision is '16-mixed'; choose 32-true or bf16-mixed"),
    ],
)
def test_impossible_numbers_are_refused(preset: Preset, key: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"training: {said}"):
        replace(preset.training, **{key: value})  # type: ignore[arg-type]


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
