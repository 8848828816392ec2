"""What a training shows on the terminal: step, loss, items a second, time left; on the first process alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from typer.exceptions import Abort

if TYPE_CHECKING:
    from clipsonic.training.config import TrainingConfig
    from clipsonic.training.log import Listener, Report


MOST_SEED = 10**13
"""Of a training: seed * 1 000 003 + step seeds torch's generators, which take 64 bits."""


class Strategy(StrEnum):
    """How processes share a training."""

    auto = "auto"
    ddp = "ddp"
    fsdp = "fsdp"


def is_first_process() -> bool:
    """Whether this process speaks, of those that `torchrun` started; without it there is only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Keep other trainings out of a run folder; the first process does it for all.

    Raises:
        ValueError: another process is at work there; or the folder is prepared data, a model, a prior, or sounds.
    """
    from clipsonic.claim import claimed
    from clipsonic.generation import check_run_place

    check_run_place(run)
    with claimed(run) if is_first_process() else nullcontext():
        yield


@contextmanager
def show_training(config: TrainingConfig) -> Iterator[Listener]:
    """A progress bar, as what `fit` reports to. A training that is asked to stop says where it stands.

    The time left is reckoned from the last report: rich's own estimate forgets what is older than half a minute.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from clipsonic.training.stop import Stopped

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), disable=not is_first_process()) as progress:
            task = progress.add_task("starting", total=config.steps)

            def report(told: Report) -> None:
                left = timedelta(seconds=round((config.steps - told.step) * config.batch / told.samples_per_second))
                line = f"loss {told.loss:.4f}, {told.samples_per_second:.4g} items/s, {left} left"
                progress.update(task, completed=told.step, description=line)

            yield report
    except Stopped as stop:
        raise Abort(f"{stop}: repeat the command to go on") from stop
