"""What two processes of `torchrun` do in test_training_parallel.py: several small trainings, one after the other.

    torchrun --nproc-per-node 2 parallel_program.py PRESET OUT

Each training has a folder below OUT named like its function. `said-RANK.json` has what each process was told.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from clipsonic.preset import Preset, load_preset
from clipsonic.training import strategy
from clipsonic.training.clipsonic import train
from clipsonic.training.dataset import Rows, TrainingSet
from clipsonic.training.log import Report
from clipsonic.training.stop import Stopped

ROWS, DIM = 24, 8


def synthetic_set(preset: Preset) -> TrainingSet:
    """Noise for log-mels and one to three vectors a row, the same in every process."""
    rng, mel = np.random.default_rng(0), preset.mel
    mels = torch.from_numpy(rng.normal(-4, 2, (ROWS, mel.bands, mel.frames)).astype(np.float32))
    vectors = [rng.normal(size=(1 + row % 3, DIM)).astype(np.float32) for row in range(ROWS)]
    ids = [f"clip-{row}" for row in range(ROWS)]
    return TrainingSet(ids, lambda rows: mels[rows], lambda rows: [vectors[row] for row in rows], None, None, "noise")


def gently(preset: Preset) -> Preset:
    """Small steps: Adam divides by the size of a gradient, and where that is rounding alone, makes a step of it."""
    return replace(preset, training=replace(preset.training, learning_rate=1e-4))


def main(preset: Preset, out: Path) -> None:
    rank, said = int(os.environ["RANK"]), {}
    data = synthetic_set(preset)
    how = preset.training

    def training(name: str, which: strategy.StrategyName, preset: Preset = preset, data: TrainingSet = data) -> None:
        def keep_the_one_at_4(report: Report) -> None:
            if report.step == 5:
                shutil.copytree(out / name, out / f"{name}-at-4")

        train(preset, data, out / name, seed=0, strategy=which, accelerator="cpu", report=keep_the_one_at_4)

    training("ddp", "auto")
    training("fsdp", "fsdp")
    training("ddp-accumulated", "ddp", replace(preset, training=replace(how, micro_batch=1)))
    thrifty = replace(how, micro_batch=1, activation_checkpointing=True)
    training("fsdp-thrifty", "fsdp", replace(preset, training=thrifty))

    calls = 0

    def stops_the_second(rows: Rows) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if rank == 1 and calls == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return data.log_mels(rows)

    try:
        training("stopped", "fsdp", data=replace(data, log_mels=stops_the_second))
    except Stopped as stop:
        said["stopped"] = str(stop)
    training("stopped", "fsdp")

    def broken(rows: Rows) -> torch.Tensor:
        mels = data.log_mels(rows).clone()
        mels[rows == 9] = float("nan")
        return mels

    for which in ("ddp", "fsdp"):
        try:
            training(f"broken-{which}", which, data=replace(data, log_mels=broken))
        except FloatingPointError as error:
            said[f"broken-{which}"] = str(error)

    right: Callable[..., object] = strategy.ModelParallelStrategy
    strategy.ModelParallelStrategy = partial(_with_default_sizes, right)  # type: ignore[assignment, misc]
    training("trap", "fsdp")
    (out / f"said-{rank}.json").write_text(json.dumps(said))


def _with_default_sizes(right: Callable[..., object], shard: object, **sizes: int) -> object:
    """What Fabric makes of a ModelParallelStrategy that is not told its sizes."""
    return right(shard)


if __name__ == "__main__":
    main(gently(load_preset(sys.argv[1])), Path(sys.argv[2]))
