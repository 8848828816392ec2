"""Reading sounds, finding them, what makes one unusable, and cutting them into windows."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from clipsonic_metrics import MetricsError, Sound, read_sound
from clipsonic_metrics.sound import discover
from clipsonic_metrics.windows import split_windows

RATE_HZ = 16_000
MEDIA = Path(__file__).parents[2] / ".." / "shared" / "media"


def sine(seconds: float = 0.5, rate_hz: int = RATE_HZ, pitch_hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def write_container(path: Path, channels: np.ndarray, codec: str, rate_hz: int = 48_000) -> None:
    layout = "stereo" if len(channels) == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate_hz, frame_size=stream.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def peak_hz(sound: Sound) -> float:
    spectrum = np.abs(np.fft.rfft(sound.samples))
    return float(np.fft.rfftfreq(len(sound.samples), 1 / sound.rate_hz)[spectrum.argmax()])


@pytest.mark.parametrize(("suffix", "tolerance"), [("wav", 2e-5), ("flac", 2e-5), ("ogg", 0.05), ("mp3", 0.05)])
def test_sound_files_are_read(tmp_path: Path, suffix: str, tolerance: float) -> None:
    samples = sine()
    soundfile.write(tmp_path / f"x.{suffix}", samples, RATE_HZ)
    sound = read_sound(tmp_path / f"x.{suffix}")
    assert (sound.id, sound.rate_hz, sound.samples.dtype) == ("x", RATE_HZ, np.float32)
    middle = slice(1000, 7000)
    assert np.sqrt(np.mean((sound.samples[middle] - samples[middle]) ** 2)) < tolerance


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "aac"), ("m4a", "aac"), ("webm", "libopus"), ("mov", "aac")])
def test_the_sound_of_containers_is_read_as_the_mean_of_channels(tmp_path: Path, suffix: str, codec: str) -> None:
    left, right = sine(1.0, 48_000, 500.0), sine(1.0, 48_000, 3000.0)
    write_container(tmp_path / f"x.{suffix}", np.stack([left, right]), codec)
    sound = read_sound(tmp_path / f"x.{suffix}")
    assert sound.rate_hz == 48_000 and sound.duration_s == pytest.approx(1.0, abs=0.06)
    spectrum = np.abs(np.fft.rfft(sound.samples[:48_000], 48_000)) / 24_000
    assert spectrum[500] == pytest.approx(0.25, abs=0.05) and spectrum[3000] == pytest.approx(0.25, abs=0.05)


def test_channels_are_averaged_and_rates_converted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.stack([sine(), 0 * sine()], axis=1), RATE_HZ)
    sound = read_sound(tmp_path / "x.wav")
    assert np.abs(sound.samples).max() == pytest.approx(0.25, abs=1e-3)
    half = Sound("y", sound.resampled(8000), 8000)
    assert len(half.samples) == len(sound.samples) // 2 and peak_hz(half) == pytest.approx(440, abs=3)
    assert sound.resampled(RATE_HZ) is sound.samples


def test_digest_is_of_the_samples_and_not_of_the_file(tmp_path: Path) -> None:
    samples = np.round(sine() * 2**15) / 2**15
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, samples, RATE_HZ, subtype="PCM_16")
    first, second = (read_sound(tmp_path / name) for name in ("a.wav", "b.flac"))
    assert first.digest() == second.digest()
    changed = first.samples.copy()
    changed[7] += 1e-6
    assert Sound("a", changed, RATE_HZ).digest() != first.digest()
    assert Sound("a", first.samples, 8000).digest() != first.digest()


@pytest.mark.parametrize(
    ("samples", "fault"),
    [
        (np.zeros(0), "empty"),
        (np.array([0.1, np.nan] * 4000), "4000 of 8000 samples are NaN"),
        (np.zeros(8000), "silent"),
        (np.full(8000, 1e-5), "silent"),
        (sine(0.05), "too short: 0.050 s"),
        (sine(0.2), None),
    ],
)
def test_faults_are_told(samples: np.ndarray, fault: str | None) -> None:
    told = Sound("x", samples.astype(np.float32), RATE_HZ).fault()
    assert told is None if fault is None else told is not None and fault in told


def test_unreadable_files_are_refused_with_their_name(tmp_path: Path) -> None:
    for name in ("x.wav", "x.mp4", "x.txt"):
        (tmp_path / name).write_bytes(b"this is not sound" * 20)
    with pytest.raises(MetricsError, match=r"x\.wav is unreadable"):
        read_sound(tmp_path / "x.wav")
    with pytest.raises(MetricsError, match=r"x\.mp4 is unreadable"):
        read_sound(tmp_path / "x.mp4")
    with pytest.raises(MetricsError, match=r"x\.txt has suffix '\.txt', which is not read"):
        read_sound(tmp_path / "x.txt")
    with pytest.raises(MetricsError, match=r"absent\.wav is not a file"):
        read_sound(tmp_path / "absent.wav")


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with pytest.raises(MetricsError, match=r"x\.mp4 holds no sound stream"):
        read_sound(tmp_path / "x.mp4")


def test_discovery_is_recursive_by_id_and_refuses_two_of_one_id(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("c.wav", "b/a.FLAC", "b/note.txt", ".hidden.wav", "a.x.ogg"):
        (tmp_path / name).touch()
    assert list(discover(tmp_path)) == ["a.x", "b/a", "c"]
    (tmp_path / "c.mp3").touch()
    with pytest.raises(MetricsError, match="have one id, 'c'"):
        discover(tmp_path)
    with pytest.raises(MetricsError, match="is not a folder"):
        discover(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MetricsError, match="holds none of"):
        discover(tmp_path / "empty")


@pytest.mark.parametrize(
    ("length", "windows"), [(1, 1), (9, 1), (10, 1), (11, 1), (14, 1), (15, 2), (19, 2), (20, 2), (34, 3), (35, 4)]
)
def test_windows_repeat_a_tail_of_half_or_more_and_leave_out_less(length: int, windows: int) -> None:
    samples = np.arange(1, length + 1, dtype=np.float32)
    cut = split_windows(samples, 10)
    assert cut.shape == (windows, 10) and cut.dtype == np.float32
    whole = length // 10
    np.testing.assert_array_equal(cut[:whole].ravel(), samples[: 10 * whole])
    if windows > whole:
        tail = samples[10 * whole :]
        np.testing.assert_array_equal(cut[-1], np.tile(tail, 10)[:10])
    assert (cut > 0).all()  # nothing is filled with zeros


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"real media are not at {MEDIA}")
def test_real_videos_and_recordings_are_read() -> None:
    videos, sounds = discover(MEDIA / "videos"), discover(MEDIA / "sounds")
    assert len(videos) == 6 and len(sounds) == 12
    for id, path in {**videos, **sounds}.items():
        sound = read_sound(path, id)
        assert sound.fault() is None and 4 < sound.duration_s < 11, path
