"""Progress on stderr: a bar with the time left on a terminal; a line now and then where stderr is a file or pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_LINE_EVERY_S = 10.0


@dataclass
class Progress:
    """Stages of a command, timed. `seconds` holds the wall-clock seconds of each finished stage, by name."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, says: str, total: int) -> Iterator[Callable[[int], None]]:
        """One stage of `total` steps; call what it gives with the number of steps just done."""
        started = time.monotonic()
        try:
            if total and sys.stderr.isatty():
                with _bar(says, total) as advance:
                    yield advance
            else:
                yield _lines(says, total)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started


@contextmanager
def _bar(says: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(says, total=total)
        yield lambda steps: bars.update(task, advance=steps)


def _lines(says: str, total: int) -> Callable[[int], None]:
    """Lines instead of a bar. The time left is reckoned from the first steps on: before them, workers only start up."""
    done, first, since = 0, 0, 0.0
    told = time.monotonic()
    _tell(f"{says} …")

    def advance(steps: int) -> None:
        nonlocal done, first, since, told
        done += steps
        now = time.monotonic()
        if not first:
            first, since = done, now
        elif now - told >= _LINE_EVERY_S and done < total:
            left = (now - since) / (done - first) * (total - done)
            _tell(f"  {done} of {total}, about {left:.0f} s left")
            told = now

    return advance


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
