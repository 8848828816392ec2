"""Write checkpoints in a thread, so that a training goes on meanwhile: at the size of the paper one is 2.3 GB."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from clipsonic.checkpoint import State, save_checkpoint


class Saver:
    """Writes checkpoints to `path`, the one before going to `previous`, one at a time. What could not be written is
    raised by the next `save` or `wait`, and on leaving, unless another error is on its way."""

    def __init__(self, path: Path, previous: Path) -> None:
        self._path, self._previous = path, previous
        self._thread = ThreadPoolExecutor(1, "save")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Saver:
        return self

    def save(self, state: State) -> None:
        """Begin to write `state`, whose tensors must not change any more."""
        self.wait()
        self._writing = self._thread.submit(save_checkpoint, self._path, state, self._previous)

    def wait(self) -> None:
        """Return when everything is on the disk."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def check(self) -> None:
        """Raise what could not be written, without waiting."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.wait()
