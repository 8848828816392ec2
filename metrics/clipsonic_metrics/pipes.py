"""Streams whose reader may go away. In `clipsonic-metrics score ... --json scores.json | head` the reader ends early;
what was asked for is still computed and written to its files, and the rest of the table goes nowhere."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO, cast


class Patient:
    """A text stream that takes what is written to it when nobody reads any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop what has no reader."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what has no reader."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._give_up()

    def _give_up(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())  # what is still buffered, and what comes, ends there without an error
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def be_patient() -> None:
    """Make stdout and stderr of this process patient."""
    sys.stdout, sys.stderr = cast(TextIO, Patient(sys.stdout)), cast(TextIO, Patient(sys.stderr))
