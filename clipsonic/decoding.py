"""Decode one stream of a video from a time on, and no more of it than is asked for.

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
from typing import Any, Final, Literal

import av

_Wanted = Callable[[float], float | None]
"""From a time to the last wanted time before it, -inf if there is none; None while that is not known."""
Fault = Literal["missing", "broken", "no picture", "no sound", "too short", "silent"]

TOLERANCE_S: Final = 1e-6
_PREROLL_S: Final = 1.0
"""Sound is decoded from this much before the start: a codec's first blocks after a jump lack what went before."""
_SPARING: Final = ("h264", "hevc")
_AHEAD: Final = 32
"""Packets looked at ahead: more than any codec shows pictures in another order than they are stored in."""
_SPARE: Final = 2


class VideoError(ValueError):
    """A video that cannot be used: `fault` is its kind, `reason` says it in one line without the path."""

    def __init__(self, fault: Fault, reason: str, path: Path | None = None) -> None:
        super().__init__(reason if path is None else f"{path}: {reason}")
        self.fault, self.reason = fault, reason


def decode(
    path: Path, kind: Literal["video", "audio"], start_s: float, slot_of: Callable[[float], float] | None = None
) -> Iterator[tuple[float, Any]]:
    """(time, frame) of a stream, from at latest `start_s` on; the time counts from `start_s`, in seconds.

    slot_of: the last wanted time before a time. With it, frames that come later than others after a wanted time may be
    left out. Without it, there are all.

    Raises:
        VideoError: no picture, no sound, or a codec that is not known.
    """
    target_s = start_s - (_PREROLL_S if kind == "audio" else 0.0)
    for jump in (True, False) if target_s > 0 else (False,):
        zero_s: float | None = None  # known with the first frame
        with av.open(str(path)) as container:
            stream = _stream(container, kind, path)

            def spare_after(time_s: float) -> float | None:
                return None if slot_of is None or zero_s is None else slot_of(time_s - zero_s) + zero_s  # noqa: B023

            frames = _frames(container, stream, spare_after)
            frame = next(frames, None)
            if frame is None:
                return
            origin_s = frame.time or 0.0
            if jump:
                frames = _frames(container, stream, spare_after)
                frame = _jump(container, stream, origin_s + target_s, frames)
                if frame is None or frame.time is None or frame.time - origin_s > target_s + TOLERANCE_S:
                    continue  # the file has no usable index: decode it from its beginning
            zero_s = origin_s + start_s
            for each in chain([frame], frames):
                yield (each.time or 0.0) - zero_s, each
            return


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


def _jump(container: Any, stream: Any, time_s: float, frames: Iterator[Any]) -> Any:
    """The first frame after a jump to the last key frame before `time_s`, or None if that cannot be done."""
    try:
        container.seek(int(time_s / stream.time_base), stream=stream)
        return next(frames, None)
    except av.FFmpegError:
        return None


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
    """Whether few enough pictures lie between the last wanted time and this one."""
    if wanted_s is None:
        return True
    return bisect_left(known, time_s) - bisect_left(known, wanted_s - TOLERANCE_S) <= _SPARE
