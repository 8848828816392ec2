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
_TRIES: Final = 100
_UNWRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_WITHOUT_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def claimed(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold `folder`, which is made, until this ends; a new one in which nothing was written is removed again.

    A file system without locks is no error: the lock keeps a mistake away, and the work does not need it.

    Args:
        name: of the lock; processes that share the work have one each.

    Raises:
        ValueError: another process holds it.
        OSError: naming the folder that cannot be written to.
    """
    is_new = not os.path.exists(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder / name, folder)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        place = next((path for path in (folder, *folder.parents) if os.path.exists(path)), folder)
        raise OSError(f"{place} cannot be written to ({error.strerror}): choose another --out") from error
    try:
        yield
    finally:
        if _is_at(lock, folder / name):
            # while it is held: who opened it meanwhile finds it gone; one that shares the work may have removed it
            (folder / name).unlink(missing_ok=True)
        lock.close()
        if is_new:
            with suppress(OSError):
                folder.rmdir()


def _lock(path: Path, folder: Path) -> IO[str]:
    tries = 0
    while True:
        tries += 1
        file = path.open("w", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path) or tries == _TRIES:  # some file systems never say that two are one
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
