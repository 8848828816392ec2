"""Sounds: samples with a rate and an id, read from sound and video files, found in folders or named by a manifest.

Conventions
    channels  (channels, time) float32, full scale at 1, as the file holds them: not clipped, not normalised.
    samples   (time,) float32, the mean of the channels. Other rules of making one channel are asked for by name.
    id        the file's path below its folder, without suffix, with "/" between parts; or what a manifest calls it.
              Sounds, captions and images are paired by it, never by listing order.
    unusable  unreadable, shorter than its header says, empty, holding NaN or infinity, silent (peak below one step of
              16 bits, 2^-15), or shorter than 0.1 s. Such a file is reported with its reason; whether it stops the
              command is the caller's choice. audit.py has what else is looked for.

WAV, FLAC, OGG, Opus, MP3 and AIFF are read by libsndfile; the sound of MP4, M4A, MOV, MKV, WebM and AAC by FFmpeg
(PyAV). Both let other threads run meanwhile, as soxr does.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, assert_never

import av
import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.resampling import Resampler, resample
from clipsonic_metrics.tables import read_table

SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif"})
CONTAINER_SUFFIXES = frozenset({".mp4", ".m4a", ".mov", ".mkv", ".webm", ".aac"})
_LISTS = frozenset({".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".toml", ".yaml", ".yml", ".npz"})
_COMPANIONS = _LISTS | {".png", ".jpg", ".jpeg", ".webp"}
SHORTEST_S = 0.1
SILENCE_PEAK = 2.0**-15
_CHUNK = re.compile(r"^\s*(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_SIZE_NOT_KNOWN = 2**31 - 4096  # what programs write into a header when they write into a pipe
_MP3_SHARE = 2 / 3  # an MP3 without an index has its length guessed from its size

Samples = NDArray[np.float32]
MonoRule = Literal["mean", "first"]
"""How channels become one: their mean, or the first of them."""


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples of all channels, (channels, time) float32 at `rate_hz`, and the id that pairs them with captions and
    images. What is derived from them (one channel, other rates) is kept, so that several embedders share it."""

    id: str
    channels: Samples
    rate_hz: int
    _derived: dict[tuple[MonoRule, int, str], Samples] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.channels.ndim != 2 or len(self.channels) == 0 or self.channels.dtype != np.float32:
            found = f"{self.channels.dtype} of shape {self.channels.shape}"
            raise ValueError(f"sound {self.id!r} holds {found}; expected float32 (channels, time), see Sound.of")

    @classmethod
    def of(cls, id: str, samples: ArrayLike, rate_hz: int) -> Sound:
        """A sound of one channel, (time,), or of several, (channels, time)."""
        return cls(id, np.atleast_2d(np.asarray(samples, dtype=np.float32)), rate_hz)

    @property
    def samples(self) -> Samples:
        """(time,) float32: the mean of the channels."""
        return self.mono("mean")

    @property
    def duration_s(self) -> float:
        return self.channels.shape[1] / self.rate_hz

    def mono(self, rule: MonoRule = "mean") -> Samples:
        """(time,) float32: the channels made one by that rule."""
        return self.resampled(self.rate_hz, mono=rule)

    def resampled(self, rate_hz: int, resampler: Resampler = "soxr-hq", mono: MonoRule = "mean") -> Samples:
        """One channel at another rate, (time,) float32: first made one, then converted. Made once, then kept.

        Raises:
            MetricsError: a resampler whose package is not installed.
        """
        key = (mono, rate_hz, "" if rate_hz == self.rate_hz else resampler)
        if key not in self._derived:
            one = self._one(mono) if rate_hz == self.rate_hz else self.resampled(self.rate_hz, mono=mono)
            self._derived[key] = resample(one, self.rate_hz, rate_hz, resampler)
        return self._derived[key]

    def _one(self, rule: MonoRule) -> Samples:
        match rule:
            case "mean":
                alone = len(self.channels) == 1
                return self._first() if alone else np.asarray(self.channels.mean(axis=0, dtype=np.float32))
            case "first":
                return self._first()
            case _:
                assert_never(rule)

    def _first(self) -> Samples:
        return np.asarray(self.channels[0])

    def digest(self) -> str:
        """SHA-256 of rate and samples of all channels, in hex: the same sound in another container has the same."""
        channels, time = self.channels.shape
        header = f"sound float32 {channels} channels {time} samples {self.rate_hz} Hz\n".encode()
        found = hashlib.sha256(header)
        found.update(np.ascontiguousarray(self.channels, dtype="<f4").data)
        return found.hexdigest()

    def fault(self) -> str | None:
        """Why the sound cannot be scored, or None when it can."""
        if self.channels.size == 0:
            return "empty: it holds no samples"
        bad = int(np.count_nonzero(~np.isfinite(self.channels)))
        if bad:
            return f"{bad} of {self.channels.size} samples are NaN or infinite"
        peak = float(np.max(np.abs(self.channels)))
        if peak < SILENCE_PEAK:
            return f"silent: peak {peak:.1e}, below {SILENCE_PEAK:.1e}"
        if self.duration_s < SHORTEST_S:
            return f"too short: {self.duration_s:.3f} s, below {SHORTEST_S} s"
        return None


def read_sound(path: str | Path, id: str | None = None) -> Sound:
    """Read a sound file, or the sound of a video; the id defaults to the file's stem.

    Raises:
        MetricsError: not there, of a suffix that is not read, unreadable, cut off, or without sound. A sound that is
            read but cannot be scored is returned; ask `fault`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise MetricsError(f"{path} is not a file; expected a sound")
    if suffix in SOUND_SUFFIXES:
        channels, rate_hz = _read_with_libsndfile(path)
    elif suffix in CONTAINER_SUFFIXES:
        channels, rate_hz = _read_with_ffmpeg(path)
    else:
        known = " ".join(sorted(SOUND_SUFFIXES | CONTAINER_SUFFIXES))
        raise MetricsError(f"{path} has suffix {suffix!r}, which is not read; expected one of {known}")
    return Sound(path.stem if id is None else id, channels, rate_hz)


def _read_with_libsndfile(path: Path) -> tuple[Samples, int]:
    try:
        with soundfile.SoundFile(path) as file:
            stated, rate_hz, log = file.frames, int(file.samplerate), file.extra_info
            rows = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        fault = error.error_string.rstrip(".") or f"libsndfile error {error.code}"
        raise MetricsError(f"{path} is unreadable: {fault}") from error
    if _breaks_off(log) or len(rows) < (_MP3_SHARE if path.suffix.lower() == ".mp3" else 1) * stated:
        raise MetricsError(f"{path} is unreadable: it breaks off after {len(rows)} samples, its header promises more")
    return np.ascontiguousarray(rows.T), rate_hz


def _breaks_off(log: str) -> bool:
    """Whether libsndfile found less data in a WAV or AIFF than its header states; it shortens the sound silently."""
    return any(int(found) < int(stated) < _SIZE_NOT_KNOWN for stated, found in _CHUNK.findall(log))


def _read_with_ffmpeg(path: Path) -> tuple[Samples, int]:
    blocks: list[Samples] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MetricsError(f"{path} holds no sound stream")
            stream = container.streams.audio[0]
            rate_hz, count = int(stream.rate), int(stream.channels)
            converter = av.AudioResampler(format="fltp")  # the sample format only: rate and channels stay
            for frame in container.decode(stream):
                blocks += [np.asarray(block.to_ndarray(), np.float32) for block in converter.resample(frame)]
    except av.FFmpegError as error:
        raise MetricsError(f"{path} is unreadable: {error.strerror or error}") from error
    if len({len(block) for block in blocks}) > 1:
        raise MetricsError(f"{path} is unreadable: its number of channels changes on the way")
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((max(count, 1), 0), dtype=np.float32), rate_hz


def find_sounds(path: str | Path) -> dict[str, Path]:
    """The sound files that a folder holds, or that a manifest names (CSV with columns id,file; paths from where the
    manifest is), by id, in the order of their ids.

    Raises:
        MetricsError: neither folder nor manifest, or what `discover` and `read_table` raise.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv" or path.is_dir():
        return discover(path)
    table = read_table(path, ["file"])
    return {id: path.parent / table[id]["file"] for id in sorted(table)}


def passed_over(path: str | Path) -> Counter[str]:
    """Suffixes of the files below a folder that are neither read as sounds nor likely to be lists or notes, counted."""
    path = Path(path)
    if not path.is_dir():
        return Counter()
    others = SOUND_SUFFIXES | CONTAINER_SUFFIXES | _COMPANIONS
    found = (each for each in path.rglob("*") if each.is_file() and each.suffix.lower() not in others)
    return Counter(
        each.suffix.lower() or "none"
        for each in found
        if not any(part.startswith(".") for part in each.relative_to(path).parts)
    )


def discover(folder: str | Path, suffixes: frozenset[str] = SOUND_SUFFIXES | CONTAINER_SUFFIXES) -> dict[str, Path]:
    """Files of the given suffixes below a folder, by id, in the order of their ids. Hidden files are passed over.

    Raises:
        MetricsError: no such folder, no such file in it, or two files of one id.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MetricsError(f"{folder} is not a folder; expected one that holds {' '.join(sorted(suffixes))} files")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.suffix.lower() not in suffixes or any(part.startswith(".") for part in below.parts) or path.is_dir():
            continue
        id = below.with_suffix("").as_posix()
        if id in found:
            raise MetricsError(f"{found[id]} and {path} have one id, {id!r}; rename or remove one")
        found[id] = path
    if not found:
        raise MetricsError(f"{folder} holds none of {' '.join(sorted(suffixes))}; expected at least one such file")
    return dict(sorted(found.items()))
