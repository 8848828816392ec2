"""Sound files to samples, and whether they can be played to people at all.

samples   (frames, channels) float64, full scale at 1
refused   unreadable, cut short, empty, NaN or infinity, silent (peak below one step of 16 bits), shorter than 0.5 s
          (a loop cannot be), more than two channels, quieter than BS.1770's gate of -70 LUFS (said in `render`)

WAV, FLAC, OGG, MP3 and AIFF are read by libsndfile; MP4, M4A, MOV, MKV, WebM, AAC and Opus by FFmpeg (PyAV).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from clipsonic_listening_test.errors import ListeningTestError

_LIBSNDFILE: Final = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aiff", ".aif"})
_FFMPEG: Final = frozenset({".mp4", ".m4a", ".mov", ".mkv", ".webm", ".aac", ".opus"})
SUFFIXES: Final = _LIBSNDFILE | _FFMPEG
SHORTEST_S: Final = 0.5
SILENCE_PEAK: Final = 2.0**-15
MOST_CHANNELS: Final = 2

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Facts:
    """What one decoding of a file tells. high_share: energy above 3.5 kHz over all energy, of a sound without fault."""

    sha256: str
    rate_hz: int
    channels: int
    frames: int
    high_share: float
    fault: str | None


def read_sound(path: Path) -> tuple[Samples, int]:
    """Samples (frames, channels) and rate.

    Raises:
        ListeningTestError: unreadable, cut short, or without a sound stream.
    """
    samples, rate_hz = _with_libsndfile(path) if path.suffix.lower() in _LIBSNDFILE else _with_ffmpeg(path)
    return samples, rate_hz


def facts_of(path: Path) -> Facts:
    """Decode a file once and say what it is; a file that cannot be used has a fault and raises nothing."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        samples, rate_hz = read_sound(path)
    except ListeningTestError as error:
        return Facts(digest, 0, 0, 0, 0.0, str(error))
    frames, channels = samples.shape
    fault = _fault(samples, rate_hz)
    share = 0.0 if fault else _high_share(samples, rate_hz)
    return Facts(digest, rate_hz, channels, frames, share, fault)


def at_rate(samples: Samples, rate_hz: int, wanted_hz: int, channels: int) -> Samples:
    """The samples at another rate (soxr VHQ) and channel count: one channel is copied to both, two are averaged."""
    if samples.shape[1] < channels:
        samples = np.repeat(samples, channels, axis=1)
    elif samples.shape[1] > channels:
        samples = samples.mean(axis=1, keepdims=True)
    if rate_hz == wanted_hz:
        return samples
    return np.asarray(soxr.resample(samples, rate_hz, wanted_hz, quality="VHQ"), dtype=np.float64)


def peaks_of(samples: Samples, count: int) -> tuple[float, ...]:
    """Largest magnitude in each of `count` stretches of equal length, of all channels, two decimals, at most 1."""
    edges = np.linspace(0, len(samples), count + 1).astype(int)
    loudest = np.maximum.reduceat(np.abs(samples).max(axis=1), edges[:-1])
    return tuple(float(peak) for peak in np.round(np.minimum(loudest, 1.0), 2))


def _fault(samples: Samples, rate_hz: int) -> str | None:
    frames, channels = samples.shape
    if frames == 0:
        return "is empty"
    bad = int(np.count_nonzero(~np.isfinite(samples)))
    if bad:
        return f"holds {bad} samples that are NaN or infinite"
    if channels > MOST_CHANNELS:
        return f"has {channels} channels; expected 1 or 2"
    peak = float(np.max(np.abs(samples)))
    if peak < SILENCE_PEAK:
        return f"is silent (peak {peak:.1e})"
    if frames < SHORTEST_S * rate_hz:
        return f"is {frames / rate_hz:.3f} s long; expected {SHORTEST_S} s or more"
    return None


def _high_share(samples: Samples, rate_hz: int) -> float:
    power = np.sum(np.abs(np.fft.rfft(samples, axis=0)) ** 2, axis=1)
    above = np.fft.rfftfreq(len(samples), 1 / rate_hz) > 3500
    return float(power[above].sum() / power.sum())


def _with_libsndfile(path: Path) -> tuple[Samples, int]:
    try:
        with soundfile.SoundFile(path) as file:
            promised = file.frames
            samples = file.read(dtype="float64", always_2d=True)
            rate_hz = int(file.samplerate)
    except soundfile.LibsndfileError as error:
        raise ListeningTestError(f"is unreadable ({error.error_string.rstrip('.')})") from error
    if len(samples) < promised or _riff_cut_short(path):
        raise ListeningTestError("is cut short: it holds less than its header says")
    return samples, rate_hz


def _riff_cut_short(path: Path) -> bool:
    """Whether a WAV file ends before its header says: libsndfile reads such a file without a word."""
    with path.open("rb") as file:
        head = file.read(8)
    if len(head) < 8 or head[:4] != b"RIFF":
        return False
    size = int(struct.unpack("<I", head[4:])[0])
    return 0 < size < 0xFFFF_FFFF - 8 and size + 8 > path.stat().st_size + 1  # + 1: an unwritten pad byte is common


def _with_ffmpeg(path: Path) -> tuple[Samples, int]:
    blocks: list[Samples] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ListeningTestError("holds no sound")
            stream = container.streams.audio[0]
            rate_hz, channels = int(stream.rate), int(stream.channels)
            converter = av.AudioResampler(format="dblp")  # the sample format only: rate and channels stay
            for frame in container.decode(stream):
                blocks += [np.asarray(block.to_ndarray().T, np.float64) for block in converter.resample(frame)]
    except (av.FFmpegError, ValueError) as error:  # ValueError: frames of changing layout
        raise ListeningTestError(f"is unreadable ({getattr(error, 'strerror', None) or error})") from error
    return np.concatenate(blocks) if blocks else np.zeros((0, channels)), rate_hz
