"""What a run tells of itself: `log.jsonl`, one line a report, and the same numbers for TensorBoard.

`log.jsonl` is the record, of reports and of warnings (lines with the key `warning`). `tensorboard/` is made from it
whenever a run begins or goes on, so after any kill both show one unbroken course.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from clipsonic.sounds import replace_text

_CURVES = ("loss", "learning_rate", "gradient_norm", "samples_per_second")


@dataclass(frozen=True)
class Report:
    """How a training stands: steps done, and means over the steps since the last report.

    gradient_norm: before clipping. seconds: of training, over all sessions of a run.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    samples_per_second: float
    seconds: float


Listener = Callable[[Report], None]


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, which may be missing, but for a last one that a kill has torn."""
    file = run / "log.jsonl"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class RunLog:
    """The log of a run that stands at `step`: what a killed run told of later steps is dropped, for they come again."""

    def __init__(self, run: Path, step: int) -> None:
        self._file = run / "log.jsonl"
        kept: list[dict[str, Any]] = []
        if self._file.exists():
            kept = [line for line in read_log(run) if line["step"] <= step]
            replace_text(self._file, "".join(json.dumps(line) + "\n" for line in kept))
        shutil.rmtree(run / "tensorboard", ignore_errors=True)
        self._curves = SummaryWriter(str(run / "tensorboard"))
        for line in kept:
            if "warning" not in line:
                self._draw(line)

    def warn(self, step: int, told: str) -> None:
        """Append what went wrong after a step without ending the training."""
        self._append({"schema": 1, "step": step, "warning": told, "time": round(time.time(), 3)})

    def write(self, report: Report) -> None:
        """Append a line, and show it to TensorBoard."""
        line = {"schema": 1, **asdict(report), "time": round(time.time(), 3)}
        self._append(line)
        self._draw(line)
        self._curves.flush()

    def _append(self, line: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _draw(self, line: dict[str, Any]) -> None:
        for name in _CURVES:
            self._curves.add_scalar(name, line[name], line["step"], walltime=line["time"])

    def close(self) -> None:
        """Write out what TensorBoard has not seen yet."""
        self._curves.close()
