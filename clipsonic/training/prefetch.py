"""Draw batches ahead of the step that uses them, in threads. What is drawn is a function of the step: only when it is
drawn changes, so a training with and without this ends bit for bit in the same place."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final

from clipsonic.training.objective import Batch

_AHEAD: Final = 4
"""Batches in memory beside the one in use, each drawn in a thread of its own: one alone is slower than a fast GPU."""


class Prefetch:
    """Batches by step, in order, from `first` up to but not including `last`."""

    def __init__(self, draw: Callable[[int], Batch], first: int, last: int) -> None:
        self._draw, self._next, self._last = draw, first, last
        self._thread = ThreadPoolExecutor(_AHEAD, "draw")
        self._coming: list[Future[Batch]] = []

    def __enter__(self) -> Prefetch:
        for _ in range(_AHEAD):
            self._ask()
        return self

    def _ask(self) -> None:
        if self._next < self._last:
            self._coming.append(self._thread.submit(self._draw, self._next))
            self._next += 1

    def take(self) -> Batch:
        """The batch of the next step. What went wrong in drawing it is raised here."""
        batch = self._coming.pop(0).result()
        self._ask()
        return batch

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
