"""The time left of work that may have been begun before: what is found done is where it starts, and no speed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text


class TimeLeft(ProgressColumn):
    """The time left, from all that was done since the start and the time it took; it counts down between reports.

    Of what is done, the field `found` of a task was there at the start. rich's own column counts that as speed, and
    forgets what is older than half a minute: of items that take longer it knows nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reports: dict[TaskID, tuple[float, float]] = {}
        """Of each task: what was done at the last report, and the seconds from the start to there."""

    def render(self, task: Task) -> Text:
        done, elapsed_s = task.completed - task.fields.get("found", 0), task.elapsed or 0.0
        if self._reports.get(task.id, (0, 0.0))[0] != done:
            self._reports[task.id] = done, elapsed_s
        if task.total is None or not done:
            return Text("-:--:--", style="progress.remaining")
        reported_s = self._reports[task.id][1]
        left_s = (task.total - task.completed) * reported_s / done - (elapsed_s - reported_s)
        return Text(str(timedelta(seconds=max(0, round(left_s)))), style="progress.remaining")


def resumed(progress: Progress, task: TaskID) -> Callable[[int], None]:
    """What a part of a task reports to, if it goes on where it was stopped: first the number of items found done, then
    that of the items it did. The clock starts with the last that are found before any is done."""
    reports = 0

    def advance(count: int) -> None:
        nonlocal reports
        reports += 1
        if reports > 1:
            progress.advance(task, count)
            return
        [now] = (each for each in progress.tasks if each.id == task)
        found = now.fields.get("found", 0)
        if now.completed > found:
            progress.update(task, advance=count, found=found + count)
        else:
            progress.reset(task, completed=int(found + count), found=found + count)

    return advance
