"""Of a stream, no more is decoded than is asked for, and what is asked for is what a whole decoding gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clipsonic.decoding import Decoder
from clipsonic.video import read_clips, read_video

SECONDS = 4


def write_moving(path: Path, codec: str, options: dict[str, str], rate: int = 25, seconds: int = SECONDS) -> None:
    """A pattern that moves and changes, 64 x 48, with a quiet noise beside it."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt, video.options = 64, 48, "yuv420p", {"threads": "1", **options}
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        packets = []
        for index in range(seconds * rate):
            moved = np.roll(coarse, index // 3, axis=1) // (1 + index % 3)
            picture = moved.repeat(4, 0).repeat(4, 1)
            packets += video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        packets += video.encode(None)
        noise = rng.normal(0, 0.1, (1, seconds * 16_000)).astype(np.float32)
        sound = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 16_000, 0, Fraction(1, 16_000)
        packets += [*audio.encode(sound), *audio.encode(None)]
        for packet in sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)):
            container.mux(packet)


def every_frame(path: Path) -> list[tuple[float, np.ndarray]]:
    """By PyAV alone: (time, picture) of all frames."""
    with av.open(str(path)) as container:
        found = [(float(f.time or 0.0), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    return [(time - found[0][0], picture) for time, picture in found]


def expected(frames: list[tuple[float, np.ndarray]], start: float, seconds: float, fps: float) -> list[np.ndarray]:
    """The first frame at or after each multiple of 1 / fps, as the specification says it."""
    times = [start + k / fps for k in range(math.ceil(seconds * fps - 1e-9))]
    later = [[index for index, (time, _) in enumerate(frames) if time >= wanted - 1e-6][:1] for wanted in times]
    inside = [index for found in later for index in found if frames[index][0] < start + seconds]
    return [frames[index][1] for index in dict.fromkeys(inside)]


CODECS = {
    "no B": ("libx264", {"bf": "0"}),
    "B": ("libx264", {"x264-params": "bframes=3:b-adapt=0:b-pyramid=none:scenecut=0"}),
    "pyramid": ("libx264", {"x264-params": "bframes=8:b-adapt=0:b-pyramid=normal:keyint=60"}),
    "open": ("libx264", {"x264-params": "bframes=3:b-adapt=0:open-gop=1:keyint=25"}),
    "mpeg4": ("mpeg4", {"bf": "2"}),
}


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("fps", [1.0, 3.0, 8.0, 25.0])
def test_every_picture_is_the_one_of_a_whole_decoding(tmp_path: Path, name: str, fps: float) -> None:
    path = tmp_path / "v.mp4"
    write_moving(path, *CODECS[name])
    frames = every_frame(path)
    assert len(frames) == SECONDS * 25
    np.testing.assert_array_equal(read_video(path, 16_000, fps).frames, expected(frames, 0, SECONDS, fps))
    for clip, video in enumerate(read_clips(path, 16_000, fps, 1.024, clips=3)):
        np.testing.assert_array_equal(video.frames, expected(frames, clip * 1.024, 1.024, fps))
    for start in (0.33, 1.5, 2.72):
        [video] = read_clips(path, 16_000, fps, 1.0, start_s=start, clips=1)
        np.testing.assert_array_equal(video.frames, expected(frames, start, 1.0, fps))


def test_real_videos_are_read_as_a_whole_decoding_reads_them(media: Path) -> None:
    for path in (media / "videos").glob("*.mp4"):
        frames = every_frame(path)
        np.testing.assert_array_equal(read_video(path, 16_000, 1.0, 5.0).frames, expected(frames, 0, 5.0, 1.0))
        [video] = read_clips(path, 16_000, 1.0, 2.0, start_s=3.21, clips=1)
        np.testing.assert_array_equal(video.frames, expected(frames, 3.21, 2.0, 1.0))


def test_pictures_between_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    write_moving(path, *CODECS["B"])

    def count(slot_of: Callable[[float], float] | None) -> int:
        with Decoder(path, "video") as decoder:
            return sum(1 for _ in decoder.frames(0.0, slot_of))

    assert count(None) == 100
    assert count(math.floor) < 50  # the pictures that others refer to, and three after each second
    assert count(lambda time: math.floor(time * 25 + 1e-6) / 25) == 100


def test_the_end_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last picture wanted, 0 s of a clip of 0.9 s, there is nothing to look for."""
    seen: list[float] = []
    real = Decoder.frames

    def counted(self: Decoder, *given: Any) -> Iterator[tuple[float, Any]]:
        for time, frame in real(self, *given):
            if self.kind == "video":
                seen.append(time)
            yield time, frame

    monkeypatch.setattr(Decoder, "frames", counted)
    path = tmp_path / "v.mp4"
    write_moving(path, *CODECS["no B"])
    assert len(read_video(path, 16_000, 1.0, 0.9).frames) == 1
    assert seen == [0.0]


def test_a_transport_stream_is_not_decoded_from_its_beginning(tmp_path: Path) -> None:
    """FFmpeg goes to the key frame after the time that it is asked for, and to none after the last."""
    path = tmp_path / "v.ts"
    write_moving(path, "libx264", {"x264-params": "bframes=2:keyint=25:min-keyint=25:scenecut=0"}, seconds=30)
    frames = every_frame(path)
    with Decoder(path, "video") as picture, Decoder(path, "audio") as sound:
        assert picture.first_s is not None and sound.first_s is not None
        skew = picture.first_s - min(picture.first_s, sound.first_s)
    for start in (2.2, 15.5, 22.0, 29.5):
        with Decoder(path, "video") as decoder:
            first, _ = next(decoder.frames(picture.first_s + start))
        assert -14 < first <= 0 and (first > -4 or start > 29)
        [video] = read_clips(path, 16_000, 5.0, 0.4, start_s=start, clips=1)
        np.testing.assert_array_equal(video.frames, expected(frames, start - skew, 0.4, 5.0))
