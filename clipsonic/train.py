"""The training loop of CLIPSonic, on Lightning Fabric: one visible `while`, everything with state in one checkpoint.

The network learns to undo noise on the mel patches of a clip, given the CLIP vector of a random frame of the same clip
(Dong et al. 2023). v-prediction (Salimans & Ho 2022) on a cosine schedule (Nichol & Dhariwal 2021); the condition is
dropped with a fixed probability for classifier-free guidance (Ho & Salimans 2022).

The clips, frames, noise and dropped conditions of step s are a function of (seed, s): the same command continues a run
that was killed, and sees what an unbroken run sees. A run folder belongs to one preset, seed and training set.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.checkpoint import load_checkpoint, load_optimizer_state, optimizer_state, save_checkpoint
from clipsonic.mel import normalise, to_patches
from clipsonic.network import build_network, predict
from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic.preset import Preset
from clipsonic.settings import Conditioning, Settings
from clipsonic.sounds import replace_text

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
}


@dataclass(frozen=True)
class TrainingSet:
    """Log-mels by row, and for each row the condition vectors one of which is drawn at each visit.

    log_mels: rows to (rows, bands, frames). conditions: for each row (choices, dim), unit vectors.
    clip: what query encoder the vectors come from, None if they are handed in.
    """

    log_mels: Callable[[NDArray[np.int64]], Tensor]
    conditions: list[NDArray[np.float32]]
    clip: str | None


def conditioning_of(vectors: NDArray[np.float32], standardise: bool) -> Conditioning:
    """Centre and scale vectors to unit mean square per dimension, or only scale them (by sqrt(dim)).

    One scale for all dimensions: relative sizes of directions are the encoder's and stay.
    """
    dim = vectors.shape[1]
    if not standardise:
        return Conditioning(dim, math.sqrt(dim))
    mean = vectors.astype(np.float64).mean(0)
    deviation = math.sqrt(float(((vectors - mean) ** 2).mean()))
    return Conditioning(dim, 1.0 / deviation, tuple(float(m) for m in mean))


def _learning_rate(step: int, preset: Preset) -> float:
    how = preset.training
    rise = min(1.0, (step + 1) / how.warm_up)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / how.steps)))
    return how.learning_rate * rise * (0.02 + 0.98 * fall)


@dataclass(frozen=True)
class _Batch:
    clean: Tensor
    noise: Tensor
    timesteps: Tensor
    condition: Tensor


def _draw(step: int, seed: int, data: TrainingSet, known: Conditioning, preset: Preset, part: slice) -> _Batch:
    """The share `part` of the batch of a step; drawn whole on every process, so shares fit together."""
    size, mel = preset.training.batch, preset.mel
    rng = np.random.default_rng((seed, step))
    rows = rng.integers(len(data.conditions), size=size)
    choices = rng.random(size)
    noise = torch.randn(size, mel.channels, *mel.grid, generator=torch.Generator().manual_seed(seed * 1_000_003 + step))
    timesteps = torch.from_numpy(((np.arange(size) + rng.random(size)) / size * 1000).astype(np.int64))
    dropped = torch.from_numpy(rng.random(size) < preset.training.condition_dropout)
    picked = [data.conditions[r][int(c * len(data.conditions[r]))] for r, c in zip(rows, choices, strict=True)]
    vectors = torch.from_numpy(np.stack(picked))
    mean = torch.tensor(known.mean) if known.mean else torch.zeros(known.dim)
    condition = torch.where(dropped[:, None], 0.0, (vectors - mean) * known.scale)
    clean = to_patches(normalise(data.log_mels(rows[part]), mel), mel)
    return _Batch(clean, noise[part], timesteps[part], condition[part])


def train(
    preset: Preset,
    data: TrainingSet,
    run: Path,
    *,
    seed: int,
    report: Callable[[int, float], None] | None = None,
    accelerator: str = "auto",
) -> CLIPSonicPipeline:
    """Train a CLIPSonic and save it as a model folder `run/model`; continue where a killed run stopped.

    Args:
        report: called with (steps done, mean loss since the last report) every `report_every` steps.

    Raises:
        ValueError: if `run` holds another training, or the batch cannot be shared among the processes.
        FloatingPointError: naming the step, if a loss is not finite.
    """
    how = preset.training
    fabric = Fabric(accelerator=accelerator, precision=how.precision)  # type: ignore[arg-type]  # a literal, from TOML
    fabric.launch()
    run.mkdir(parents=True, exist_ok=True)
    known = conditioning_of(np.concatenate(data.conditions), how.standardise)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(preset.mel, known.dim, preset.network)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=how.weight_decay)
    average = EMAModel(network.parameters(), decay=how.ema_decay, use_ema_warmup=True, power=0.75)
    step, seconds = 0, 0.0
    checkpoint, plan = run / "checkpoint.safetensors", _plan(preset, data, seed)
    if checkpoint.exists():
        state = load_checkpoint(checkpoint)
        _check_same(plan, state["plan"], run)
        network.load_state_dict(state["model"])
        load_optimizer_state(optimizer, state["optimizer"])
        average.load_state_dict(state["ema"])
        step, seconds = state["step"], state["seconds"]
    model, optimizer = fabric.setup(network, optimizer)
    average.to(fabric.device)
    noising = DDPMScheduler(**SCHEDULE)
    share, left = divmod(how.batch, fabric.world_size)
    if left:
        raise ValueError(f"a batch of {how.batch} cannot be shared by {fabric.world_size} processes: choose a multiple")
    part = slice(fabric.global_rank * share, (fabric.global_rank + 1) * share)
    if fabric.is_global_zero:
        _cut_log(run, step)
    started, losses = time.monotonic() - seconds, []
    while step < how.steps:
        batch = _draw(step, seed, data, known, preset, part)
        clean, noise, timesteps, condition = (
            fabric.to_device(t) for t in (batch.clean, batch.noise, batch.timesteps, batch.condition)
        )
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, preset)
        noisy = noising.add_noise(clean, noise, timesteps)
        target = noising.get_velocity(clean, noise, timesteps)
        loss = torch.nn.functional.mse_loss(predict(model, noisy, timesteps, condition).float(), target)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"loss is {float(loss.detach())} at step {step} of {run}")
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(network.parameters())
        losses.append(float(loss.detach()))
        step += 1
        last = step == how.steps
        if fabric.is_global_zero and (step % how.report_every == 0 or last):
            _log(run, step, losses, time.monotonic() - started)
            if report is not None:
                report(step, float(np.mean(losses)))
            losses = []
        if fabric.is_global_zero and (step % how.save_every == 0 or last):
            save_checkpoint(
                checkpoint,
                {
                    "plan": plan,
                    "model": network.state_dict(),
                    "optimizer": optimizer_state(optimizer),
                    "ema": average.state_dict(),
                    "step": step,
                    "seconds": time.monotonic() - started,
                },
            )
    average.copy_to(network.parameters())
    pipeline = _pipeline(network.cpu(), preset, known, data.clip)
    if fabric.is_global_zero:
        pipeline.save_pretrained(str(run / "model"), safe_serialization=True)
    return pipeline


def _plan(preset: Preset, data: TrainingSet, seed: int) -> dict[str, str]:
    """Everything that decides the weights, by the name a user knows it by."""
    unimportant = ("steps", "save_every", "report_every")
    training = {key: value for key, value in asdict(preset.training).items() if key not in unimportant}
    vectors = hashlib.sha256()
    for row in data.conditions:
        vectors.update(row.tobytes())
    return {
        "mel definition": json.dumps(preset.mel.as_dict()),
        "network": json.dumps(asdict(preset.network)),
        "recipe": json.dumps(training),
        "number of steps": str(preset.training.steps),
        "seed": str(seed),
        "training set": vectors.hexdigest(),
    }


def _check_same(plan: dict[str, str], found: dict[str, str], run: Path) -> None:
    differs = [name for name, value in plan.items() if found[name] != value]
    if differs:
        raise ValueError(
            f"{run} holds a training with another {' and '.join(differs)}: "
            "continue it with its own command, or choose another --out"
        )


def _cut_log(run: Path, step: int) -> None:
    """Drop what a killed run logged after its last checkpoint: those steps are done again."""
    log = run / "log.jsonl"
    if log.exists():
        lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        replace_text(log, "".join(line for line in lines if json.loads(line)["step"] <= step))


def _log(run: Path, step: int, losses: Sequence[float], seconds: float) -> None:
    line = {"schema": 1, "step": step, "loss": float(np.mean(losses)), "seconds": round(seconds, 3)}
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")


def _pipeline(
    network: UNet2DConditionModel, preset: Preset, known: Conditioning, clip: str | None
) -> CLIPSonicPipeline:
    settings = Settings(mel=preset.mel, conditioning=known, clip=clip, **asdict(preset.sampling))
    sampler = DPMSolverMultistepScheduler(**SCHEDULE)
    return CLIPSonicPipeline(network.eval(), sampler, settings=settings.as_dict())
