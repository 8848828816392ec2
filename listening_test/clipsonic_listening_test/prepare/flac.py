"""FLAC files of one size: 24 bits, and a PADDING block that brings each to the same number of bytes.

Sizes of files would tell an anchor (less to code) from a system. A padding block is four bytes of header and zeros; it
stands last of the metadata, where decoders pass over it.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

_HEADER: Final = 4
_LARGEST_BLOCK: Final = 2**24 - 1
_LAST: Final = 0x80
_PADDING: Final = 1


def encode(samples: NDArray[np.float64], rate_hz: int) -> bytes:
    """A FLAC file of (frames, channels), rounded to 24 bits. Samples must lie within full scale."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="FLAC", subtype="PCM_24")
    return buffer.getvalue()


def padded(files: list[bytes]) -> list[bytes]:
    """The same FLAC files, each brought to the size of the largest and one empty padding block."""
    size = max(len(file) for file in files) + _HEADER
    return [_pad(file, size - len(file)) for file in files]


def _pad(file: bytes, missing: int) -> bytes:
    end, last = _metadata(file)
    blocks = []
    while missing:
        length = min(missing - _HEADER, _LARGEST_BLOCK)
        if 0 < missing - _HEADER - length < _HEADER:
            length -= _HEADER  # leave room for the header of one more block
        missing -= _HEADER + length
        kind = _PADDING | (0 if missing else _LAST)
        blocks.append(bytes([kind]) + length.to_bytes(3, "big") + bytes(length))
    opened = bytearray(file[:end])
    opened[last] &= ~_LAST & 0xFF
    return bytes(opened) + b"".join(blocks) + file[end:]


def _metadata(file: bytes) -> tuple[int, int]:
    """Where the metadata end, and where the last block's header begins."""
    at = 4  # after "fLaC"
    while True:
        length = int.from_bytes(file[at + 1 : at + 4], "big")
        if file[at] & _LAST:
            return at + _HEADER + length, at
        at += _HEADER + length
