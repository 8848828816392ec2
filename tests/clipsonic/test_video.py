"""Videos written here are read back as the pictures and sounds that were put into them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clipsonic.video import VideoError, read_clips, read_video

Maker = Callable[..., None]
COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30))


def loudest_hz(samples: np.ndarray, rate_hz: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples))


def test_frames_come_at_the_rate_asked_for(tmp_path: Path, make_video: Maker, make_tone: Maker) -> None:
    make_video(tmp_path / "v.mp4", make_tone(300, 1.0), COLOURS)
    every = read_video(tmp_path / "v.mp4", 8000, 4.0).frames
    assert every.shape == (4, 32, 32, 3) and every.dtype == np.uint8
    np.testing.assert_allclose(every.mean((1, 2)), COLOURS, atol=12)
    np.testing.assert_array_equal(read_video(tmp_path / "v.mp4", 8000, 2.0).frames, every[::2])
    np.testing.assert_array_equal(read_video(tmp_path / "v.mp4", 8000, 4.0, max_seconds=0.5).frames, every[:2])


def test_sound_is_mono_at_the_rate_asked_for(tmp_path: Path, make_video: Maker, make_tone: Maker) -> None:
    left, right = make_tone(600, 0.5, 16000), make_tone(600, 0.5, 16000, level=-0.1)
    make_video(tmp_path / "v.mp4", np.stack([left, right]), rate_hz=16000)
    video = read_video(tmp_path / "v.mp4", 8000, 1.0)
    assert video.rate_hz == 8000 and video.samples.dtype == np.float32 and video.samples.ndim == 1
    assert abs(len(video.samples) - 4000) <= 1024  # AAC ends on a whole block
    assert loudest_hz(video.samples, 8000) == pytest.approx(600, abs=5)
    middle = video.samples[1000:3000]
    level = np.sqrt(2 * (middle**2).mean())
    assert level == pytest.approx((0.5 - 0.1) / 2, rel=0.1)  # the mean of both channels
    assert level != pytest.approx((0.5 - 0.1) / np.sqrt(2), rel=0.1)  # FFmpeg's mono, as it was: louder than either


def test_sound_starts_where_it_was_put(tmp_path: Path, make_video: Maker) -> None:
    """Decoders that keep the encoder's priming samples are late by a block."""
    click = np.random.default_rng(0).normal(0, 0.2, 4000).astype(np.float32)
    make_video(tmp_path / "v.mp4", click)
    found = read_video(tmp_path / "v.mp4", 8000, 1.0).samples[:4000]
    lags = np.correlate(found, click, "full").argmax() - (len(click) - 1)
    assert lags == 0


def test_vp9_and_opus_are_read_as_h264_and_aac_are(tmp_path: Path, make_video: Maker, make_tone: Maker) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 48000)
    smooth = np.convolve(noise, np.hanning(24) / 12, "same").astype(np.float32)  # within what 8 kHz can hold
    for name, codecs in (("a.mp4", ("libx264", "aac")), ("b.webm", ("libvpx-vp9", "libopus"))):
        make_video(tmp_path / name, smooth, COLOURS, rate_hz=48000, codecs=codecs)
    one, other = (read_video(tmp_path / name, 8000, 4.0) for name in ("a.mp4", "b.webm"))
    assert one.frames.shape == other.frames.shape == (4, 32, 32, 3)
    np.testing.assert_allclose(other.frames.mean((1, 2)), COLOURS, atol=12)
    length = min(len(one.samples), len(other.samples), 7000)
    lags = np.correlate(one.samples[:length], other.samples[:length], "full").argmax() - (length - 1)
    assert length > 6000 and abs(lags) <= 1
    assert np.corrcoef(one.samples[:length], other.samples[:length])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("name", "reason"),
    [("corrupt", "cannot be decoded"), ("mute", "no sound"), ("blind", "no video stream"), ("gone", "no such file")],
)
def test_what_cannot_be_used_is_said_in_one_line(videos: Path, name: str, reason: str) -> None:
    with pytest.raises(VideoError, match=reason) as caught:
        read_video(videos / f"{name}.mp4", 8000, 1.0)
    assert "\n" not in str(caught.value) and f"{name}.mp4" in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path: Path, videos: Path) -> None:
    data = (videos / "low.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="cannot be decoded"):
        read_video(tmp_path / "half.mp4", 8000, 1.0)


def test_a_cut_that_keeps_the_times_of_its_film_loses_no_frame(tmp_path: Path) -> None:
    """Cuts made without re-encoding start at the second they were cut from."""
    path, late = tmp_path / "cut.mkv", 5
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=4)
        video.width = video.height = 32
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = 4 * late + index, Fraction(1, 4)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(np.full((1, 32_000), 0.1, np.float32), format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 16_000, 16_000 * late, Fraction(1, 16_000)
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    assert len(read_video(path, 16_000, 4.0, max_seconds=2.0).frames) == 8


def test_a_picture_is_turned_as_it_is_to_be_shown(tmp_path: Path) -> None:
    """A phone held upright writes lying pictures and a matrix that says: turn by 90 degrees clockwise."""
    left, right = (200, 30, 30), (30, 30, 200)
    lying = np.zeros((32, 64, 3), np.uint8)
    lying[:, :32], lying[:, 32:] = left, right
    shown = {}
    for name, matrix in {
        "lying": (1, 0, 0, 1),
        "clockwise": (0, 1, -1, 0),
        "upside down": (-1, 0, 0, -1),
        "counterclockwise": (0, -1, 1, 0),
    }.items():
        _write_picture(tmp_path / f"{name}.mp4", lying)
        _set_matrix(tmp_path / f"{name}.mp4", matrix)
        shown[name] = read_video(tmp_path / f"{name}.mp4", 8000, 1.0).frames[0]
    assert shown["lying"].shape == (32, 64, 3) and shown["clockwise"].shape == (
        64,
        32,
        3,
    )  # as stored: lying
    for name, first in {"clockwise": left, "counterclockwise": right}.items():  # the stored left half goes up, or down
        np.testing.assert_allclose(shown[name][:28].mean((0, 1)), first, atol=15)
    np.testing.assert_allclose(shown["lying"][:, :28].mean((0, 1)), left, atol=15)
    np.testing.assert_allclose(shown["upside down"][:, :28].mean((0, 1)), right, atol=15)


def _write_picture(path: Path, picture: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=4)
        video.height, video.width, video.pix_fmt = *picture.shape[:2], "yuv420p"
        audio = container.add_stream("aac", rate=8000, layout="mono")
        for _ in range(4):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(np.full((1, 8000), 0.1, np.float32), format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


def _set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Overwrite the matrix of the first track header: a, b, u, c, d, v, x, y, w in 16.16 and 2.30 (ISO 14496-12)."""
    data, (a, b, c, d) = bytearray(path.read_bytes()), (each * 65536 for each in matrix)
    place = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", data, place) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, place, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def test_clips_follow_one_another(tmp_path: Path, make_video: Maker) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 16_000).astype(np.float32)
    make_video(tmp_path / "v.mp4", noise, COLOURS * 2)
    whole = read_video(tmp_path / "v.mp4", 8000, 4.0)
    clips = list(read_clips(tmp_path / "v.mp4", 8000, 4.0, 0.5))
    assert len(clips) == 5 and len(clips[4].samples) < 1024  # AAC ends on a whole block
    for k, clip in enumerate(clips[:4]):
        np.testing.assert_array_equal(clip.frames, whole.frames[2 * k : 2 * k + 2])
        np.testing.assert_array_equal(clip.samples[:4000], whole.samples[4000 * k : 4000 * (k + 1)])
    assert not len(clips[4].frames)  # the pictures ended at 2 s
    first = read_video(tmp_path / "v.mp4", 8000, 4.0, max_seconds=0.5)
    np.testing.assert_array_equal(first.samples, clips[0].samples)
    assert len(list(read_clips(tmp_path / "v.mp4", 8000, 4.0, 0.5, clips=2))) == 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_clip_from_the_middle_is_what_lies_there(tmp_path: Path, suffix: str) -> None:
    """Jumping to it gives what decoding all before it gives; a container without an index is decoded from its start."""
    path = tmp_path / f"long.{suffix}"
    _write_counting(path, seconds=6)
    [every] = read_clips(path, 16_000, 4.0, 99.0, start_s=0.0)
    for start in (0.5, 2.25, 4.0):
        [clip] = read_clips(path, 16_000, 4.0, 1.0, start_s=start, clips=1)
        first = round(start * 4)
        np.testing.assert_array_equal(clip.frames, every.frames[first : first + 4])
        expected = every.samples[round(start * 16_000) :][:16_000]
        np.testing.assert_allclose(clip.samples[:16_000], expected, atol=1e-3)
        assert np.abs(expected - every.samples[:16_000]).max() > 0.1  # the beginning would be something else


def test_a_start_after_the_end_is_too_short(videos: Path) -> None:
    with pytest.raises(VideoError, match="it ends before 30 s") as caught:
        next(read_clips(videos / "low.mp4", 8000, 1.0, 0.256, start_s=30.0, clips=1))
    assert caught.value.fault == "too short" and "low.mp4" not in caught.value.reason


def test_what_is_not_asked_for_is_not_decoded(tmp_path: Path) -> None:
    """A file whose rest is damaged gives the clip before the damage, and the one after it."""
    path = tmp_path / "long.mkv"
    _write_counting(path, seconds=12)
    whole = list(read_clips(path, 16_000, 4.0, 1.0))
    data = path.read_bytes()
    for start, (begin, end) in {0: (0.5, 0.9), 10: (0.1, 0.3)}.items():
        hole = slice(round(begin * len(data)), round(end * len(data)))
        path.write_bytes(data[: hole.start] + bytes(hole.stop - hole.start) + data[hole.stop :])
        [clip] = read_clips(path, 16_000, 4.0, 1.0, start_s=float(start), clips=1)
        np.testing.assert_array_equal(clip.frames, whole[start].frames)
        with pytest.raises(VideoError, match="cannot be decoded"):  # the old way: everything from the beginning on
            list(read_clips(path, 16_000, 4.0, 1.0))


def _write_counting(path: Path, seconds: int) -> None:
    """Four frames a second, each brighter than the last, a key frame every second; noise as sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264" if path.suffix != ".avi" else "mpeg4", rate=4)
        video.width = video.height = 32
        video.pix_fmt, video.codec_context.gop_size = "yuv420p", 4
        audio = container.add_stream("aac" if path.suffix != ".avi" else "pcm_s16le", rate=16_000, layout="mono")
        rng = np.random.default_rng(0)
        sound = rng.normal(0, 0.2, seconds * 16_000).astype(np.float32)
        for index in range(4 * seconds):
            picture = np.full((32, 32, 3), 200 * index // (4 * seconds), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            part = sound[index * 4000 : (index + 1) * 4000]
            frame = av.AudioFrame.from_ndarray(
                part[None] if path.suffix != ".avi" else (part[None] * 32767).astype(np.int16),
                format="fltp" if path.suffix != ".avi" else "s16",
                layout="mono",
            )
            frame.sample_rate, frame.pts, frame.time_base = 16_000, index * 4000, Fraction(1, 16_000)
            container.mux(audio.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
