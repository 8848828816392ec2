"""The training loop: one visible `while`, and everything with state in one checkpoint.

`fit` trains any `Objective` (a CLIPSonic, a prior) in one process, with DDP or with FSDP2. What a step sees is a
function of (seed, step), so the same command continues a run that was killed. With the same number of processes on the
same machine it ends on a CPU bit for bit where an unbroken run ends; with another number, and on a GPU, whose kernels
add in no fixed order, up to rounding.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.distributed import all_gather_object, all_reduce

from clipsonic.checkpoint import load_checkpoint
from clipsonic.training.config import TrainingConfig
from clipsonic.training.log import Listener, Report, RunLog
from clipsonic.training.objective import Objective
from clipsonic.training.prefetch import Prefetch
from clipsonic.training.saver import Saver
from clipsonic.training.stop import Stopped, heed_signals
from clipsonic.training.strategy import StrategyName, launch
from clipsonic.training.trainee import Trainee

CHECKPOINT: Final = "checkpoint.safetensors"
PREVIOUS: Final = "checkpoint.previous.safetensors"
_NAMED: Final = 8
"""How many items an error names before it only counts."""


def fit(
    objective: Objective,
    config: TrainingConfig,
    run: Path,
    *,
    strategy: StrategyName = "auto",
    accelerator: str = "auto",
    compile: bool = False,
    report: Listener | None = None,
    begun: Callable[[], None] | None = None,
) -> torch.nn.Module:
    """Train to `config.steps` in the folder `run`, from where it stands; write there what the objective makes of it.

    Args:
        run: on several machines, a folder that all of them see.
        strategy: `auto` is DDP under `torchrun`, else one process; `fsdp` shards the network.
        accelerator: `auto`, `cpu` or `cuda`.
        compile: let `torch.compile` write the kernels; the result differs by rounding.
        report: told every `report_every` steps, and at the end, on the first process.
        begun: called on the first process when nothing of what is asked for was refused.

    Returns:
        The network with the averaged weights, in evaluation mode on the CPU, on every process.

    Raises:
        ValueError: if `run` holds another training, or the batch cannot be shared among the processes.
        FloatingPointError: naming step and items, if a loss or a gradient is not finite; the step is not taken.
        Stopped: after a checkpoint, if SIGINT or SIGTERM asked for it.
    """
    fabric, part = launch(strategy, accelerator, config)
    first = fabric.is_global_zero
    run.mkdir(parents=True, exist_ok=True)
    plan = {**objective.plan(), "number of steps": str(config.steps)}
    state = _state_of(run, plan)
    trainee = Trainee(fabric, objective, config, state, strategy=strategy, compile=compile)
    step, seconds = (state["step"], state["seconds"]) if state is not None else (0, 0.0)
    del state
    log = RunLog(run, step) if first else None
    if first and begun is not None:
        begun()
    tally = _Tally(config.batch, seconds)
    try:
        with (
            heed_signals() as asked,
            Saver(run / CHECKPOINT, run / PREVIOUS) as saver,
            Prefetch(lambda ahead: trainee.staged(objective.draw(ahead, part)), step, config.steps) as batches,
        ):
            while step < config.steps:
                batch = batches.take()
                loss, norm, stop = _agree(fabric, *trainee.gradients(batch), asked())
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    saver.wait()
                    found = f"loss is {loss} and gradient norm {norm} in step {step + 1} of {run}"
                    _refuse(fabric, found, trainee.losses(batch), objective.items(step, part), _remedy(run, config))
                trainee.update(rate := learning_rate(step, config))
                tally.add(loss, norm)
                step += 1
                last = step == config.steps
                if log is not None and (step % config.report_every == 0 or last):
                    told = tally.report(step, rate)
                    log.write(told)
                    if report is not None:
                        report(told)
                saver.check()
                if step % config.save_every == 0 or last or stop:
                    saver.wait()  # before there are two states in memory
                    whole = trainee.state(first)
                    if first:
                        saver.save(whole | {"plan": plan, "step": step, "seconds": tally.seconds})
                    del whole
                    if last or stop:
                        saver.wait()
                        fabric.barrier()
                if _rendering_due(step, config) and (shown := trainee.averaged(first)) is not None and log is not None:
                    _render(objective, shown.to(fabric.device), run, step, config, log)
                if stop and not last:
                    raise Stopped(f"stopped after step {step} of {config.steps}, which is saved")
    finally:
        if log is not None:
            log.close()
    averaged = trainee.averaged(keep=True)
    assert averaged is not None
    if first:
        objective.finish(averaged, run)
    fabric.barrier()
    return averaged


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Of step 0, 1, …: a linear rise over `warm_up` steps, times a cosine from 1 to 0.02 over all steps."""
    rise = min(1.0, (step + 1) / config.warm_up)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    return config.learning_rate * rise * (0.02 + 0.98 * fall)


class _Tally:
    """Losses and times since the last report."""

    def __init__(self, batch: int, seconds: float) -> None:
        self._batch = batch
        self._started = time.monotonic() - seconds
        self._since, self._losses, self._norms = time.monotonic(), list[float](), list[float]()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def add(self, loss: float, norm: float) -> None:
        self._losses.append(loss)
        self._norms.append(norm)

    def report(self, step: int, rate: float) -> Report:
        now, steps = time.monotonic(), len(self._losses)
        speed = steps * self._batch / (now - self._since)
        loss, norm = (math.fsum(values) / steps for values in (self._losses, self._norms))
        self._since, self._losses, self._norms = now, [], []
        return Report(step, loss, rate, norm, round(speed, 3), round(self.seconds, 3))


def _agree(fabric: Fabric, loss: Tensor, norm: Tensor, asked: bool) -> tuple[float, float, bool]:
    """Mean loss over the processes, gradient norm, and whether any process was asked to stop: the same for all."""
    mine = torch.stack([loss.float(), norm.float(), torch.full_like(loss, float(asked), dtype=torch.float32)])
    if fabric.world_size > 1:
        all_reduce(mine)  # Fabric's own would wait at a barrier first, in every step
    mean, same, share = (mine / fabric.world_size).tolist()
    return mean, same, share > 0


def _remedy(run: Path, config: TrainingConfig) -> str:
    """What a run whose next step cannot be taken has, and what to do."""
    kept = f"{run / CHECKPOINT} is from before" if (run / CHECKPOINT).exists() else "there is no checkpoint yet"
    return (
        f"{kept}, and the same command comes to the same step again: prepare the data without these items, or train "
        f'with a smaller learning_rate than {config.learning_rate:g} or precision = "32-true" in a preset of your own, '
        "either way with another --out"
    )


def _render(
    objective: Objective, network: torch.nn.Module, run: Path, step: int, config: TrainingConfig, log: RunLog
) -> None:
    """Render what the network makes; if that fails, the training goes on, since nothing of it is in the weights."""
    try:
        objective.render(network, run, step * config.batch)
    except Exception as error:
        told = f"rendering after step {step} failed: {type(error).__name__}: {error}"
        log.warn(step, told)
        warnings.warn(f"{told}; the training goes on", RuntimeWarning, stacklevel=3)


def _refuse(fabric: Fabric, found: str, losses: list[float], items: list[str], remedy: str) -> NoReturn:
    mine = [name for name, loss in zip(items, losses, strict=True) if not math.isfinite(loss)]
    everyones: list[list[str]] = [mine]
    if fabric.world_size > 1:
        everyones = [[] for _ in range(fabric.world_size)]
        all_gather_object(everyones, mine)
    names = [name for one in everyones for name in one]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    which = f"items {', '.join(names[:_NAMED])}{more}" if names else "no item alone, only the whole batch"
    raise FloatingPointError(f"{found}: {which}; {remedy}")


def _rendering_due(step: int, config: TrainingConfig) -> bool:
    """Whether the items seen have passed a multiple of `sample_every` with this step."""
    every = config.sample_every
    return every is not None and step * config.batch // every > (step - 1) * config.batch // every


def _state_of(run: Path, plan: dict[str, str]) -> dict[str, Any] | None:
    """The last checkpoint of a run, if it has one and it is of this training."""
    last = next((run / name for name in (CHECKPOINT, PREVIOUS) if (run / name).exists()), None)
    if last is None:
        return None
    state = load_checkpoint(last)
    found = state["plan"]
    if differs := [name for name in {**plan, **found} if plan.get(name) != found.get(name)]:
        raise ValueError(
            f"{run} holds a training with another {' and '.join(differs)}: "
            "continue it with its own command, or choose another --out"
        )
    return state
