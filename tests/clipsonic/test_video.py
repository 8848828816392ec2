"""Videos written here are read back as the pictures and sounds that were put into them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clipsonic.video import VideoError, read_video

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
