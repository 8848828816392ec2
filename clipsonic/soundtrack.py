"""The sound of a video from a moment on: mono, at the rate asked for, in clips of one length.

It is resampled in one go, from a little before the start on, so that a clip holds no trace of where it was cut. Where
there is no sound, before its beginning or where packets are lost, there is silence, and of what is there twice, where
files were joined, the second is left out: what comes later keeps its time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from clipsonic.decoding import VideoError

Samples = NDArray[np.float32]

_OFF_S: Final = 0.1
"""Sound is moved to its time where it is off by more; less is how times are rounded, or a clock that drifts."""
_LONGEST_GAP_S: Final = 3600.0
_CONTEXT_S: Final = 0.05
"""What a resampler hears of the sound before the start: more than the length of its filters."""


def sound_clips(
    frames: Iterator[tuple[float, Any]], rate_hz: int, seconds: float, clips: int | None
) -> Iterator[Samples]:
    """Samples of each clip of `seconds`, at most `clips` of them; what is left at the end is a shorter one.

    frames: PyAV's, each with its time from the start, in seconds; those before 0 are not heard.

    Raises:
        VideoError: if the times jump by more than an hour.
    """
    held, count, clip = list[Samples](), 0, 0
    for block in _resampled(_joined(frames), rate_hz):
        held.append(block)
        count += len(block)
        while math.isfinite(seconds):
            length = round((clip + 1) * seconds * rate_hz) - round(clip * seconds * rate_hz)
            if count < length:
                break
            whole = np.concatenate(held)
            yield whole[:length]
            held, count, clip = [whole[length:]], count - length, clip + 1
            if clip == clips:
                return
    if count:
        yield np.concatenate(held)


def _resampled(blocks: Iterator[tuple[int, int, Samples]], rate_hz: int) -> Iterator[Samples]:
    """The sound from time 0 on, at `rate_hz`: bit for bit as if it were resampled whole, from the context on."""
    resampler, drop, context = None, None, 0
    for begin, found_hz, found in blocks:
        if drop is None:
            step = found_hz // math.gcd(found_hz, rate_hz)  # input samples that are a whole number of output samples
            context = step * math.ceil(_CONTEXT_S * found_hz / step)
        block = found[max(0, -context - begin) :]
        if not len(block):
            continue
        if drop is None:
            drop = round(min(context, -begin) * rate_hz / found_hz)
            resampler = None if found_hz == rate_hz else soxr.ResampleStream(found_hz, rate_hz, 1, quality="HQ")
        block = block if resampler is None else resampler.resample_chunk(block)
        yield block[drop:]
        drop = max(0, drop - len(block))
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)[drop:]


def _joined(frames: Iterator[tuple[float, Any]]) -> Iterator[tuple[int, int, Samples]]:
    """(begin, rate, samples) of blocks that follow one another, in their time; begin in samples."""
    at, rate_hz, late_s, early_s = 0, 0, 0.0, _OFF_S  # what is tolerated; the first block is where its time says
    resampler, layout = None, None
    for time_s, frame in frames:
        if not rate_hz:
            rate_hz = frame.rate
            at = min(0, round(time_s * rate_hz))
        lacking = round(time_s * rate_hz) - at
        if lacking > _LONGEST_GAP_S * rate_hz:
            raise VideoError("broken", f"its sound is not there for {lacking / rate_hz:.0f} s")
        if lacking > late_s * rate_hz:
            for begin in range(at, at + lacking, rate_hz):
                yield begin, rate_hz, np.zeros(min(rate_hz, at + lacking - begin), np.float32)
            at += lacking
        over = max(0, -lacking) if -lacking > early_s * rate_hz else 0
        late_s, early_s = _OFF_S, 0.0 if over else _OFF_S  # until it has caught up
        if (frame.format.name, frame.layout.name, frame.rate) != layout:  # which a stream may change midway
            layout = (frame.format.name, frame.layout.name, frame.rate)
            resampler = av.AudioResampler(format="fltp", rate=rate_hz)  # FFmpeg's own "mono" is 3 dB up
        assert resampler is not None
        for planar in resampler.resample(frame):
            mono = planar.to_ndarray().mean(0)[over:]
            yield at, rate_hz, mono
            at += len(mono)
