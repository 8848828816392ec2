"""Files are decoded whole, by what can read them, and what nobody should be played is refused with its reason."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from clipsonic_listening_test.prepare.decode import at_rate, facts_of, peaks_of, read_sound

RATE = 48_000


def tone(seconds: float = 1.0, hz: float = 440.0, channels: int = 2, rate_hz: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.repeat(0.4 * np.sin(2 * np.pi * hz * time)[:, None], channels, axis=1)


def write_container(path: Path, codec: str, samples: np.ndarray) -> Path:
    """A file that FFmpeg codes."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T.astype(np.float32)), "fltp", "stereo")
        frame.sample_rate, frame.pts = RATE, 0
        wanted = stream.codec_context.format.name
        for each in av.AudioResampler(format=wanted, frame_size=stream.codec_context.frame_size or 960).resample(frame):
            container.mux(stream.encode(each))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
def test_lossless_files_are_read_to_the_bit(tmp_path: Path, suffix: str) -> None:
    samples = np.round(tone() * 32768) / 32768
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    read, rate_hz = read_sound(path)
    assert rate_hz == RATE and read.dtype == np.float64 and np.array_equal(read, samples)
    facts = facts_of(path)
    assert facts.fault is None and (facts.frames, facts.channels, facts.rate_hz) == (RATE, 2, RATE)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("m4a", "aac"), ("mp4", "aac"), ("webm", "libopus"), ("opus", "libopus")]
)
def test_containers_are_read_by_ffmpeg(tmp_path: Path, suffix: str, codec: str) -> None:
    samples, rate_hz = read_sound(write_container(tmp_path / f"x.{suffix}", codec, tone()))
    assert rate_hz == RATE and samples.shape[1] == 2
    assert abs(len(samples) - RATE) < 2048  # a coder's frame
    spectrum = np.abs(np.fft.rfft(samples[4000:44000, 0] * np.hanning(40000)))
    assert abs(np.argmax(spectrum) * RATE / 40000 - 440) < 2
    assert facts_of(tmp_path / f"x.{suffix}").fault is None


def test_real_sounds_are_read(media: Path) -> None:
    for path in sorted((media / "sounds").glob("*.wav"))[:3]:
        facts = facts_of(path)
        assert facts.fault is None and facts.rate_hz == 44100 and 0 <= facts.high_share < 1


def test_the_sound_of_a_video_is_read(media: Path) -> None:
    facts = facts_of(sorted((media / "videos").glob("*.mp4"))[0])
    assert facts.fault is None and facts.frames > facts.rate_hz


def faulty(folder: Path) -> dict[str, Path]:
    good = folder / "good.wav"
    soundfile.write(good, tone(), RATE, subtype="PCM_16")
    whole = good.read_bytes()
    flac = folder / "good.flac"
    soundfile.write(flac, tone() + 0.01 * np.random.default_rng(0).standard_normal((RATE, 2)), RATE)
    files = {
        "garbage": b"RIFFnonsense that is no sound at all",
        "nothing": b"",
        "cut": whole[: len(whole) // 2],
    }
    paths = {}
    for name, data in files.items():
        paths[name] = folder / f"{name}.wav"
        paths[name].write_bytes(data)
    paths["cut flac"] = folder / "cut.flac"
    paths["cut flac"].write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    nan = tone()
    nan[5, 0] = math.nan
    for name, samples, subtype in (
        ("nan", nan, "FLOAT"),
        ("infinite", np.where(np.arange(RATE)[:, None] == 7, np.inf, tone()), "FLOAT"),
        ("silent", tone() * 0, "PCM_16"),
        ("quieter than a step", tone() * 2e-5, "FLOAT"),
        ("empty", tone(0), "PCM_16"),
        ("short", tone(0.4), "PCM_16"),
        ("surround", tone(channels=6), "PCM_16"),
    ):
        paths[name] = folder / f"{name}.wav"
        soundfile.write(paths[name], samples, RATE, subtype=subtype)
    paths["no video"] = folder / "garbage.mp4"
    paths["no video"].write_bytes(b"\0" * 500)
    return paths


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("garbage", "is unreadable"),
        ("nothing", "is unreadable"),
        ("cut", "is cut short"),
        ("cut flac", "is "),
        ("nan", "holds 1 samples that are NaN or infinite"),
        ("infinite", "holds 2 samples that are NaN or infinite"),
        ("silent", "is silent"),
        ("quieter than a step", "is silent"),
        ("empty", "is empty"),
        ("short", "is 0.400 s long; expected 0.5 s or more"),
        ("surround", "has 6 channels; expected 1 or 2"),
        ("no video", "is unreadable"),
    ],
)
def test_what_cannot_be_played_has_a_fault(tmp_path: Path, name: str, said: str) -> None:
    fault = facts_of(faulty(tmp_path)[name]).fault
    assert fault is not None and fault.startswith(said)


def test_a_cut_wav_is_not_noticed_by_libsndfile_alone(tmp_path: Path) -> None:
    """Why the size in the header is compared with the file's: the library reads half a sound without a word."""
    samples, _ = soundfile.read(faulty(tmp_path)["cut"])
    assert 0 < len(samples) < RATE


def test_rate_and_channels(tmp_path: Path) -> None:
    mono = tone(channels=1)
    assert np.array_equal(at_rate(mono, RATE, RATE, 2), np.repeat(mono, 2, axis=1))
    assert at_rate(tone(), RATE, RATE, 1).shape == (RATE, 1)
    down = at_rate(tone(), RATE, 16_000, 2)
    time = np.arange(16_000) / 16_000
    assert down.shape == (16_000, 2)
    assert np.max(np.abs(down[500:-500, 0] - 0.4 * np.sin(2 * np.pi * 440 * time)[500:-500])) < 1e-4


def test_high_share_is_the_energy_above_3500_hz(tmp_path: Path) -> None:
    low, high = tone(hz=1000), tone(hz=6000)
    for samples, share in ((low, 0.0), (high, 1.0), (low + high, 0.5)):
        soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
        assert facts_of(tmp_path / "x.wav").high_share == pytest.approx(share, abs=1e-3)


def test_peaks_are_the_largest_magnitudes() -> None:
    samples = np.zeros((1000, 2))
    samples[0, 0], samples[999, 1], samples[150, 1] = 0.25, -0.5, 1.5
    peaks = peaks_of(samples, 10)
    assert peaks == (0.25, 1.0, 0, 0, 0, 0, 0, 0, 0, 0.5)
