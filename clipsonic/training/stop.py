"""Ctrl-C and SIGTERM end a training after the step in hand, with a checkpoint; a second one ends it at once.

Under `torchrun` the second does nothing: Ctrl-C reaches the processes twice, from the terminal and from `torchrun`,
which kills after half a minute what has not ended.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A training was asked to stop, and did so after a checkpoint; the message says where and how to go on."""


@contextmanager
def heed_signals() -> Iterator[Callable[[], bool]]:
    """While this lasts, the first SIGINT or SIGTERM only makes the function it gives return True.

    Handlers are put back afterwards. In another thread than the main one, where handlers cannot be set, the caller's
    stay and the function returns False.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {each: signal.getsignal(each) for each in _SIGNALS}

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    def heed(number: int, frame: FrameType | None) -> None:
        asked.set()
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            restore()

    for each in _SIGNALS:
        signal.signal(each, heed)
    try:
        yield asked.is_set
    finally:
        restore()
