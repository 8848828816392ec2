"""Two processes on the CPU, DDP and FSDP2, started by `torchrun`: they end where one process does."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from clipsonic.checkpoint import load_checkpoint
from clipsonic.preset import Preset
from clipsonic.training.clipsonic import train
from clipsonic.training.trainee import moving_average

PROGRAM = Path(__file__).with_name("parallel_program.py")
HELPERS = runpy.run_path(str(PROGRAM))


def learn(preset: Preset, run: Path) -> None:
    train(preset, HELPERS["synthetic_set"](preset), run, seed=0, accelerator="cpu")


@pytest.fixture(scope="module")
def gentle(preset: Preset) -> Preset:
    gentle: Preset = HELPERS["gently"](preset)
    return gentle


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, preset_file: Path, gentle: Preset) -> Path:
    """A folder of runs: those of the program, and `one`, of this process."""
    out = tmp_path_factory.mktemp("parallel")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*launcher, str(PROGRAM), str(preset_file), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    learn(gentle, out / "one")
    return out


def whole(run: Path, what: str) -> torch.Tensor:
    """All weights, or the moving average, or a moment of the optimiser, as one vector in float64."""
    state: dict[str, Any] = load_checkpoint(run / "checkpoint.safetensors")
    parts = {
        "model": lambda: list(state["model"].values()),
        "ema": lambda: state["ema"]["shadow_params"],
        "moments": lambda: [entry["exp_avg"] for entry in state["optimizer"]["state"].values()],
    }
    return torch.cat([part.double().flatten() for part in parts[what]()])


def distance(left: Path, right: Path, what: str = "model") -> float:
    """Relative to the size of the whole."""
    one, other = whole(left, what), whole(right, what)
    return float((one - other).norm() / one.norm())


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["ddp", "fsdp", "ddp-accumulated", "fsdp-thrifty"])
def test_two_processes_equal_one(runs: Path, name: str) -> None:
    np.testing.assert_allclose(losses(runs / name), losses(runs / "one"), rtol=1e-6)
    for what in ("model", "ema"):
        assert distance(runs / "one", runs / name, what) < 1e-6, what
    assert distance(runs / "one", runs / name, "moments") < 1e-4
    model = "model/unet/diffusion_pytorch_model.safetensors"
    assert (runs / name / model).stat().st_size == (runs / "one" / model).stat().st_size


def test_processes_that_exchange_nothing_are_found_out(runs: Path) -> None:
    """The trap: FSDP2 without sizes is tensor parallelism, exchanges no gradients, and says nothing."""
    assert distance(runs / "one", runs / "trap") > 1e-5


def test_a_sharded_network_stays_sharded_and_its_checkpoint_is_whole(runs: Path) -> None:
    one, sharded = (load_checkpoint(runs / name / "checkpoint.safetensors") for name in ("one", "fsdp"))
    assert {k: v.shape for k, v in one["model"].items()} == {k: v.shape for k, v in sharded["model"].items()}


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_one_process_goes_on_where_two_were_killed(runs: Path, gentle: Preset, tmp_path: Path, name: str) -> None:
    shutil.copytree(runs / f"{name}-at-4", tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")["step"] == 4
    learn(gentle, tmp_path / "run")
    for what in ("model", "ema"):
        assert distance(runs / "one", tmp_path / "run", what) < 1e-6, what
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(runs / "one"), rtol=1e-6)


def test_a_signal_to_one_process_stops_all_at_the_same_step(runs: Path) -> None:
    """And what goes on from there ends bit for bit where an unbroken training with the same processes does."""
    first, second = (json.loads((runs / f"said-{rank}.json").read_text())["stopped"] for rank in (0, 1))
    assert first == second and "of 6, which is saved" in first
    for what in ("model", "ema", "moments"):
        assert torch.equal(whole(runs / "stopped", what), whole(runs / "fsdp", what)), what


@pytest.mark.parametrize("name", ["broken-ddp", "broken-fsdp"])
def test_a_loss_that_is_not_finite_in_one_process_stops_all_and_names_the_item(runs: Path, name: str) -> None:
    first, second = (json.loads((runs / f"said-{rank}.json").read_text())[name] for rank in (0, 1))
    assert first == second
    assert "loss is nan" in first and "in step 3 of" in first and "items clip-9;" in first


class Frozen(torch.nn.Module):
    """A network with a parameter that is not trained, as the priors have two."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)
        self.mean = torch.nn.Parameter(torch.ones(4), requires_grad=False)


def test_shards_of_frozen_parameters_are_averaged(tmp_path: Path) -> None:
    """Old mistake: `train-prior --strategy fsdp` on a GPU ended in diffusers' grouped copy."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        network = fully_shard(Frozen(), mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(NotImplementedError, match="sharding strategy"):
            EMAModel(network.parameters(), foreach=True).step(network.parameters())
        average = moving_average(network, 0.9, on_gpu=True)
        average.step(network.parameters())
        assert not average.foreach and moving_average(Frozen(), 0.9, on_gpu=True).foreach
        assert not moving_average(Frozen(), 0.9, on_gpu=False).foreach
    finally:
        torch.distributed.destroy_process_group()
