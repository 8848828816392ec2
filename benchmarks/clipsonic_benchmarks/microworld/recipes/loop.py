"""The training loop of the small encoders: AdamW, cosine learning rate after a warm-up, addressed batches, checkpoints.

The batch of step s is a function of (seed, s) alone, so a run that was killed and resumed sees what an unbroken one
sees. Every report goes to `log.jsonl`; the checkpoint is one file that is replaced, never appended to.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.checkpoint import load_checkpoint, save_checkpoint
from clipsonic.training.state import load_optimizer_state, optimizer_state
from clipsonic_benchmarks.files import write_bytes

BatchLoss = Callable[[NDArray[np.int64], torch.Generator], Tensor]
"""Item indices of a batch, and the step's own randomness, to the loss."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. `items`: size of the training set; `seed`: of initial weights, batches and noise."""

    items: int
    steps: int
    batch: int
    learning_rate: float
    seed: int
    warm_up: int = 50
    weight_decay: float = 0.01
    report_every: int = 50
    save_every: int = 200


def learning_rate(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < schedule.warm_up:
        return schedule.learning_rate * (step + 1) / schedule.warm_up
    progress = (step - schedule.warm_up) / max(1, schedule.steps - schedule.warm_up)
    return 0.5 * schedule.learning_rate * (1 + math.cos(math.pi * progress))


def _cut_log(log: Path, step: int) -> None:
    """Drop reports of steps that were lost with a killed process: they are taken, and reported, again."""
    if log.exists():
        kept = [
            line
            for line in log.read_text(encoding="utf-8").splitlines()
            if line.endswith("}") and json.loads(line)["step"] <= step
        ]
        write_bytes(log, "".join(f"{line}\n" for line in kept).encode())


def fit(module: torch.nn.Module, loss: BatchLoss, schedule: Schedule, run: Path) -> float:
    """Train `module` in place; return the seconds spent, over all interruptions.

    Raises:
        FloatingPointError: naming the step, if a loss is not finite.
    """
    run.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.0, weight_decay=schedule.weight_decay, betas=(0.9, 0.98))
    checkpoint = run / "checkpoint.safetensors"
    step, seconds = 0, 0.0
    if checkpoint.exists():
        state = load_checkpoint(checkpoint)
        module.load_state_dict(state["model"])
        load_optimizer_state(optimizer, state["optimizer"])
        step, seconds = state["step"], state["seconds"]
    _cut_log(run / "log.jsonl", step)
    started = time.monotonic() - seconds
    module.train()
    while step < schedule.steps:
        indices = np.random.default_rng((schedule.seed, step)).integers(schedule.items, size=schedule.batch)
        noise = torch.Generator().manual_seed(schedule.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, schedule)
        optimizer.zero_grad(set_to_none=True)
        value = loss(indices, noise)
        if not torch.isfinite(value):
            raise FloatingPointError(f"{run.name}: loss is {float(value)} at step {step}")
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % schedule.report_every == 0 or step == schedule.steps:
            seconds = time.monotonic() - started
            with (run / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(
                    json.dumps({"schema": 1, "step": step, "loss": float(value.detach()), "seconds": seconds}) + "\n"
                )
        if step % schedule.save_every == 0 or step == schedule.steps:
            save_checkpoint(
                checkpoint,
                {
                    "model": module.state_dict(),
                    "optimizer": optimizer_state(optimizer),
                    "step": step,
                    "seconds": time.monotonic() - started,
                },
            )
    module.eval()
    return time.monotonic() - started
