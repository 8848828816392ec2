"""Write shards in this process or in several, with progress item by item, and an end at the next item when stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Final

from clipsonic.clips import Preparation
from clipsonic.shards import Columns, Shard, partial_path, write_shard

_POLL_S: Final = 0.2


class _StoppedError(Exception):
    """Raised in a worker whose parent wants no more."""


class _Here:
    """What a worker process shares with its parent: the count of items done, and whether to stop."""

    done: Synchronized[int]
    stop: Event


def write_shards(
    into: Path,
    folder: Path,
    shards: Sequence[Shard],
    how: Preparation,
    columns: Columns,
    workers: int,
    done: Callable[[int], None],
) -> None:
    """Write shards below `into`, each whole; `done` is called with the number of items so far.

    Raises:
        ChildProcessError: if a worker was killed. What other shards are finished is kept, as after any error.
    """
    if workers == 1 or len(shards) < 2:
        count = 0

        def advance() -> None:
            nonlocal count
            count += 1
            done(count)

        for shard in shards:
            write_shard(into, folder, shard, how, columns, advance)
        return
    context = multiprocessing.get_context("spawn")
    shared, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(
        min(workers, len(shards)), mp_context=context, initializer=_start, initargs=(shared, stop)
    ) as pool:
        try:
            with _deaf():
                waiting = {pool.submit(_write, into, folder, shard, how, columns) for shard in shards}
            while waiting:
                ended, waiting = wait(waiting, timeout=_POLL_S)
                done(shared.value)
                for each in ended:
                    each.result()
        except BrokenProcessPool:
            raise ChildProcessError(
                "a worker process was killed, perhaps for want of memory; finished shards are kept: "
                "repeat the command, with fewer --workers if it happens again"
            ) from None
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            for shard in shards:  # of a worker that was killed
                partial_path(into, shard).unlink(missing_ok=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started here do not hear Ctrl-C, from their first moment on: it is the parent's to handle."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start(done: Synchronized[int], stop: Event) -> None:
    """In a new worker: a parent that was killed takes its workers with it."""
    _Here.done, _Here.stop = done, stop
    Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _advance() -> None:
    if _Here.stop.is_set():
        raise _StoppedError
    with _Here.done.get_lock():
        _Here.done.value += 1


def _write(into: Path, folder: Path, shard: Shard, how: Preparation, columns: Columns) -> None:
    write_shard(into, folder, shard, how, columns, _advance)
