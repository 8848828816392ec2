"""Read a video: its frames at a fixed rate and its sound, as arrays. PyAV (FFmpeg) decodes whatever it can.

Times count from the first frame and from the first sample of the file: a cut made without re-encoding keeps the times
of the film it is from. Frames are turned as the file says that they are to be shown (phones write upright pictures
lying).
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
import soxr
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from clipsonic.decoding import TOLERANCE_S, decode
from clipsonic.decoding import VideoError as VideoError

Picture = NDArray[np.uint8]
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Video:
    """frames: uint8 (count, height, width, 3); samples: float32 (time,), mono, at `rate_hz`."""

    frames: Picture
    samples: Samples
    rate_hz: int


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
    start_s: float = 0.0,
    clips: int | None = None,
    shown_s: float = math.inf,
) -> Iterator[Video]:
    """Decode a video from `start_s` on, in consecutive clips of `seconds`, in one pass: as `read_video` does each.

    A clip's sound may be some samples longer, as its last block comes, and the last clip shorter than `seconds`; a clip
    may have no frames. `clips` is how many at most; None is to the end of the sound. There is one at least, or an
    error. No frame is from `shown_s` after `start_s`, or later.

    Raises:
        VideoError: missing or undecodable file, no video stream, no sound, or none after `start_s`.
    """
    if not path.is_file():
        raise VideoError("missing", "no such file", path)
    with _errors(path):
        pictures = _pictures(
            decode(path, "video", start_s, _slot_of(seconds, frames_per_second)),
            frames_per_second,
            seconds,
            clips,
            shown_s,
        )
        first = next(pictures, [])  # before the sound: what is broken shows here
        none = np.zeros((0, 0, 0, 3), np.uint8)
        count = 0
        for found, (samples, found_hz) in zip(
            chain([first], pictures, _nothing()), _sounds(path, start_s, seconds, clips), strict=False
        ):
            resampled = samples if found_hz == rate_hz else soxr.resample(samples, found_hz, rate_hz, quality="HQ")
            yield Video(np.stack(found) if found else none, resampled.astype(np.float32), rate_hz)
            count += 1
        if not count and start_s > 0:
            raise VideoError("too short", f"it ends before {start_s:g} s, where the clip is to start", path)
        if not count:
            raise VideoError("no sound", "its sound is empty", path)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except VideoError:
        raise
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
    in it."""
    found: list[Picture] = []
    clip, wanted_s, size, to_rgb = 0, 0.0, (0, 0), VideoReformatter()
    for time_s, frame in frames:
        if time_s >= shown_s - TOLERANCE_S:
            break
        while math.isfinite(seconds) and time_s >= (clip + 1) * seconds:
            yield found
            clip, wanted_s, found = clip + 1, 0.0, []
            if clip == clips:
                return
        into_s = time_s - clip * seconds if clip else time_s
        if into_s >= wanted_s - TOLERANCE_S:
            size = size if all(size) else (frame.width, frame.height)  # a stream may change them midway
            found.append(_picture(to_rgb, frame, *size))
            while wanted_s <= into_s + TOLERANCE_S:
                wanted_s += 1.0 / per_second
            if wanted_s >= seconds - TOLERANCE_S and clip + 1 == clips:
                break
    yield found


def _picture(to_rgb: VideoReformatter, frame: Any, width: int, height: int) -> Picture:
    picture = to_rgb.reformat(frame, width=width, height=height, format="rgb24", threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90) % 4)).astype(np.uint8, copy=False)


def _sounds(path: Path, start_s: float, seconds: float, clips: int | None) -> Iterator[tuple[Samples, int]]:
    """Samples (mono) and rate of each clip of `seconds`, to the end of the block of sound in which it ends."""
    held, held_from, length, clip, rate_hz = [np.zeros(0, np.float32)], 0, 0, 0, 0
    resampler, layout = None, None
    for time_s, frame in decode(path, "audio", start_s):
        if not rate_hz:
            rate_hz, length = frame.rate, min(0, round(time_s * frame.rate))  # below 0: before the start, after a jump
        if (frame.format.name, frame.layout.name, frame.rate) != layout:  # which a stream may change midway, too
            layout = (frame.format.name, frame.layout.name, frame.rate)
            resampler = av.AudioResampler(format="fltp", rate=rate_hz)  # FFmpeg's own "mono" is 3 dB up
        assert resampler is not None
        for planar in resampler.resample(frame):
            mono = planar.to_ndarray().mean(0)
            held.append(mono[max(0, -length) :])
            length += len(mono)
        while length >= (clip + 1) * seconds * rate_hz:
            whole = np.concatenate(held)
            yield whole[round(clip * seconds * rate_hz) - held_from :], rate_hz
            clip += 1
            if clip == clips:
                return
            begin = round(clip * seconds * rate_hz)
            held, held_from = [whole[begin - held_from :]], begin
    rest = np.concatenate(held)
    if rest.size:
        yield rest, rate_hz
