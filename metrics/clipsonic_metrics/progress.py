"""Progress on stderr: a bar with the time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clipsonic_metrics.embedding import Advance

SHOW_AFTER_S = 2.0
LOG_EVERY_S = 10.0


def start_progress(label: str) -> Advance:
    """Progress of one stage; nothing is shown of a stage that takes less than two seconds."""
    console = Console(stderr=True)
    return _bar(label, console) if console.is_terminal else _log(label)


def _bar(label: str, console: Console) -> Advance:
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task(label)
    running = False

    def advance(done: int, total: int) -> None:
        nonlocal running
        progress.update(task, completed=done, total=total)
        if not running and time.monotonic() - began > SHOW_AFTER_S and done < total:
            progress.start()
            running = True
        if running and done == total:
            progress.stop()

    return advance


def _log(label: str) -> Advance:
    began = time.monotonic()
    last = began - LOG_EVERY_S + SHOW_AFTER_S  # so that the first line comes after two seconds

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LOG_EVERY_S or done == total:
            return
        last = now
        left_s = (now - began) / done * (total - done)
        sys.stderr.write(f"{label}: {done} of {total}, {left_s:.0f} s left\n")

    return advance
