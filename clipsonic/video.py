"""Read a video: its frames at a fixed rate and its sound, as arrays. PyAV (FFmpeg) decodes whatever it can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray


class VideoError(ValueError):
    """A video that cannot be used, and why, in one line."""


@dataclass(frozen=True)
class Video:
    """frames: uint8 (count, height, width, 3); samples: float32 (time,), mono, at `rate_hz`."""

    frames: NDArray[np.uint8]
    samples: NDArray[np.float32]
    rate_hz: int


def read_video(path: Path, rate_hz: int, frames_per_second: float, max_seconds: float | None = None) -> Video:
    """Decode a video: mean of its channels, resampled (soxr HQ) to `rate_hz`; one frame every 1 / frames_per_second.

    Raises:
        VideoError: missing or undecodable file, no picture, no sound.
    """
    if not path.is_file():
        raise VideoError(f"{path}: no such file")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path}: no video stream")
            if not container.streams.audio:
                raise VideoError(f"{path}: no sound")
            frames = list(_frames(container, frames_per_second, max_seconds))
        with av.open(str(path)) as container:
            samples, found_hz = _sound(container, max_seconds)
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be decoded ({error.strerror or type(error).__name__})") from error
    if not frames:
        raise VideoError(f"{path}: no frame could be decoded")
    if not samples.size:
        raise VideoError(f"{path}: its sound is empty")
    resampled = samples if found_hz == rate_hz else soxr.resample(samples, found_hz, rate_hz, quality="HQ")
    return Video(np.stack(frames), resampled.astype(np.float32), rate_hz)


def _frames(
    container: av.container.InputContainer, per_second: float, max_seconds: float | None
) -> Iterator[NDArray[np.uint8]]:
    first, wanted, width, height = None, 0.0, 0, 0
    for frame in container.decode(video=0):
        stamp = frame.time or 0.0
        first = stamp if first is None else first  # a cut without re-encoding keeps the time of the film it is from
        time = stamp - first
        if max_seconds is not None and time >= max_seconds:
            return
        if time >= wanted - 1e-6:
            width, height = width or frame.width, height or frame.height  # a stream may change them midway
            picture = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
            yield picture.astype(np.uint8, copy=False)
            while wanted <= time + 1e-6:
                wanted += 1.0 / per_second


def _sound(container: av.container.InputContainer, max_seconds: float | None) -> tuple[NDArray[np.float32], int]:
    rate_hz = container.streams.audio[0].rate
    resampler = av.AudioResampler(format="fltp", rate=rate_hz)  # FFmpeg's own "mono" of two equal channels is 3 dB up
    parts: list[NDArray[np.float32]] = []
    length = 0
    for frame in container.decode(audio=0):
        for planar in resampler.resample(frame):
            parts.append(planar.to_ndarray().mean(0))
            length += planar.samples
        if max_seconds is not None and length >= max_seconds * rate_hz:
            break
    return (np.concatenate(parts) if parts else np.zeros(0, np.float32)), rate_hz
