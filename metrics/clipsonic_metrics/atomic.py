"""Writing files whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write to a temporary name beside `path` and rename: a reader sees the old file or the new one, never a part.

    Raises:
        OSError: the folder is absent or full, or may not be written to; nothing is left behind then.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except BaseException:  # Ctrl-C as well as a full disk
        partial.unlink(missing_ok=True)
        raise
