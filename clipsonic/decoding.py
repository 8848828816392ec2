"""Decode one stream of a video from a time on, and no more of it than is asked for. Times are the file's own.

A jump goes to the last key frame before the start. Of the pictures, H.264 and HEVC mark those that no other refers to;
these are not decoded unless they may be wanted, which changes none of the rest. Whether one may be wanted is known
before, from the times of the packets; two more after each wanted time are decoded, as a packet may hold no picture.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, Self

import av

_Wanted = Callable[[float], float | None]
"""From a time to the last wanted time before it, -inf if there is none; None while that is not known."""
Fault = Literal["missing", "broken", "no picture", "no sound", "too short", "silent"]

TOLERANCE_S: Final = 1e-6
_PREROLL_S: Final = 1.0
"""Sound is decoded from this much before the start: a codec's first blocks after a jump lack what went before."""
_JUMPS: Final = 4
"""How often a start is looked for before the file is decoded from its beginning."""
_LONG_S: Final = 6.0
"""Between two key frames, where nothing is known of them."""
_WRONG_S: Final = 0.5
"""A time is wrong if the next one goes back by more. AVI, which has none, gives B-frames times that go back by less."""
_SPARING: Final = ("h264", "hevc")
_AHEAD: Final = 32
"""Packets looked at ahead: more than any codec shows pictures in another order than they are stored in."""
_SPARE: Final = 2
_LINGERS_S: Final = 0.25
"""A picture on the screen for longer may be all there is to see of a clip."""


class VideoError(ValueError):
    """A video that cannot be used: `fault` is its kind, `reason` says it in one line without the path."""

    def __init__(self, fault: Fault, reason: str, path: Path | None = None) -> None:
        super().__init__(reason if path is None else f"{path}: {reason}")
        self.fault, self.reason = fault, reason


class Decoder:
    """A stream of a video, opened, its first frame decoded. first_s: when that is; None if there is no frame.

    Raises:
        VideoError: no picture, no sound, or a codec that is not known.
    """

    def __init__(self, path: Path, kind: Literal["video", "audio"]) -> None:
        self.path, self.kind = path, kind
        self._wanted: _Wanted = lambda _: None
        self._container: Any = None
        self._first: Any = None
        self._rest: Iterator[Any] = iter(())
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        self.first_s: float | None = None if self._first is None else float(self._first.time or 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def frames(self, zero_s: float, slot_of: Callable[[float], float] | None = None) -> Iterator[tuple[float, Any]]:
        """(time, frame) from at latest `zero_s` on, or from the first; the time counts from `zero_s`, in seconds.

        slot_of: the last wanted time before a time. With it, frames that come later than others after a wanted time,
        and are soon followed by others, may be left out. Without it, there are all, but for those whose time is wrong:
        the next one goes back behind it.
        """
        if self.first_s is None:
            return
        if slot_of is not None:
            self._wanted = lambda time_s: slot_of(time_s - zero_s) + zero_s
        target_s = zero_s - (_PREROLL_S if self.kind == "audio" else 0.0)
        if zero_s - _PREROLL_S > self.first_s and not self._jump(target_s):
            self._close()  # the file has no usable index: decode it from its beginning
            self._open()
        held: tuple[float, Any] | None = None
        for frame in chain([self._first], self._rest):
            time_s = float(frame.time or 0.0) - zero_s
            if held is not None and held[0] - time_s < _WRONG_S:
                yield held
            held = (time_s, frame)
        if held is not None:
            yield held

    def _close(self) -> None:
        self._rest, self._first = iter(()), None  # which hold this object, and what is decoded
        if self._container is not None:
            self._container.close()

    def _open(self) -> None:
        self._container = av.open(str(self.path))
        self._stream = _stream(self._container, self.kind, self.path)
        self._rest = self._decoded()
        self._first = next(self._rest, None)

    def _jump(self, time_s: float) -> bool:
        """To a key frame before `time_s`, if that can be done; the last one, where the file has an index."""
        asked_s = time_s
        for _ in range(_JUMPS):
            try:
                self._container.seek(int(asked_s / self._stream.time_base), stream=self._stream)
                self._rest = self._decoded()
                self._first = next(self._rest, None)
            except av.FFmpegError:
                self._first = None  # there is no key frame after it
            came_s = None if self._first is None else self._first.time
            late_s = _LONG_S if came_s is None else float(came_s) - time_s
            if late_s <= TOLERANCE_S:
                return True
            asked_s -= 2 * late_s  # FFmpeg goes to the next key frame of an MPEG transport stream
        return False

    def _decoded(self) -> Iterator[Any]:
        return _frames(self._container, self._stream, lambda time_s: self._wanted(time_s))


def _stream(container: Any, kind: Literal["video", "audio"], path: Path) -> Any:
    if not container.streams.video:
        raise VideoError("no picture", "no video stream", path)
    if not container.streams.audio:
        raise VideoError("no sound", "no sound", path)
    stream = container.streams.best(kind)
    if stream is None or stream.codec_context is None:
        raise VideoError("broken", f"its {kind} is of a kind that cannot be decoded", path)
    stream.codec_context.thread_count = 1  # several videos side by side use the cores better
    return stream


def _frames(container: Any, stream: Any, spare_after: _Wanted) -> Iterator[Any]:
    """The frames from here on; of those that nothing refers to, the first few after each wanted time."""
    sparing, ahead = stream.codec_context.name in _SPARING, deque[Any]()
    behind, known = deque[float](), list[float]()

    def decoded() -> list[Any]:
        packet = ahead.popleft()
        if sparing and packet.pts is not None:
            time_s = float(packet.pts * packet.time_base)
            wanted = _is_wanted(time_s, known, spare_after(time_s))
            stream.codec_context.skip_frame = "DEFAULT" if wanted else "NONREF"
            behind.append(time_s)
            if len(behind) > _AHEAD:
                del known[bisect_left(known, behind.popleft())]
        return list(packet.decode())

    for packet in container.demux(stream):
        ahead.append(packet)
        if sparing and packet.pts is not None:
            insort(known, float(packet.pts * packet.time_base))
        if not sparing or len(ahead) > _AHEAD:
            yield from decoded()
    while ahead:
        yield from decoded()


def _is_wanted(time_s: float, known: list[float], wanted_s: float | None) -> bool:
    """Whether few pictures lie between the last wanted time and this one, or none comes soon after it."""
    if wanted_s is None:
        return True
    here = bisect_left(known, time_s)
    lingers = here + 1 >= len(known) or known[here + 1] - time_s > _LINGERS_S
    return lingers or here - bisect_left(known, wanted_s - TOLERANCE_S) <= _SPARE
