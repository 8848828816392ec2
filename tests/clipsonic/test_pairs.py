"""Pairs for a prior: the same vectors from a CSV, prepared data and a .npz, however often the encoding was stopped."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clipsonic.pairs as pairs_module
from clipsonic.clip import FrozenClip
from clipsonic.pairs import PreparedPairs, encode_pairs, read_pairs, read_table
from clipsonic.prepared import PreparedData
from clipsonic.queries import read_picture

COLOURS = ("red", "green", "blue", "white", "black")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five pictures with captions, of which the third cannot be read."""
    (tmp_path / "pictures").mkdir()
    lines = ["id,image,caption"]
    for row, colour in enumerate(COLOURS):
        path = tmp_path / "pictures" / f"{colour}.png"
        Image.new("RGB", (40, 30), colour).save(path)
        lines.append(f"{row},pictures/{colour}.png,the {colour}")
    (tmp_path / "pictures" / "blue.png").write_text("no picture")
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs.csv"


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> FrozenClip:
    return FrozenClip(str(clip_folder))


def test_a_csv_is_encoded_and_unreadable_pictures_are_named(table: Path, tmp_path: Path, clip: FrozenClip) -> None:
    told: list[int] = []
    found, skipped = encode_pairs(table, tmp_path / "v", clip, told.append)
    assert (len(found), skipped, sum(told)) == (4, 1, 5)
    assert (found.clip, found.clip_sha256, found.dim) == (clip.name, clip.digest, 8)
    line = json.loads((tmp_path / "v" / "skipped.jsonl").read_text())
    assert line["line"] == 4 and "blue.png: not a readable picture" in line["reason"]
    good = [colour for colour in COLOURS if colour != "blue"]
    rows = np.arange(4)
    pictures = [read_picture(table.parent / "pictures" / f"{colour}.png") for colour in good]
    np.testing.assert_allclose(found.images(rows, np.zeros(4)), clip.encode_image(pictures), atol=1e-6)
    np.testing.assert_allclose(found.texts(rows), clip.encode_text([f"the {colour}" for colour in good]), atol=1e-6)
    assert found.name(3) == "pair 5"


def test_a_stopped_encoding_goes_on(
    table: Path, tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs_module, "PART", 2)
    whole, _ = encode_pairs(table, tmp_path / "whole", clip)

    class Stopped(Exception):
        pass

    def stop(rows: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        encode_pairs(table, tmp_path / "broken", clip, stop)
    assert len(list((tmp_path / "broken").glob("0*.json"))) == 1
    before = (tmp_path / "broken" / "000000.json").stat().st_mtime_ns
    broken, skipped = encode_pairs(table, tmp_path / "broken", clip)
    assert (tmp_path / "broken" / "000000.json").stat().st_mtime_ns == before  # not done again
    assert broken.digest == whole.digest and skipped == 1
    np.testing.assert_array_equal(broken.image, whole.image)


def test_processes_share_the_parts(
    table: Path, tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two processes does its parts, and finds what the first has done."""
    monkeypatch.setattr(pairs_module, "PART", 2)
    alone, _ = encode_pairs(table, tmp_path / "alone", clip)

    def first_does_the_rest(seconds: float) -> None:
        monkeypatch.setenv("RANK", "0")
        part = (tmp_path / "two" / "000000.json").is_file()
        assert not part
        for name in ("000000", "000002"):
            (tmp_path / "two" / f"{name}.json").write_bytes((tmp_path / "alone" / f"{name}.json").read_bytes())

    (tmp_path / "two").mkdir()
    for name in ("pairs.json", "image.npy", "text.npy"):
        (tmp_path / "two" / name).write_bytes((tmp_path / "alone" / name).read_bytes())
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(pairs_module.time, "sleep", first_does_the_rest)
    found, _ = encode_pairs(table, tmp_path / "two", clip)
    assert found.digest == alone.digest
    assert not (tmp_path / "two" / "skipped.jsonl").exists()  # the first process writes it


def test_a_full_disk_is_found_out_before_anything_is_encoded(table: Path, tmp_path: Path, clip: FrozenClip) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            encode_pairs(table, tmp_path / "v", clip)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not (tmp_path / "v" / "pairs.json").exists()
    assert encode_pairs(table, tmp_path / "v", clip)[1] == 1


def test_prepared_data_give_any_frame(prepared: PreparedData) -> None:
    pairs = PreparedPairs(prepared)
    frames = prepared.frames_of(np.arange(len(prepared)))
    row = next(k for k, each in enumerate(frames) if len(each) > 1)
    rows = np.array([row, row])
    found = pairs.images(rows, np.array([0.0, 0.999]))
    np.testing.assert_array_equal(found, frames[row][[0, -1]])
    np.testing.assert_array_equal(pairs.texts(rows), prepared.vectors("clip_text", rows))
    assert (pairs.clip, pairs.dim, pairs.name(row)) == (prepared.clip, prepared.dim, prepared.ids[row])


def test_a_npz_says_whose_vectors_it_holds(tmp_path: Path, clip: FrozenClip) -> None:
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(2, 5, 8))
    path = tmp_path / "pairs.npz"
    np.savez(path, image=image, text=text)
    with pytest.raises(ValueError, match="does not say which CLIP its vectors are of: give --clip"):
        read_pairs(path, None)
    found = read_pairs(path, clip)
    assert (found.clip, found.clip_sha256, len(found)) == (clip.name, clip.digest, 5)
    np.testing.assert_allclose(np.linalg.norm(found.images(np.arange(5), np.zeros(5)), axis=1), 1, atol=1e-6)
    np.savez(path, image=image, text=text, clip="mine", clip_sha256="1" * 64)
    assert read_pairs(path, None).clip == "mine"
    with pytest.raises(ValueError, match=r"made with a CLIP of sha256 111111111111, CLIP .* another space"):
        read_pairs(path, clip)
    with pytest.raises(ValueError, match="has 8 dimensions, CLIP micro has 64: it is of another space"):
        read_pairs(path, FrozenClip("micro"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.ones((3, 8))}, "is no .npz with image and text vectors"),
        ({"image": np.ones((3, 8)), "text": np.ones((2, 8))}, r"expected both \(pairs, dim\)"),
        ({"image": np.zeros((3, 8)), "text": np.ones((3, 8))}, "a vector is zero or not finite"),
    ],
)
def test_a_wrong_npz(tmp_path: Path, clip: FrozenClip, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_pairs(tmp_path / "p.npz", clip)


def test_a_wrong_table(tmp_path: Path, table: Path, clip: FrozenClip) -> None:
    path = tmp_path / "t.csv"
    for content, message in (
        ("id,image\n1,a.png\n", "column caption missing; found id, image"),
        ("", "column caption, image missing; found none"),
        ("image,caption\n", "lists no pair"),
        ("image,caption\na.png,\n", "line 2: expected an image and a caption"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_table(path)
    path.write_text("image,caption\ngone.png,a\n")
    with pytest.raises(ValueError, match=r"none of 1 pictures of .* could be read \(.*gone.png: not a readable"):
        encode_pairs(path, tmp_path / "v", clip)
    encode_pairs(table, tmp_path / "w", clip)
    with pytest.raises(ValueError, match="holds vectors of another list or CLIP: choose another --out"):
        encode_pairs(path, tmp_path / "w", clip)


def test_a_list_that_failed_can_be_mended(table: Path, tmp_path: Path, clip: FrozenClip) -> None:
    """Old mistake: what was left of it refused the mended list."""
    out = tmp_path / "run" / "pairs"
    mended = table.read_text()
    for content, message in (
        ("image,caption\ngone.png,a\nlost.png,b\n", "none of 2 pictures of .*gone.png: not a readable picture"),
        ("image,caption\npictures/red.png,a\npictures/red.png,b\n", "has only one picture that can be read:"),
        ("image,caption\npictures/red.png,a\ngone.png,b\n", r"has only one picture that can be read \(.*gone.png"),
    ):
        table.write_text(content)
        with pytest.raises(ValueError, match=message):
            encode_pairs(table, out, clip)
        assert not out.exists()
    table.write_text(mended)
    assert encode_pairs(table, out, clip)[1] == 1
    table.write_text(mended + "9,pictures/red.png,more red\n")
    with pytest.raises(ValueError, match=rf"another list or CLIP: choose another --out, or type: rm -r {out}$"):
        encode_pairs(table, out, clip)


def test_rows_of_one_picture_or_video_are_one_group(
    table: Path, tmp_path: Path, clip: FrozenClip, prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.write_text(table.read_text() + "5,./pictures/green.png,more green\n")
    found, _ = encode_pairs(table, tmp_path / "v", clip)
    assert found.groups.tolist() == [0, 1, 2, 3, 1]  # without the one that cannot be read
    assert PreparedPairs(prepared).groups.tolist() == [0, 1, 2]
    monkeypatch.setattr(prepared, "videos", lambda: ["b.mp4", "a.mp4", "b.mp4"])
    assert PreparedPairs(prepared).groups.tolist() == [0, 1, 0]


def test_texts_that_are_cut_are_named(
    table: Path, tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "the " * 15
    table.write_text(table.read_text().replace("the blue", long).replace("the white", long).replace("the black", long))
    monkeypatch.setattr(pairs_module, "PART", 2)
    found, _ = encode_pairs(table, tmp_path / "v", clip)
    assert found.cut_texts == ("pair 4", "pair 5")  # of those whose picture can be read
    assert encode_pairs(table, tmp_path / "v", clip)[0].cut_texts == found.cut_texts  # done already


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"image,caption\na.png,{'x' * 140_000}\n")
    with pytest.raises(ValueError, match=r"t.csv is not a CSV in UTF-8 \(field larger than field limit"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b"image,caption\na.png,\xff\n")
    with pytest.raises(ValueError, match="t.csv is not a CSV in UTF-8"):
        read_table(tmp_path / "t.csv")


def test_a_npy_is_no_npz(tmp_path: Path, clip: FrozenClip) -> None:
    with (tmp_path / "p.npz").open("wb") as file:
        np.save(file, np.eye(8))
    with pytest.raises(ValueError, match="is no .npz with image and text vectors"):
        read_pairs(tmp_path / "p.npz", clip)
