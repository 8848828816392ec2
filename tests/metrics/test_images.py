"""Pictures as they are meant to be seen: 16 bits are scaled, and what was filmed on its side stands upright."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clipsonic_metrics.images import read_pictures

UPRIGHT = (1, 0, 0, 1)
TURNS = {"clockwise": (0, 1, -1, 0), "counter-clockwise": (0, -1, 1, 0), "upside down": (-1, 0, 0, -1)}
"""How a player is to turn the stored picture, and the corner of the file's display matrix that says so."""


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    grey = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "x.png")
    [picture] = read_pictures(tmp_path / "x.png")
    assert picture.shape == (8, 8, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, np.repeat((grey >> 8)[..., None], 3, axis=-1))
    with Image.open(tmp_path / "x.png") as image:
        clipped = np.asarray(image.convert("RGB"))  # what it once was: kept as a way that must fail
    assert (clipped[grey > 255] == 255).all() and (picture[grey < 60_000] < 255).all()


def test_eight_bits_and_palettes_are_left_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_pictures(tmp_path / "x.png")[0], pixels)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_pictures(tmp_path / "grey.png")[0], np.repeat(pixels[..., :1], 3, axis=-1))
    Image.fromarray(pixels).quantize(32).save(tmp_path / "palette.png")
    np.testing.assert_allclose(read_pictures(tmp_path / "palette.png")[0], pixels, atol=40)


def film(path: Path, corner: tuple[int, int, int, int]) -> np.ndarray:
    """A video of 96 x 64 pixels, light at its left, with that corner of the display matrix; what was filmed."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :24] = 240
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    a, b, c, d = (65_536 * each for each in corner)
    data = bytearray(path.read_bytes())
    begin = data.index(b"tkhd") + 4 + 4 * 6 + 8 + 8  # ISO/IEC 14496-12, 8.3.2: the matrix of a track's header
    data[begin : begin + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return pixels


@pytest.mark.parametrize("turn", TURNS)
def test_a_video_that_was_filmed_on_its_side_stands_upright(tmp_path: Path, turn: str) -> None:
    pixels = film(tmp_path / "x.mp4", TURNS[turn])
    expected = np.rot90(pixels, {"clockwise": -1, "counter-clockwise": 1, "upside down": 2}[turn])
    frames = read_pictures(tmp_path / "x.mp4")
    assert [frame.shape for frame in frames] == [expected.shape] * 3
    for frame in frames:
        assert np.abs(frame.astype(int) - expected).mean() < 8 < np.abs(frame.astype(int) - expected[::-1, ::-1]).mean()


def test_a_video_without_a_turn_is_left_as_it_is(tmp_path: Path) -> None:
    pixels = film(tmp_path / "x.mp4", UPRIGHT)
    for frame in read_pictures(tmp_path / "x.mp4"):
        assert np.abs(frame.astype(int) - pixels).mean() < 8
