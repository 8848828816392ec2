"""Worker processes: spawned, one thread each, gone when the command is gone.

What runs in them are plain functions of picklable tasks. A worker keeps what it loaded (models, splits) for its next
task.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from clipsonic_benchmarks.errors import BenchmarkError

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerLost(BenchmarkError):
    """A worker process was killed. What it finished is kept."""

    exit_code = 1


@contextmanager
def worker_processes(count: int) -> Iterator[Executor]:
    """An executor of `count` processes; on an error or Ctrl-C, what waits is dropped and the workers stop."""
    executor = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_settle)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _settle() -> None:
    """In a fresh worker: one thread for every numeric library, and no life after the parent's."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    connection.wait([sentinel])  # becomes ready when the parent ends, however it ends
    os._exit(1)


def settle_torch() -> None:
    """One thread for torch too; called in a worker by whatever imports it."""
    import torch

    if parent_process() is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def as_done(
    executor: Executor, function: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Result]]:
    """Results as they come, in any order. The first error ends the iteration and drops what waits.

    Raises:
        WorkerLost: a worker was killed.
        BenchmarkError: no space left on the device.
    """
    futures: dict[Future[Result], Task] = {executor.submit(function, task): task for task in tasks}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise WorkerLost(
            "a worker process was killed, perhaps for want of memory; what is finished is kept: "
            "repeat the command, with --workers 1 if it happens again"
        ) from None
    except OSError as error:
        raise storage_error(error) from error
    finally:
        for future in futures:
            future.cancel()


def storage_error(error: OSError) -> BenchmarkError:
    """The one-line error for what the file system refused."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return BenchmarkError(
            f"{error.filename or 'a file'}: {error.strerror or error}; choose another --out, or mend it"
        )
    where = f" while writing {error.filename}" if error.filename else ""
    return BenchmarkError(
        f"no space left on the device{where}; what is finished is kept: "
        "make room and repeat the command, or choose another --out"
    )
