"""Forward passes, each on one thread of torch, several side by side.

Torch splits the sums of large layers among its threads, so that their number decides last digits (VGGish, Wav2CLIP);
torchrun sets it to one, other processes have one for each core. Here each pass has one thread, and as many passes run
at a time as the caller's torch has threads: the speed of many threads, and the digits of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
_MOST: Final = 8
_MOST_NUMBERS: Final = 2**24  # given to all passes at a time: of long sounds that are not cut, fewer run side by side


def side_by_side(work: Callable[[Tensor], T], batches: Iterable[Tensor]) -> Iterator[T]:
    """What `work` makes of the batches, in their order; `batches` is read no further ahead than there are threads."""
    import torch

    threads = torch.get_num_threads()
    workers = min(threads, _MOST)
    pool = ThreadPoolExecutor(workers, "forward", initializer=torch.set_num_threads, initargs=(1,))
    running: deque[tuple[int, Future[T]]] = deque()
    try:
        for batch in batches:
            while running and (
                len(running) > workers or sum(size for size, _ in running) + batch.numel() > _MOST_NUMBERS
            ):
                yield running.popleft()[1].result()
            running.append((batch.numel(), pool.submit(work, batch)))
        while running:
            yield running.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # a worker's setting is its own, but also what threads to come begin with
