"""The same function on many things, in threads, with the results in the order of the things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from clipsonic_listening_test.prepare.progress import Advance

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_order(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, advance: Advance) -> list[Result]:
    """Results in the order of the tasks. The first error drops what waits and is raised.

    Threads suffice: decoding, resampling, filtering and FFmpeg's meter all run outside the interpreter's lock.
    """
    with ThreadPoolExecutor(workers) as executor:
        futures = [executor.submit(function, task) for task in tasks]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                advance(done, len(futures))
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    return [future.result() for future in futures]
