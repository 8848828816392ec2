"""The recipe of a training, held against what is written by hand: noise, steps, average, seeds, precision, time."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from clipsonic.checkpoint import load_checkpoint
from clipsonic.diffusion import Diffusion
from clipsonic.pairs import PreparedPairs
from clipsonic.prepared import PreparedData
from clipsonic.preset import Preset
from clipsonic.prior import prior_scheduler
from clipsonic.prior_preset import PriorNetwork, PriorPreset, PriorSampling
from clipsonic.prior_training import PriorObjective
from clipsonic.training.clipsonic import CLIPSonicObjective
from clipsonic.training.config import TrainingConfig
from clipsonic.training.dataset import TrainingSet
from clipsonic.training.log import Report
from clipsonic.training.loop import fit
from clipsonic.training.loss import diffusion_loss
from clipsonic.training.objective import Batch, Objective

HOW = TrainingConfig(
    steps=4,
    batch=4,
    learning_rate=0.1,
    warm_up=2,
    weight_decay=0.1,
    ema_decay=0.5,
    condition_dropout=0.0,
    precision="32-true",
    standardise=True,
    sample_every=4,
    save_every=2,
    report_every=1,
)
WHOLE = slice(0, HOW.batch)


# What the networks are asked, and should say


class Listening(torch.nn.Module):
    """Keeps what it is asked, and says `answer`, in the form of diffusers' networks."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, noisy: Tensor, timesteps: Tensor, text: Tensor | None, **named: Tensor) -> object:
        self.noisy, self.timesteps, self.condition = noisy, timesteps, named.get("class_labels", text)
        return SimpleNamespace(sample=self.answer, predicted_image_embedding=self.answer)


def cosine_levels(timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma of Nichol & Dhariwal 2021, eq. 17, whose timesteps count from 1."""
    place = (timesteps.double() + 1) / 1000
    kept = torch.cos((place + 0.008) / 1.008 * torch.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    return kept.sqrt().float(), (1 - kept).sqrt().float()


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_the_network_hears_noisy_patches_their_level_and_the_condition(prediction: str) -> None:
    """And the right answer, of Salimans & Ho 2022 or Ho et al. 2020, has no loss."""
    clean, noise = torch.randn(2, 3, 16, 4, 8, generator=torch.Generator().manual_seed(0))
    timesteps, condition = torch.tensor([50, 500, 950]), torch.arange(24.0).reshape(3, 8)
    alpha, sigma = (each[:, None, None, None] for each in cosine_levels(timesteps))
    network = Listening(alpha * noise - sigma * clean if prediction == "v_prediction" else noise)
    batch = {"clean": clean, "noise": noise, "timesteps": timesteps, "condition": condition}
    loss = diffusion_loss(network, batch, Diffusion(prediction=prediction), "uniform", 5.0)  # type: ignore[arg-type]
    assert float(loss) < 1e-9
    torch.testing.assert_close(network.noisy[:, :16], alpha * clean + sigma * noise, atol=1e-5, rtol=1e-5)
    assert torch.equal(network.timesteps, timesteps) and torch.equal(network.condition, condition)


def test_the_prior_hears_a_noisy_vector_its_level_and_the_text(prior_objective: Callable[..., PriorObjective]) -> None:
    """At the levels that sampling undoes; and the clean vector has no loss."""
    objective = prior_objective()
    batch = objective.draw(0, WHOLE)
    kept = prior_scheduler().alphas_cumprod[batch["timesteps"], None]
    network = Listening(batch["clean"])
    assert float(objective.loss(network, batch)) == 0
    noisy = kept.sqrt() * batch["clean"] + (1 - kept).sqrt() * batch["noise"]
    torch.testing.assert_close(network.noisy, noisy, atol=1e-5, rtol=1e-5)
    assert torch.equal(network.timesteps, batch["timesteps"]) and torch.equal(network.condition, batch["text"])
    assert batch["text"].abs().sum(1).min() > 0  # nothing is dropped here


# What is drawn


@pytest.fixture
def objective(training_set: TrainingSet, preset: Preset) -> Callable[..., CLIPSonicObjective]:
    undropped = replace(preset, training=HOW)
    return lambda seed=0: CLIPSonicObjective(undropped, training_set, seed)


@pytest.fixture
def prior_objective(prepared: PreparedData) -> Callable[..., PriorObjective]:
    preset = PriorPreset(PriorNetwork(heads=2, head_dim=8, layers=1), HOW, PriorSampling(1.0, 4, 1))
    return lambda seed=0: PriorObjective(preset, PreparedPairs(prepared), seed)


def drawn_of(objective: Objective, name: str, key: str) -> list[int]:
    """How often each of the vectors of a clip that are drawn is drawn, in 200 steps."""
    counts: Counter[bytes] = Counter()
    for step in range(200):
        pairs = zip(objective.items(step, WHOLE), objective.draw(step, WHOLE)[key], strict=True)
        counts.update(vector.numpy().tobytes() for item, vector in pairs if item == name)
    return list(counts.values())


def test_a_random_frame_is_drawn_at_each_visit(
    prepared: PreparedData,
    objective: Callable[..., CLIPSonicObjective],
    prior_objective: Callable[..., PriorObjective],
) -> None:
    """Of a clip of two frames each about half of the time: Dong et al. 2023 for a CLIPSonic, and so for a prior."""
    name = "low"
    row = np.array([prepared.ids.index(name)])
    assert len(np.unique(prepared.frames_of(row)[0], axis=0)) == 2
    trained_on_it = next(found for seed in range(9) if row[0] not in (found := prior_objective(seed)).held_out)
    for counts in (drawn_of(objective(), name, "condition"), drawn_of(trained_on_it, name, "clean")):
        assert len(counts) == 2 and min(counts) > 0.4 * sum(counts) > 80


@pytest.mark.parametrize("kind", ["objective", "prior_objective"])
def test_another_seed_is_another_training(kind: str, request: pytest.FixtureRequest) -> None:
    """Other items, noise, noise levels and first weights; the same seed has the same."""

    def seen(seed: int) -> dict[str, object]:
        of_seed = request.getfixturevalue(kind)(seed)
        batches = [of_seed.draw(step, WHOLE) for step in range(8)]
        found: dict[str, object] = {name: torch.cat([each[name] for each in batches]).tolist() for name in batches[0]}
        found["items"] = [of_seed.items(step, WHOLE) for step in range(8)]
        largest = max(of_seed.build().parameters(), key=torch.numel)
        return found | {"weights": largest.tolist()}

    one, same, other = seen(0), seen(0), seen(1)
    assert one == same
    assert not [name for name in one if one[name] == other[name]]


# Steps, on a problem whose gradient is written by hand


class Product(torch.nn.Module):
    """x to x w."""

    def __init__(self, told: dict[str, list[object]]) -> None:
        super().__init__()
        self.weight, self._told = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5])), told

    def forward(self, x: Tensor) -> Tensor:
        found = x @ self.weight
        self._told["precision"].append(found.dtype)
        self._told["items"].append(len(x))
        return found

    def compile(self, *_: object, **__: object) -> None:
        self._told["compiled"].append(True)


class LeastSquares:
    """An `Objective`: mean (x w - y)^2 over the items. `told` is what the loop made of it."""

    def __init__(self) -> None:
        self.told: dict[str, list[object]] = defaultdict(list)

    def build(self) -> Product:
        return Product(self.told)

    def draw(self, step: int, part: slice) -> Batch:
        values = np.random.default_rng(step).normal(size=(HOW.batch, 4)).astype(np.float32)
        return {"x": torch.from_numpy(values[part, :3]), "y": torch.from_numpy(values[part, 3])}

    def loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        return ((module(batch["x"]) - batch["y"]) ** 2).mean()

    def items(self, step: int, part: slice) -> list[str]:
        return [str(item) for item in range(HOW.batch)[part]]

    def plan(self) -> dict[str, str]:
        return {}

    def render(self, module: torch.nn.Module, run: Path, seen: int) -> None:
        self.told["shown"].append((seen, module.get_parameter("weight").tolist()))

    def finish(self, module: torch.nn.Module, run: Path) -> None:
        self.told["finished"].append(module.get_parameter("weight").tolist())


def course_by_hand() -> list[tuple[float, NDArray[np.float64], NDArray[np.float64]]]:
    """Learning rate, weights, and their moving average after each step of `HOW`.

    AdamW of Loshchilov & Hutter 2019 with betas 0.9 and 0.99, on gradients of norm `clip_norm` at most. The average
    keeps 1 - k^-0.75 of itself in step k, and `ema_decay` at most: it soon forgets the first weights.
    """
    weight = np.array([1.0, -2.0, 0.5])
    first, second, average, course = np.zeros(3), np.zeros(3), np.zeros(3), []
    for k in range(1, HOW.steps + 1):
        x, y = (each.numpy().astype(np.float64) for each in LeastSquares().draw(k - 1, WHOLE).values())
        gradient = 2 * x.T @ (x @ weight - y) / HOW.batch
        gradient *= min(1.0, HOW.clip_norm / float(np.linalg.norm(gradient)))
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        fall = 0.02 + 0.98 * (1 + np.cos(np.pi * (k - 1) / HOW.steps)) / 2
        rate = HOW.learning_rate * min(1.0, k / HOW.warm_up) * float(fall)
        weight = weight - rate * HOW.weight_decay * weight
        weight = weight - rate * (first / (1 - 0.9**k)) / (np.sqrt(second / (1 - 0.99**k)) + 1e-8)
        decay = min(1 - k**-0.75, HOW.ema_decay)
        average = decay * average + (1 - decay) * weight
        course.append((rate, weight, average))
    return course


def test_steps_and_average_are_those_written_by_hand(tmp_path: Path) -> None:
    least_squares, told = LeastSquares(), list[Report]()
    network = fit(least_squares, HOW, tmp_path, accelerator="cpu", report=told.append)
    course = course_by_hand()
    np.testing.assert_allclose([each.learning_rate for each in told], [rate for rate, _, _ in course])
    _, weight, average = course[-1]
    trained = load_checkpoint(tmp_path / "checkpoint.safetensors")["model"]["weight"]
    np.testing.assert_allclose(trained, weight, atol=1e-5)
    np.testing.assert_allclose(network.get_parameter("weight").detach(), average, atol=1e-5)
    assert not network.training and np.abs(weight - average).min() > 1e-3  # or they could be taken for each other
    shown = [(HOW.batch * step, pytest.approx(of_step, abs=1e-5)) for step, (_, _, of_step) in enumerate(course, 1)]
    assert least_squares.told["shown"] == shown
    assert least_squares.told["finished"] == [pytest.approx(average, abs=1e-5)]


def test_a_model_folder_holds_the_average(run_folder: Path) -> None:
    state = load_checkpoint(run_folder / "checkpoint.safetensors")
    saved = load_file(run_folder / "model" / "unet" / "diffusion_pytorch_model.safetensors")
    averages = dict(zip(state["model"], state["ema"]["shadow_params"], strict=True))
    assert saved.keys() == averages.keys()
    assert all(torch.equal(saved[name], averages[name]) for name in saved)
    assert not any(torch.equal(saved[name], state["model"][name]) for name in saved)


def test_a_micro_batch_is_all_that_is_in_memory(tmp_path: Path) -> None:
    least_squares = LeastSquares()
    fit(least_squares, replace(HOW, micro_batch=3), tmp_path, accelerator="cpu")
    assert least_squares.told["items"] == [3, 1] * HOW.steps


@pytest.mark.parametrize(("precision", "computed_in"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_a_mixed_precision_computes_in_16_bits_and_keeps_32(
    tmp_path: Path, precision: str, computed_in: torch.dtype
) -> None:
    least_squares = LeastSquares()
    fit(least_squares, replace(HOW, precision=precision), tmp_path, accelerator="cpu")  # type: ignore[arg-type]
    assert least_squares.told["precision"] == [computed_in] * HOW.steps
    kept = load_file(tmp_path / "checkpoint.safetensors")
    assert len(kept) > 3 and {each.dtype for each in kept.values()} == {torch.float32}


@pytest.mark.parametrize("compiles", [False, True])
def test_kernels_are_compiled_when_asked_for(tmp_path: Path, compiles: bool) -> None:
    least_squares = LeastSquares()
    fit(least_squares, HOW, tmp_path, accelerator="cpu", compile=compiles)
    assert least_squares.told["compiled"] == [True] * compiles


def test_the_log_counts_the_seconds_of_all_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of ten seconds each; between the sessions a night passes, which is no training."""
    now = 0.0
    monkeypatch.setattr("clipsonic.training.loop.time", SimpleNamespace(monotonic=lambda: now))

    class Slow(LeastSquares):
        def loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
            nonlocal now
            now += 10
            return super().loss(module, batch)

    def break_off(told: Report) -> None:
        if told.step == 3:  # after the checkpoint of step 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Slow(), HOW, tmp_path, accelerator="cpu", report=break_off)
    now += 30_000
    fit(Slow(), HOW, tmp_path, accelerator="cpu")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["seconds"]) for line in lines] == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert {line["samples_per_second"] for line in lines} == {HOW.batch / 10}
