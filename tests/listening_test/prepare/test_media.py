"""Images that every browser draws, without what they say of their taking; videos without sound."""

from __future__ import annotations

import hashlib
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from clipsonic_listening_test import ListeningTestError
from clipsonic_listening_test.prepare.media import image, video


def picture(folder: Path, name: str, size: tuple[int, int] = (40, 20), exif: bool = False) -> Path:
    made = Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8))
    path = folder / name
    if exif:
        tags = Image.Exif()
        tags[0x0112] = 6  # turned by 90 degrees
        tags[0x010F] = "a camera"
        made.save(path, exif=tags)
    else:
        made.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "type"), [("a.jpg", "jpeg"), ("a.png", "png"), ("a.webp", "webp"), ("a.gif", "gif"), ("a.PNG", "png")]
)
def test_what_browsers_draw_is_kept_to_the_byte(tmp_path: Path, name: str, type: str) -> None:
    path = picture(tmp_path, name)
    record, data = image(path)
    assert data == path.read_bytes()
    assert record.type == f"image/{type}" and record.bytes == len(data)
    assert record.sha256 == hashlib.sha256(data).hexdigest() and record.file.startswith(f"images/{record.sha256}.")


@pytest.mark.parametrize("name", ["a.bmp", "a.tiff"])
def test_other_images_become_jpeg(tmp_path: Path, name: str) -> None:
    record, data = image(picture(tmp_path, name))
    assert record.type == "image/jpeg" and Image.open(io.BytesIO(data)).size == (40, 20)


def test_large_images_are_made_smaller(tmp_path: Path) -> None:
    _, data = image(picture(tmp_path, "a.png", (3000, 1000)))
    assert Image.open(io.BytesIO(data)).size == (2048, 683)


def test_a_large_picture_of_sixteen_bits_does_not_turn_white(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 3000).astype(np.uint16)[None].repeat(40, 0)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    _, data = image(tmp_path / "x.png")
    assert np.asarray(Image.open(io.BytesIO(data))).mean() == pytest.approx(127.5, abs=1)


def test_the_cameras_data_go_and_the_picture_is_turned(tmp_path: Path) -> None:
    path = picture(tmp_path, "a.jpg", exif=True)
    assert b"a camera" in path.read_bytes()
    _, data = image(path)
    upright = Image.open(io.BytesIO(data))
    assert upright.size == (20, 40) and len(upright.getexif()) == 0 and b"a camera" not in data


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    whole = picture(tmp_path, "a.png").read_bytes()
    for name, data in (("x.png", b"no image"), ("cut.png", whole[: len(whole) // 2]), ("empty.png", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ListeningTestError, match=f"{name} is no image that can be read"):
            image(tmp_path / name)


def write_video(path: Path, codec: str, with_sound: bool = True) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p" if codec != "mjpeg" else "yuvj420p"
        sound: Any = container.add_stream("aac", rate=48_000, layout="stereo") if with_sound else None
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for at in range(40):
                block = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
                block.sample_rate, block.pts = 48_000, 1024 * at
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


def test_a_video_loses_its_sound_alone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "libx264")
    with av.open(str(path)) as before:
        assert len(before.streams.audio) == 1
        pictures = [frame.to_ndarray() for frame in before.decode(video=0)]
    record, data = video(path)
    assert record.kind == "video" and record.type == "video/mp4" and record.file == f"videos/{record.sha256}.mp4"
    with av.open(io.BytesIO(data)) as after:
        assert [stream.type for stream in after.streams] == ["video"]
        kept = [frame.to_ndarray() for frame in after.decode(video=0)]
    assert len(kept) == len(pictures) == 10
    assert all(np.array_equal(a, b) for a, b in zip(pictures, kept, strict=True))
    assert video(path)[1] == data  # the same bytes each time


def test_webm_stays_webm(tmp_path: Path) -> None:
    record, data = video(write_video(tmp_path / "a.webm", "libvpx-vp9", with_sound=False))
    assert record.type == "video/webm" and data[:4] == b"\x1a\x45\xdf\xa3"


def test_videos_that_cannot_be_shown_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ListeningTestError, match="coded in mjpeg; expected H.264"):
        video(write_video(tmp_path / "a.mov", "mjpeg", with_sound=False))
    (tmp_path / "b.mp4").write_bytes(b"\0" * 300)
    with pytest.raises(ListeningTestError, match="b.mp4 is unreadable"):
        video(tmp_path / "b.mp4")


def test_real_videos(media: Path) -> None:
    record, data = video(sorted((media / "videos").glob("*.mp4"))[0])
    with av.open(io.BytesIO(data)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert record.bytes == len(data)
