"""A training that kills itself with SIGKILL when it has reported a step; for test_training_resume.py.

killed_training.py PRESET DATA RUN STEP
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from clipsonic.prepared import PreparedData
from clipsonic.preset import load_preset
from clipsonic.training.clipsonic import train
from clipsonic.training.dataset import of_frames
from clipsonic.training.log import Report


def main(preset: str, data: str, run: str, step: str) -> None:
    def die(report: Report) -> None:
        if report.step == int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    train(load_preset(preset), of_frames(PreparedData(Path(data))), Path(run), seed=0, accelerator="cpu", report=die)


if __name__ == "__main__":
    main(*sys.argv[1:])
