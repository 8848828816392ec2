"""Sounds: samples with a rate and an id, read from sound and video files, found in folders, checked before scoring.

Conventions
    samples   (time,) float32, full scale at 1; channels are averaged ("mono-mean"). Not clipped, not normalised.
    id        the file's path below its folder, without suffix, with "/" between parts. Sounds, captions and images are
              paired by it, never by listing order.
    unusable  unreadable, empty, holding NaN or infinity, silent (peak below one step of 16 bits, 2^-15), or shorter
              than 0.1 s. Such a file is reported with its reason; whether it stops the command is the caller's choice.

WAV, FLAC, OGG, MP3 and AIFF are read by libsndfile; the sound of MP4, M4A, MOV, MKV, WebM and AAC by FFmpeg (PyAV).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from clipsonic_metrics.errors import MetricsError

SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif"})
CONTAINER_SUFFIXES = frozenset({".mp4", ".m4a", ".mov", ".mkv", ".webm", ".aac"})
SHORTEST_S = 0.1
SILENCE_PEAK = 2.0**-15

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sound:
    """Mono samples (time,) float32 at `rate_hz`, and the id that pairs them with captions and images."""

    id: str
    samples: Samples
    rate_hz: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz

    def digest(self) -> str:
        """SHA-256 of rate and samples, in hex: the same sound in another container has the same digest."""
        header = f"mono float32 {self.rate_hz} Hz {len(self.samples)} samples\n".encode()
        return hashlib.sha256(header + np.ascontiguousarray(self.samples, dtype="<f4").tobytes()).hexdigest()

    def fault(self) -> str | None:
        """Why the sound cannot be scored, or None when it can."""
        if len(self.samples) == 0:
            return "empty: it holds no samples"
        bad = int(np.count_nonzero(~np.isfinite(self.samples)))
        if bad:
            return f"{bad} of {len(self.samples)} samples are NaN or infinite"
        peak = float(np.max(np.abs(self.samples)))
        if peak < SILENCE_PEAK:
            return f"silent: peak {peak:.1e}, below {SILENCE_PEAK:.1e}"
        if self.duration_s < SHORTEST_S:
            return f"too short: {self.duration_s:.3f} s, below {SHORTEST_S} s"
        return None

    def resampled(self, rate_hz: int) -> Samples:
        """The samples at another rate, by soxr HQ."""
        if rate_hz == self.rate_hz:
            return self.samples
        return np.asarray(soxr.resample(self.samples, self.rate_hz, rate_hz, quality="HQ"), dtype=np.float32)


def read_sound(path: str | Path, id: str | None = None) -> Sound:
    """Read a sound file, or the sound of a video; the id defaults to the file's stem.

    Raises:
        MetricsError: not there, of a suffix that is not read, unreadable, or without sound. A sound that is read but
            cannot be scored is returned; ask `fault`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise MetricsError(f"{path} is not a file; expected a sound")
    if suffix in SOUND_SUFFIXES:
        samples, rate_hz = _read_with_libsndfile(path)
    elif suffix in CONTAINER_SUFFIXES:
        samples, rate_hz = _read_with_ffmpeg(path)
    else:
        known = " ".join(sorted(SOUND_SUFFIXES | CONTAINER_SUFFIXES))
        raise MetricsError(f"{path} has suffix {suffix!r}, which is not read; expected one of {known}")
    return Sound(path.stem if id is None else id, samples, rate_hz)


def _read_with_libsndfile(path: Path) -> tuple[Samples, int]:
    try:
        channels, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise MetricsError(f"{path} is unreadable: {error.error_string.rstrip('.')}") from error
    return channels.mean(axis=1, dtype=np.float32), int(rate_hz)


def _read_with_ffmpeg(path: Path) -> tuple[Samples, int]:
    blocks: list[Samples] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MetricsError(f"{path} holds no sound stream")
            stream = container.streams.audio[0]
            rate_hz = int(stream.rate)
            converter = av.AudioResampler(format="fltp")  # the sample format only: rate and channels stay
            for frame in container.decode(stream):
                blocks += [block.to_ndarray().mean(axis=0, dtype=np.float32) for block in converter.resample(frame)]
    except av.FFmpegError as error:
        raise MetricsError(f"{path} is unreadable: {error.strerror or error}") from error
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32), rate_hz


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
