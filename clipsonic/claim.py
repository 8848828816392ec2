"""Hold a folder while work is done in it: two commands at once would remove each other's unfinished files.

The lock is the system's own (flock) on a hidden file, which goes with the process: nothing that is left after any end
keeps the next command out.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

LOCK: Final = ".lock"
_WITHOUT_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def claimed(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold `folder`, which is made, until this ends; a new one in which nothing was written is removed again.

    A file system without locks is no error: the lock keeps a mistake away, and the work does not need it.

    Args:
        name: of the lock; processes that share the work have one each.

    Raises:
        ValueError: another process holds it.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder / name, folder)
    try:
        yield
    finally:
        if _is_at(lock, folder / name):
            (folder / name).unlink()  # while it is held: who opened it meanwhile finds it gone
        lock.close()
        if is_new:
            with suppress(OSError):
                folder.rmdir()


def _lock(path: Path, folder: Path) -> IO[str]:
    while True:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                return file
            file.close()  # of a process that has just ended, which removed it
        except BlockingIOError:
            file.close()
            raise ValueError(f"another process is at work in {folder}: wait for it, or stop it") from None
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                return file
            file.close()
            raise


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
