"""From a video to the clips that a model learns from: sounds of one length, and the pictures of the same seconds.

`first` takes one clip, from where the item begins. `all` goes on, clip after clip without overlap, to the end of the
item; what is left at the end is a clip if it lacks less than a tenth, padded with silence, and else is not used. The
first clip has the item's id whatever is cut, clip k (from 1) has `ID+000k`: an id depends on its video alone. Nothing
of a clip is from after the item's end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch

from clipsonic.lists import Item
from clipsonic.mel import LogMel, MelConfig
from clipsonic.soundtrack import Samples
from clipsonic.video import Picture, Video, VideoError, read_clips

SILENCE: Final = 1e-4
"""A clip whose peak is below this (-80 dBFS) has no sound to learn from."""
_ENOUGH: Final = 0.9


@dataclass(frozen=True)
class Preparation:
    """What decides the prepared data, beside the videos. device: where CLIP runs, as torch names it."""

    mel: MelConfig
    clip: str = "micro"
    frames_per_second: float = 1.0
    cut: Literal["first", "all"] = "first"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 < self.frames_per_second < math.inf:
            raise ValueError(f"{self.frames_per_second} frames per second: give a positive number")
        if self.cut not in ("first", "all"):
            raise ValueError(f"cut {self.cut!r}: choose first or all")

    @property
    def seconds(self) -> float:
        """Length of a clip."""
        return self.mel.samples / self.mel.rate_hz


@dataclass(frozen=True)
class Clip:
    """A clip before CLIP has seen its pictures. log_mel: flat, float32; padded: with silence at its end."""

    id: str
    item: Item
    start_s: float
    log_mel: np.ndarray[Any, np.dtype[np.float32]]
    pictures: Picture
    padded: bool


@dataclass(frozen=True)
class Skipped:
    """An item, or a clip of one, that cannot be used: `kind` in a word, `reason` in a line."""

    id: str
    file: str
    kind: str
    reason: str


def cut_item(folder: Path, item: Item, how: Preparation, log_mel: LogMel) -> Iterator[Clip | Skipped]:
    """The clips of an item, and what of it cannot be used."""
    if item.fault is not None:
        yield Skipped(item.id, item.video, item.kind, item.fault)
        return
    length_s = math.inf if item.end_s is None else item.end_s - (item.start_s or 0.0)
    if length_s * how.mel.rate_hz < _ENOUGH * how.mel.samples:
        reason = f"too short: {length_s:.2f} s are listed, {how.seconds:.2f} s needed"
        yield Skipped(item.id, item.video, "too short", reason)
        return
    found = read_clips(
        folder / item.video,
        how.mel.rate_hz,
        how.frames_per_second,
        how.seconds,
        item.start_s,
        _most(length_s, how),
        length_s,
    )
    index = 0
    while True:
        id = item.id if index == 0 else f"{item.id}+{index:04d}"
        try:
            video = next(found, None)
            if video is not None and math.isfinite(length_s):
                inside = round((length_s - index * how.seconds) * how.mel.rate_hz)
                video = replace(video, samples=video.samples[:inside])
            if video is None or (index and len(video.samples) < _ENOUGH * how.mel.samples):
                return
            samples, lacking = clip_of(video, how.mel)
        except VideoError as error:
            hint = "; give --trimmed if the files hold only the seconds listed"
            late = error.fault == "too short" and not index and bool(item.start_s)
            yield Skipped(id, item.video, error.fault, error.reason + hint * late)
            if error.fault != "silent" and error.fault != "no picture":
                return
        else:
            flat = log_mel(torch.from_numpy(samples)[None])[0].numpy().ravel()
            yield Clip(id, item, video.start_s, flat, video.frames, lacking > 0)
        index += 1


def _most(length_s: float, how: Preparation) -> int | None:
    """How many clips an item of this length can have; None where only its file's end decides."""
    if how.cut == "first":
        return 1
    if math.isinf(length_s):
        return None
    wanted = (length_s * how.mel.rate_hz + 0.5) / how.mel.samples  # half a sample more: 0.9 is no float
    return max(1, math.floor(wanted + 1 - _ENOUGH))


def clip_of(video: Video, mel: MelConfig) -> tuple[Samples, int]:
    """The sound of a video at the length the model wants, and by how many samples it was padded.

    Cut, or padded with silence by at most a tenth.

    Raises:
        VideoError: without a picture, too short, silent, or not a sound.
    """
    samples = video.samples[: mel.samples]
    if not len(video.frames):
        raise VideoError("no picture", "no frame is shown in it")
    if len(samples) < _ENOUGH * mel.samples:
        length_s, wanted_s = len(samples) / mel.rate_hz, mel.samples / mel.rate_hz
        raise VideoError("too short", f"too short: {length_s:.2f} s, {wanted_s:.2f} s needed")
    if not np.isfinite(samples).all():
        raise VideoError("broken", "its sound holds values that are no numbers")
    if np.abs(samples).max() < SILENCE:
        raise VideoError("silent", "silent")
    lacking = mel.samples - len(samples)
    return np.pad(samples, (0, lacking)), lacking
