"""Reading sounds, finding them, and what makes one unusable."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
import soundfile

from clipsonic_metrics import MetricsError, Sound, read_sound
from clipsonic_metrics.resampling import Resampler
from clipsonic_metrics.sound import discover, find_sounds

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
    half = Sound.of("y", sound.resampled(8000), 8000)
    assert len(half.samples) == len(sound.samples) // 2 and peak_hz(half) == pytest.approx(440, abs=3)
    assert sound.resampled(RATE_HZ) is sound.samples


def test_channels_are_kept_and_made_one_by_the_rule_that_is_asked_for(tmp_path: Path) -> None:
    left, right = sine(), sine(pitch_hz=900)
    soundfile.write(tmp_path / "x.wav", np.stack([left, right], axis=1), RATE_HZ, subtype="FLOAT")
    sound = read_sound(tmp_path / "x.wav")
    np.testing.assert_array_equal(sound.channels, [left, right])
    np.testing.assert_array_equal(sound.mono("first"), left)
    np.testing.assert_array_equal(sound.mono("mean"), sound.samples)
    np.testing.assert_allclose(sound.samples, (left + right) / 2, atol=1e-7)
    first = sound.resampled(8000, mono="first")
    np.testing.assert_array_equal(first, Sound.of("y", left, RATE_HZ).resampled(8000))
    assert np.abs(first - sound.resampled(8000)).max() > 0.1
    assert sound.resampled(8000) is sound.resampled(8000), "one conversion for all embedders of a rate"


@pytest.mark.parametrize("samples", [np.zeros((4, 2, 2), np.float32), np.zeros(4, np.float32), np.zeros((1, 4))])
def test_a_sound_is_float32_channels_by_time(samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected float32 \(channels, time\)"):
        Sound("x", samples, RATE_HZ)


@pytest.mark.parametrize("resampler", get_args(Resampler))
def test_resamplers_keep_a_tone_and_drop_what_the_new_rate_cannot_hold(resampler: Resampler) -> None:
    if resampler.startswith("resampy"):
        pytest.importorskip("resampy", reason="resampy comes with the extra peers")
    low, high = sine(1.0, 44_100, 500.0), sine(1.0, 44_100, 11_000.0)
    made = Sound.of("x", low + high, 44_100).resampled(RATE_HZ, resampler)
    assert made.dtype == np.float32 and len(made) == RATE_HZ
    middle = slice(2000, 14_000)
    expected = 0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE_HZ) / RATE_HZ)
    error = np.sqrt(np.mean((made[middle] - expected[middle]) ** 2))
    assert error < (5e-3 if resampler.endswith("hann6") else 2e-4)


def test_digest_is_of_the_samples_and_not_of_the_file(tmp_path: Path) -> None:
    samples = np.round(sine() * 2**15) / 2**15
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, samples, RATE_HZ, subtype="PCM_16")
    first, second = (read_sound(tmp_path / name) for name in ("a.wav", "b.flac"))
    assert first.digest() == second.digest()
    changed = first.samples.copy()
    changed[7] += 1e-6
    assert Sound.of("a", changed, RATE_HZ).digest() != first.digest()
    assert Sound.of("a", first.samples, 8000).digest() != first.digest()
    # Two channels whose mean is the first: an embedder of the left one hears something else.
    quiet = np.stack([2 * first.samples, 0 * first.samples])
    assert Sound.of("a", quiet, RATE_HZ).digest() != first.digest()
    assert Sound.of("a", quiet[::-1], RATE_HZ).digest() != Sound.of("a", quiet, RATE_HZ).digest()


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
    told = Sound.of("x", samples, RATE_HZ).fault()
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


def test_a_file_that_breaks_off_is_unreadable(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 40_000)
    soundfile.write(tmp_path / "x.flac", noise, RATE_HZ)
    whole = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MetricsError, match=r"x\.flac is unreadable"):
        read_sound(tmp_path / "x.flac")
    soundfile.write(tmp_path / "x.wav", noise, RATE_HZ)
    whole = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MetricsError, match=r"x\.wav is unreadable: it breaks off after"):
        read_sound(tmp_path / "x.wav")


def test_a_manifest_names_files_by_id(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "m.csv").write_text("id,file\nb,sub/one.wav\na,two.wav\n")
    assert find_sounds(tmp_path / "m.csv") == {"a": tmp_path / "two.wav", "b": tmp_path / "sub" / "one.wav"}
    assert list(find_sounds(tmp_path / "m.csv")) == ["a", "b"]
    (tmp_path / "m.csv").write_text("id,path\na,two.wav\n")
    with pytest.raises(MetricsError, match="file is missing"):
        find_sounds(tmp_path / "m.csv")


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


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"real media are not at {MEDIA}")
def test_real_videos_and_recordings_are_read() -> None:
    videos, sounds = discover(MEDIA / "videos"), discover(MEDIA / "sounds")
    assert len(videos) == 6 and len(sounds) == 12
    for id, path in {**videos, **sounds}.items():
        sound = read_sound(path, id)
        assert sound.fault() is None and 4 < sound.duration_s < 11, path
