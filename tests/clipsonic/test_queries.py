"""Queries: one kind at a time, ids that name files, pictures that can be read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from clipsonic.clip import FrozenClip
from clipsonic.queries import Pictures, Texts, encode_pictures, read_picture, read_queries
from clipsonic.vectors import StoredVectors, write_vectors


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for name, colour in (("b.png", "red"), ("a.JPG", "blue"), ("more/c.webp", "green"), (".hidden.png", "red")):
        Image.new("RGB", (40, 30), colour).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_each_kind(tmp_path: Path, pictures: Path) -> None:
    assert read_queries(text="a dog") == Texts(["query"], ["a dog"])
    frames = [pictures / "b.png", pictures / "a.JPG"]
    assert read_queries(image=frames) == Pictures(["query"], [tuple(frames)])
    found = read_queries(images=pictures)
    assert isinstance(found, Pictures) and found.ids == ["a", "b", "more/c"]
    assert found.files[2] == (pictures / "more" / "c.webp",)
    (tmp_path / "p.csv").write_text("id,caption\nb,the dog\na/x,a bell\n")
    assert read_queries(prompts=tmp_path / "p.csv") == Texts(["b", "a/x"], ["the dog", "a bell"])
    write_vectors(tmp_path / "v.npz", ["z", "y"], np.eye(2, dtype=np.float32))
    stored = read_queries(vectors=tmp_path / "v.npz")
    assert isinstance(stored, StoredVectors) and stored.ids == ["z", "y"]


def test_several_pictures_are_the_mean_of_their_directions(pictures: Path, clip_folder: Path) -> None:
    clip = FrozenClip(str(clip_folder))
    a, b = pictures / "a.JPG", pictures / "b.png"
    alone = clip.encode_image([read_picture(a), read_picture(b)])
    found = encode_pictures(clip, [(a,), (a, b)])
    np.testing.assert_array_equal(found[0], clip.encode_image([read_picture(a), read_picture(a), read_picture(b)])[0])
    np.testing.assert_allclose(found[1], alone.mean(0) / np.linalg.norm(alone.mean(0)), atol=1e-6)


def test_many_pictures_are_encoded_as_in_one_call(
    pictures: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read a part at a time, and the same bits."""
    clip, files = FrozenClip(str(clip_folder)), [pictures / name for name in ("a.JPG", "b.png", "more/c.webp")] * 23
    whole = clip.encode_image([read_picture(path) for path in files])
    np.testing.assert_array_equal(encode_pictures(clip, [(path,) for path in files]), whole)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: {}, "give one of --text, --image, --images, --prompts, --vectors, --data; got none"),
        (lambda p: {"text": "a", "prompts": p}, "got --text, --prompts"),
        (lambda p: {"text": " "}, "--text is empty"),
        (lambda p: {"images": p / "gone"}, "gone is not a folder of pictures"),
        (lambda p: {"images": p}, "holds no picture"),
        (lambda p: {"prompts": p / "empty.csv"}, "empty.csv lists no prompt"),
        (lambda p: {"prompts": p / "up.csv"}, "'../../x' would be written outside the folder"),
        (lambda p: {"prompts": p / "root.csv"}, "'/x' would be written outside the folder"),
        (lambda p: {"vectors": p / "up.npz"}, "'../x' would be written outside the folder"),
    ],
)
def test_mistakes(tmp_path: Path, make: Callable[[Path], dict[str, object]], message: str) -> None:
    (tmp_path / "empty.csv").write_text("id,caption\n")
    (tmp_path / "up.csv").write_text("id,caption\n../../x,a\n")
    (tmp_path / "root.csv").write_text("id,caption\n/x,a\n")
    write_vectors(tmp_path / "up.npz", ["../x"], np.eye(1, dtype=np.float32))
    with pytest.raises(ValueError, match=message):
        read_queries(**make(tmp_path))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["./a", "b//a", "b/./a", "a/"])
def test_an_id_that_is_another_ids_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "p.csv").write_text(f"id,caption\n{name},x\n")
    with pytest.raises(ValueError, match=f"id '{name}' names the file of another id: write it '(b/)?a'"):
        read_queries(prompts=tmp_path / "p.csv")


def test_two_pictures_of_one_id_are_refused(pictures: Path) -> None:
    Image.new("RGB", (40, 30)).save(pictures / "b.jpg")
    with pytest.raises(ValueError, match=r"b.jpg and .*b.png would both get the id 'b'"):
        read_queries(images=pictures)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("RGB", (400, 300), "red").save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:300])
    for name in ("text.png", "cut.png", "cut.jpg", "gone.png"):
        with pytest.raises(ValueError, match=rf"{name}: not a readable picture"):
            read_picture(tmp_path / name)


def test_a_picture_is_turned_as_it_is_to_be_shown(tmp_path: Path) -> None:
    """Old mistake: phones' upright pictures were seen lying, though their videos were turned."""
    lying = np.zeros((20, 30, 3), np.uint8)
    lying[:, :15] = (200, 10, 10)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise
    Image.fromarray(lying).save(tmp_path / "phone.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "phone.png")), np.rot90(lying, -1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_all_ways_to_be_turned(tmp_path: Path, suffix: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8))
    seen = set()
    for orientation in range(1, 9):
        exif, path = Image.Exif(), tmp_path / f"{orientation}.{suffix}"
        exif[0x0112] = orientation
        noise.save(path, exif=exif)
        with Image.open(path) as picture:
            expected = ImageOps.exif_transpose(picture).convert("RGB")
        np.testing.assert_array_equal(np.asarray(read_picture(path)), np.asarray(expected))
        seen.add(expected.tobytes())
    assert len(seen) == 8


def test_a_picture_with_odd_exif_is_read(tmp_path: Path) -> None:
    """Old mistake: one of them was refused, another stopped the whole list: the EXIF was written anew to be turned."""
    lying = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    turn = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    make_is_a_number = struct.pack("<HHIf", 0x010F, 11, 1, 1.5) + turn
    resolution_is_a_text = turn + struct.pack("<HHI4s", 0x011A, 2, 3, b"72")
    for number, fields in enumerate((make_is_a_number, resolution_is_a_text)):
        path, start = tmp_path / f"{number}.png", struct.pack("<6s2sHIH", b"Exif", b"II", 42, 8, len(fields) // 12)
        Image.fromarray(lying).save(path, exif=start + fields + bytes(4))
        np.testing.assert_array_equal(np.asarray(read_picture(path)), np.rot90(lying, -1))
    Image.fromarray(lying).save(tmp_path / "damaged.png", exif=b"Exif\0\0neither II nor MM")
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "damaged.png")), lying)


@pytest.mark.parametrize(
    ("suffix", "mode"), [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2"), ("jp2", "<u2"), ("pgm", "<u2")]
)
def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(tmp_path: Path, suffix: str, mode: str) -> None:
    """Old mistake: Pillow clips at 255, and a picture was embedded as a white page."""
    ramp = np.linspace(0, 65_535, 24 * 36).reshape(24, 36).astype(mode)
    Image.fromarray(ramp).save(path := tmp_path / f"ramp.{suffix}")
    seen = np.asarray(read_picture(path))
    np.testing.assert_array_equal(seen, np.repeat((ramp >> 8).astype(np.uint8)[..., None], 3, axis=-1))
    with Image.open(path) as picture:
        clipped = np.asarray(picture.convert("RGB"))  # as it once was
    assert abs(seen.mean() - 127.5) < 0.6 and clipped.mean() > 250


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_is_turned_too(tmp_path: Path, bits: int) -> None:
    """Old mistake: a TIFF that is opened by its path is mapped by Pillow, and read with width and height exchanged."""
    exif, ramp = Image.Exif(), np.linspace(0, 65_535, 24 * 36).reshape(24, 36).astype(np.uint16)
    exif[0x0112] = 6
    for name in ("ramp.png", "ramp.tif"):
        Image.fromarray(ramp if bits == 16 else (ramp >> 8).astype(np.uint8)).save(tmp_path / name, exif=exif)
        np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / name))[..., 0], np.rot90(ramp >> 8, -1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.linspace(0, 1, 64, dtype=np.float32), "its values are floats"),
        (np.linspace(0, 65_535, 64).astype(np.int32), "its values are integers of 32 bits"),
        (np.arange(64, dtype=np.int32), "its values are integers of 32 bits"),
    ],
)
def test_values_of_which_nobody_knows_what_is_white_are_refused(
    tmp_path: Path, values: NDArray[np.generic], message: str
) -> None:
    """Old mistake: what is between 0 and 1 was embedded as a black page."""
    Image.fromarray(values.reshape(8, 8)).save(path := tmp_path / "x.tif")
    with pytest.raises(ValueError, match=rf"x.tif: not a readable picture \({message}: save it with 8 or 16 bits\)"):
        read_picture(path)


def test_a_picture_too_large_to_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ValueError, match=r"huge.png: not a readable picture \(Image size \(1200 pixels\)"):
        read_picture(tmp_path / "huge.png")


def test_links_to_folders_are_followed(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "link").symlink_to(pictures)
    (pictures / "more" / "back").symlink_to(tmp_path / "shown")
    found = read_queries(images=tmp_path / "shown")
    assert isinstance(found, Pictures) and found.ids == ["link/a", "link/b", "link/more/c"]
