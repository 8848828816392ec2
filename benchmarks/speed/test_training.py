"""Training speed: clips a second, and model FLOPs utilisation against the matrix ceiling of the same machine and run.

A step is all of it: a batch drawn ahead, forward, backward, clipping, optimiser, moving average. Data are noise in
memory; reading prepared data is not in it. FLOPs are counted by torch.utils.flop_counter over forward and backward, a
multiplication and an addition being two; the ceiling is a large matrix product in the training's own precision. On a
CPU, compare ratios, not seconds. Run with

    uv run pytest benchmarks/speed/test_training.py -s -m "large or not large"

Without `-m`, only what a CPU does in a minute. What needs a GPU is skipped where there is none, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.flop_counter import FlopCounterMode

from clipsonic.network import predict
from clipsonic.preset import Preset, load_preset
from clipsonic.training.clipsonic import CLIPSonicObjective
from clipsonic.training.config import TrainingConfig
from clipsonic.training.dataset import TrainingSet
from clipsonic.training.prefetch import Prefetch
from clipsonic.training.strategy import launch
from clipsonic.training.trainee import Trainee

ROWS = 32
GPU = torch.cuda.is_available()
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch.compile's own parts
NEEDS_GPU = pytest.mark.skipif(not GPU, reason="no CUDA GPU here: bf16 and compiled against float32 is not measured")
DIM = {"micro": 64}
"""Of condition vectors; 768 (ViT-L/14) for the others."""


class Contiguous(CLIPSonicObjective):
    """The same network in torch's default memory order."""

    def build(self) -> torch.nn.Module:
        network: torch.nn.Module = super().build().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return network


def _noise(preset: Preset, name: str) -> TrainingSet:
    rng, mel = np.random.default_rng(0), preset.mel
    mels = torch.from_numpy(rng.standard_normal((ROWS, mel.bands, mel.frames), np.float32) * mel.scale + mel.centre)
    vectors = rng.standard_normal((ROWS, 1, DIM.get(name, 768)), np.float32)
    ids = [str(row) for row in range(ROWS)]
    return TrainingSet(ids, lambda rows: mels[rows], lambda rows: list(vectors[rows]), None, None, "noise")


def clips_per_second(
    name: str, batch: int, *, compile: bool = False, kind: type = CLIPSonicObjective, **how: Any
) -> float:
    """Of whole training steps of a preset with these keys changed: their mean, drawing included, after two more.

    On a GPU the batches that were drawn while it compiled are among the first, so there are many.
    """
    rounds = 40 if GPU else 3
    torch.compiler.reset()  # torch compiles eight graphs of diffusers' networks in a process, and then none
    preset = load_preset(name)
    config: TrainingConfig = replace(preset.training, batch=batch, **how)
    objective = kind(replace(preset, training=config), _noise(preset, name), seed=0)
    fabric, part = launch("auto", "cuda" if GPU else "cpu", config)
    trainee = Trainee(fabric, objective, config, None, strategy="auto", compile=compile)
    with (
        torch._dynamo.config.patch(fail_on_recompile_limit_hit=True),
        Prefetch(lambda step: trainee.staged(objective.draw(step, part)), 0, rounds + 2) as batches,
    ):
        for step in range(rounds + 2):
            if step == 2:
                started = time.perf_counter()
            loss, norm = trainee.gradients(batches.take())
            assert np.isfinite([float(loss), float(norm)]).all()
            trainee.update(1e-6)
        if GPU:
            torch.cuda.synchronize()
        return rounds * batch / (time.perf_counter() - started)


def training_flops(name: str) -> int:
    """Of forward and backward for one clip."""
    preset = load_preset(name)
    objective = CLIPSonicObjective(preset, _noise(preset, name), seed=0)
    network = objective.build().to("meta")
    batch = {key: values.to("meta") for key, values in objective.draw(0, slice(0, 1)).items() if key != "timesteps"}
    noisy, timesteps = batch["clean"], torch.zeros(1, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter:
        predict(network, noisy, timesteps, batch["condition"]).sum().backward()
    return counter.get_total_flops()


def matrix_ceiling(precision: str, fastest: Callable[..., tuple[float, Any]]) -> float:
    """FLOP/s of a large matrix product in the precision that a training multiplies in."""
    side, device = (8192, "cuda") if GPU else (1024, "cpu")
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def multiply() -> None:
        _ = left @ right
        if GPU:
            torch.cuda.synchronize()

    multiply()
    seconds, _ = fastest(multiply, rounds=5)
    return 2 * side**3 / seconds


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """On a CPU a thread, so that ratios do not depend on the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("micro", 16),
        pytest.param("small", 32 if GPU else 1, marks=pytest.mark.large),
        pytest.param("base", 32 if GPU else 1, marks=pytest.mark.large),
    ],
)
def test_utilisation(
    benchmark: BenchmarkFixture, fastest: Callable[..., tuple[float, Any]], name: str, batch: int
) -> None:
    """On a GPU compiled in bf16, as a training would be run; on a CPU eager in float32, where that is faster."""
    precision = "bf16-mixed" if GPU else "32-true"
    ceiling, flops = matrix_ceiling(precision, fastest), training_flops(name)
    speed = benchmark.pedantic(
        clips_per_second, (name, batch), {"precision": precision, "compile": GPU}, rounds=1, iterations=1
    )
    utilisation = speed * flops / ceiling
    benchmark.extra_info |= {"clips_per_second": speed, "flops_per_clip": flops, "ceiling": ceiling, "mfu": utilisation}
    print(
        f"\n{name:>6}: {speed:8.3f} clips/s, {flops / 1e9:8.1f} GFLOP a clip, {100 * utilisation:.1f} % of the "
        f"{ceiling / 1e12:.3f} TFLOP/s of a matrix product in {precision}"
    )
    assert 0 < utilisation <= 1.05


@pytest.mark.parametrize(
    "compared",
    [
        "channels-last",
        pytest.param("compiled", marks=pytest.mark.large),  # compiling takes minutes
        "accumulated",
        "activation-checkpointing",
        "bf16",
    ],
)
def test_ratio(benchmark: BenchmarkFixture, compared: str) -> None:
    """Of `micro`: each variant against the same training without it."""
    plain: dict[str, Any] = {"precision": "32-true"}
    variants: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "channels-last": ({**plain, "kind": Contiguous}, plain),
        "compiled": (plain, {**plain, "compile": True}),
        "accumulated": (plain, {**plain, "micro_batch": 4}),
        "activation-checkpointing": (plain, {**plain, "activation_checkpointing": True}),
        "bf16": (plain, {"precision": "bf16-mixed"}),
    }
    without, having = variants[compared]
    before = clips_per_second("micro", 16, **without)
    after = benchmark.pedantic(clips_per_second, ("micro", 16), having, rounds=1, iterations=1)
    benchmark.extra_info |= {"ratio": after / before, "clips_per_second": after}
    print(f"\n{compared:>25}: {after:.1f} clips/s against {before:.1f} without: {after / before:.2f} times")


@NEEDS_GPU
@pytest.mark.parametrize(("name", "batch"), [("small", 64), ("base", 16)])
def test_compiled_bf16_against_eager_float32(benchmark: BenchmarkFixture, name: str, batch: int) -> None:
    """At least twice as fast on a GPU as float32 as PyTorch comes, which convolves in TF32."""
    eager = clips_per_second(name, batch, precision="32-true")
    both = {"precision": "bf16-mixed", "compile": True}
    compiled = benchmark.pedantic(clips_per_second, (name, batch), both, rounds=1, iterations=1)
    benchmark.extra_info |= {"ratio": compiled / eager, "clips_per_second": compiled}
    print(
        f"\n{name}: {compiled:.1f} clips/s compiled in bf16, {eager:.1f} eager in float32: {compiled / eager:.2f} times"
    )
    assert compiled / eager >= 2
