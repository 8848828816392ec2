"""Read a video: its frames at a fixed rate and its sound, as arrays. PyAV (FFmpeg) decodes whatever it can.

Times count as a player shows them, from the first picture or the first sound of the file, whichever is earlier: a cut
made without re-encoding keeps the times of the film it is from, and often begins with pictures before its sound. Where
there is no sound, before its beginning or where packets are lost, there is silence. Frames are turned as the file says
that they are to be shown (phones write upright pictures lying).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from clipsonic.decoding import TOLERANCE_S, Decoder
from clipsonic.decoding import VideoError as VideoError
from clipsonic.soundtrack import Samples, sound_clips

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Video:
    """frames: uint8 (count, height, width, 3); samples: float32 (time,), mono, at `rate_hz`; start_s: in the file."""

    frames: Picture
    samples: Samples
    rate_hz: int
    start_s: float = 0.0


def read_video(path: Path, rate_hz: int, frames_per_second: float, max_seconds: float | None = None) -> Video:
    """Decode a video: mean of its channels, resampled (soxr HQ) to `rate_hz`; one frame every 1 / frames_per_second.

    Raises:
        VideoError: missing or undecodable file, no picture, no sound.
    """
    video = next(read_clips(path, rate_hz, frames_per_second, max_seconds or math.inf, clips=1))
    if not len(video.frames):
        raise VideoError("no picture", "no frame could be decoded", path)
    return video


def read_clips(
    path: Path,
    rate_hz: int,
    frames_per_second: float,
    seconds: float,
    start_s: float | None = None,
    clips: int | None = None,
    shown_s: float = math.inf,
) -> Iterator[Video]:
    """Decode a video from `start_s` on, in consecutive clips of `seconds`, in one pass: as `read_video` does each.

    start_s: None is the first moment at which there are both picture and sound. The frames of a clip are the first at
    or after each multiple of 1 / frames_per_second in it, after the one that is on the screen if that stays for so
    long; there may be none. The last clip may be shorter than `seconds`. `clips` is how many at most; None is to the
    end of the sound. There is at least one, or an error. No frame is from `shown_s` after the start, or later.

    Raises:
        VideoError: missing or undecodable file, no video stream, no sound, or none after `start_s`.
    """
    if not path.is_file():
        raise VideoError("missing", "no such file", path)
    with _errors(path), Decoder(path, "video") as picture, Decoder(path, "audio") as sound:
        begins = [each.first_s for each in (picture, sound) if each.first_s is not None]
        zero_s = max(begins, default=0.0) if start_s is None else min(begins, default=0.0) + start_s
        pictures = _pictures(
            picture.frames(zero_s, _slot_of(seconds, frames_per_second)), frames_per_second, seconds, clips, shown_s
        )
        first = next(pictures, [])  # before the sound: what is broken shows here
        none = np.zeros((0, 0, 0, 3), np.uint8)
        count = 0
        sounds = sound_clips(sound.frames(zero_s), rate_hz, seconds, clips)
        for found, samples in zip(chain([first], pictures, _nothing()), sounds, strict=False):
            into_s = count * seconds if count else 0.0
            yield Video(np.stack(found) if found else none, samples, rate_hz, zero_s - min(begins) + into_s)
            count += 1
        if not count and start_s:
            raise VideoError("too short", f"it ends before {start_s:g} s, where the clip is to start", path)
        if not count and sound.first_s is not None:
            raise VideoError("no sound", "its sound ends before its pictures begin", path)
        if not count:
            raise VideoError("no sound", "its sound is empty", path)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except VideoError as error:
        raise VideoError(error.fault, error.reason, path) from None
    except (av.FFmpegError, ValueError, ArithmeticError, LookupError, MemoryError) as error:  # files lie in many ways
        reason = f"cannot be decoded ({getattr(error, 'strerror', None) or type(error).__name__})"
        raise VideoError("broken", reason, path) from error


def _nothing() -> Iterator[list[Picture]]:
    """Clips without frames, for a sound that goes on after the last picture."""
    while True:
        yield []


def _slot_of(seconds: float, per_second: float) -> Callable[[float], float]:
    """The last time before a time at which a frame is wanted: multiples of 1 / per_second in each clip of `seconds`."""

    def slot_of(time_s: float) -> float:
        if time_s < -TOLERANCE_S:
            return -math.inf
        clip_s = math.floor(time_s / seconds + TOLERANCE_S) * seconds if math.isfinite(seconds) else 0.0
        return clip_s + math.floor((time_s - clip_s + TOLERANCE_S) * per_second) / per_second

    return slot_of


def _pictures(
    frames: Iterator[tuple[float, Any]], per_second: float, seconds: float, clips: int | None, shown_s: float
) -> Iterator[list[Picture]]:
    """The pictures of each clip of `seconds`, before `shown_s`: the first at or after each multiple of 1 / per_second
    in it, after the one that is on the screen if that stays for so long."""
    found: list[Picture] = []
    clip, wanted_s, size, to_rgb = 0, 0.0, (0, 0), VideoReformatter()
    last, began_s, gone_s = None, -math.inf, -math.inf  # the frame before, and when it comes and leaves

    def picture_of(frame: Any) -> Picture:
        nonlocal size
        size = size if all(size) else (frame.width, frame.height)  # a stream may change them midway
        return _picture(to_rgb, frame, *size)

    for time_s, frame in frames:
        gone_s = time_s
        if time_s >= shown_s - TOLERANCE_S:
            break
        while time_s >= (clip + 1) * seconds - TOLERANCE_S:
            yield found or ([] if last is None else [picture_of(last)])
            clip, wanted_s, found = clip + 1, 0.0, []
            if clip == clips:
                return
        into_s = time_s - clip * seconds if clip else time_s
        if last is not None and not found and into_s >= 1.0 / per_second - TOLERANCE_S:
            found.append(picture_of(last))  # it was on the screen until now
        if into_s >= wanted_s - TOLERANCE_S:
            found.append(picture_of(frame))
            while wanted_s <= into_s + TOLERANCE_S:
                wanted_s += 1.0 / per_second
            if wanted_s >= seconds - TOLERANCE_S and clip + 1 == clips:
                break
        # The last one has no duration in many files: it stays as long as the one before, and for good if it is alone.
        stays_s = max(float((frame.duration or 0) * (frame.time_base or 0)), time_s - began_s)
        last, began_s, gone_s = frame, time_s, time_s + stays_s
    yield found or (
        [] if last is None or gone_s <= (clip * seconds if clip else 0.0) + TOLERANCE_S else [picture_of(last)]
    )
    while last is not None and (clip := clip + 1) * seconds < gone_s - TOLERANCE_S:
        yield [picture_of(last)]


def _picture(to_rgb: VideoReformatter, frame: Any, width: int, height: int) -> Picture:
    picture = to_rgb.reformat(frame, width=width, height=height, format="rgb24", threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90) % 4)).astype(np.uint8, copy=False)
