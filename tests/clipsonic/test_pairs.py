"""Pairs for a prior: the same vectors from a CSV, prepared data and a .npz, however often the encoding was stopped."""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import tracemalloc
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

import clipsonic.pair_encoding as encoding
import clipsonic.pairs as pairs_module
from clipsonic.clip import FrozenClip
from clipsonic.pair_encoding import encode_pairs, read_table
from clipsonic.pairs import PreparedPairs, read_pairs
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


def test_lines_are_those_of_the_file(table: Path, tmp_path: Path, clip: FrozenClip) -> None:
    """A caption may go over two lines, and a blank one be between."""
    header, *rows = table.read_text().splitlines()
    other = table.with_name("two-lines.csv")
    other.write_text("\n".join([header, rows[0].rpartition(",")[0] + ',"two\nlines"', "", *rows[1:]]) + "\n")
    encode_pairs(other, tmp_path / "v", clip)
    line = json.loads((tmp_path / "v" / "skipped.jsonl").read_text())
    wrong = next(number for number, text in enumerate(other.read_text().splitlines(), start=1) if "blue" in text)
    assert line["line"] == wrong == 6


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


def test_sixteen_bits_of_grey_are_what_their_upper_eight_are(table: Path, tmp_path: Path, clip: FrozenClip) -> None:
    ramp = np.linspace(0, 65_535, 30 * 40).reshape(30, 40)
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "pictures" / "red.png")
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "pictures" / "green.png", format="TIFF")
    found, skipped = encode_pairs(table, tmp_path / "v", clip)
    eight = Image.fromarray((ramp.astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    np.testing.assert_allclose(found.images(np.arange(1), np.zeros(1)), clip.encode_image([eight]), atol=1e-6)
    reasons = (tmp_path / "v" / "skipped.jsonl").read_text()
    assert skipped == 2 and "green.png: not a readable picture (its values are floats" in reasons


def test_a_stopped_encoding_goes_on(
    table: Path, tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "PART", 2)
    whole, _ = encode_pairs(table, tmp_path / "whole", clip)

    class Stopped(Exception):
        pass

    told: list[int] = []

    def stop(rows: int) -> None:
        told.append(rows)
        if rows:
            raise Stopped

    with pytest.raises(Stopped):
        encode_pairs(table, tmp_path / "broken", clip, stop)
    assert told == [0, 2] and len(list((tmp_path / "broken").glob("0*.json"))) == 1
    before = (tmp_path / "broken" / "000000.json").stat().st_mtime_ns
    reports: list[int] = []
    broken, skipped = encode_pairs(table, tmp_path / "broken", clip, reports.append)
    assert reports[0] == 2 and sum(reports) == len(read_table(table)) > 4  # what was found done, then each part
    assert (tmp_path / "broken" / "000000.json").stat().st_mtime_ns == before  # not done again
    assert broken.digest == whole.digest and skipped == 1
    np.testing.assert_array_equal(broken.image, whole.image)


def test_processes_share_the_parts(
    table: Path, tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistakes: a process waited for the parts before its own, so that one after another worked; and all wrote to
    the same two files, of which a network disk writes whole pages back, with zeros in place of a neighbour's vectors.
    """
    monkeypatch.setattr(encoding, "PART", 2)
    alone, _ = encode_pairs(table, tmp_path / "alone", clip)
    out, arrays = tmp_path / "two", [tmp_path / "two" / name for name in ("image.npy", "text.npy")]

    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(encoding, "read_picture", stop)
        encode_pairs(table, out, clip)
    zeros = [path.read_bytes() for path in arrays]
    waits = []

    def first_does_the_rest(seconds: float) -> None:
        waits.append(sorted(path.name for path in out.glob("0*")))
        assert [path.read_bytes() for path in arrays] == zeros
        monkeypatch.setenv("RANK", "0")
        np.testing.assert_array_equal(encode_pairs(table, out, clip)[0].image, alone.image)

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(encoding.time, "sleep", first_does_the_rest)
    found, _ = encode_pairs(table, out, clip)
    assert waits == [["000001.json", "000001.npy"]]  # its own part first, beside the arrays
    assert found.digest == alone.digest
    np.testing.assert_array_equal(found.image, alone.image)
    np.testing.assert_array_equal(found.text, alone.text)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "alone").iterdir())


def test_the_others_wait_for_vectors_to_be_among_the_rest(
    table: Path, tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = encode_pairs(table, tmp_path / "v", clip)
    left = tmp_path / "v" / "000000.npy"
    np.save(left, np.stack([whole.image, whole.text]))

    def first_takes_it(seconds: float) -> None:
        monkeypatch.setenv("RANK", "0")
        encode_pairs(table, tmp_path / "v", clip)
        assert not left.exists()

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(encoding.time, "sleep", first_takes_it)
    encode_pairs(table, tmp_path / "v", clip)
    assert not left.exists()


def test_the_digest_is_over_all_vectors_of_each_part(
    table: Path, tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that is continued names it: it stays what it was."""
    monkeypatch.setattr(encoding, "PART", 2)
    found, _ = encode_pairs(table, tmp_path / "v", clip)
    assert not found.image[2].any() and not found.text[2].any()  # of the picture that cannot be read
    parts = [found.image[k : k + 2].tobytes() + found.text[k : k + 2].tobytes() for k in (0, 2, 4)]
    whole = "".join(hashlib.sha256(part).hexdigest() for part in parts)
    assert found.digest == hashlib.sha256(whole.encode()).hexdigest()


def test_damaged_vectors_are_found_and_encoded_again(table: Path, tmp_path: Path, clip: FrozenClip) -> None:
    """Old mistake: a page of zeros was trained on."""
    whole, _ = encode_pairs(table, tmp_path / "v", clip)
    path = tmp_path / "v" / "image.npy"
    good = path.read_bytes()
    path.write_bytes(good[:-32] + bytes(32))
    with pytest.raises(ValueError, match=r"are damaged; type: rm .*000000.json, and repeat the command"):
        encode_pairs(table, tmp_path / "v", clip)
    (tmp_path / "v" / "000000.json").unlink()
    assert encode_pairs(table, tmp_path / "v", clip)[0].digest == whole.digest
    assert path.read_bytes() == good


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


def test_a_disk_that_is_full_at_a_part_is_said_plainly(
    table: Path, tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: `1572864 requested and 249968 written`."""
    monkeypatch.setattr("clipsonic.pair_encoding.PART", 2)
    real, count = clip.encode_image, 0

    def fill(pictures: object) -> object:
        nonlocal count
        count += 1
        if count == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))
        return real(pictures)  # type: ignore[arg-type]

    monkeypatch.setattr(clip, "encode_image", fill)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError, match=r"v cannot be written \(.*too large.*\): make room, and repeat the command"):
            encode_pairs(table, tmp_path / "v", clip)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list((tmp_path / "v").glob(".*"))
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


def test_a_npz_takes_little_more_memory_than_its_size(
    tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: 3.5 times; float64, quotients and bytes for the digest, of all vectors at once."""
    monkeypatch.setattr(pairs_module, "ROWS", 256)
    image, text = np.random.default_rng(0).normal(size=(2, 100_000, 8)).astype(np.float32)
    np.savez(tmp_path / "p.npz", image=image, text=text)
    tracemalloc.start()
    try:
        read_pairs(tmp_path / "p.npz", clip)
        assert tracemalloc.get_traced_memory()[1] < 1.3 * (image.nbytes + text.nbytes)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("count", [0, 1, 7, 130])
def test_blocks_of_a_npz_are_bit_for_bit_what_the_whole_is(
    tmp_path: Path, clip: FrozenClip, monkeypatch: pytest.MonkeyPatch, kind: str, order: Literal["C", "F"], count: int
) -> None:
    monkeypatch.setattr(pairs_module, "ROWS", 3)
    drawn = np.random.default_rng(0).normal(size=(2, count, 8)).astype(kind)
    image, text = (np.array(each, order=order) for each in drawn)
    np.savez(tmp_path / "p.npz", image=image, text=text)
    found = read_pairs(tmp_path / "p.npz", clip)

    def unit(vectors: np.ndarray) -> np.ndarray:
        single = vectors.astype(np.float32)
        return (single / np.linalg.norm(single.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)

    np.testing.assert_array_equal(found.image, unit(image))
    np.testing.assert_array_equal(found.text, unit(text))
    assert found.digest == hashlib.sha256(unit(image).tobytes() + unit(text).tobytes()).hexdigest()


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
    monkeypatch.setattr(encoding, "PART", 2)
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
