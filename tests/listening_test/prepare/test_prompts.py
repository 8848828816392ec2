"""Prompts from a table and from images: paired by id, every row at fault named."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipsonic_listening_test import ListeningTestError
from clipsonic_listening_test.prepare.prompts import read_prompts


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "prompts.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_all_columns(tmp_path: Path) -> None:
    (tmp_path / "dog.png").write_bytes(b"")
    (tmp_path / "dog.mp4").write_bytes(b"")
    text = '\ufeffid,caption,lang,image,video,sound\np1,"ein Hund, der bellt",de,dog.png,dog.mp4,x.wav\np 2,a cat,,,,\n'
    prompts, notes = read_prompts(table(tmp_path, text), None)
    assert prompts is not None
    assert (prompts["p1"].text, prompts["p1"].lang) == ("ein Hund, der bellt", "de")
    assert prompts["p1"].image == tmp_path / "dog.png" and prompts["p1"].video == tmp_path / "dog.mp4"
    assert (prompts["p-2"].text, prompts["p-2"].lang, prompts["p-2"].image) == ("a cat", "en", None)
    assert notes == ["prompts.csv: columns sound are not read"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has columns none; expected id,caption"),
        ("id;caption\n", "has columns id;caption"),
        ("id,caption\n", "no rows"),
        ("id,caption\np1,a\np1,b\n,c\n", "line 3 has id 'p1' again; line 4 has no id"),
        ("id,caption\np1,a,b\n", "line 2 has too many columns"),
        ("id,caption,lang\np1,a,english!\n", "line 2 \\(p1\\): lang 'english!' is no language tag"),
        ("id,caption,image\np1,a,x.png\n", "image x.png is not there"),
        ("id,caption\np1,a\np2,\np3,\n", "prompts p2, p3 have neither caption nor image"),
        ('id,caption\np1,"a\n', "not a CSV table"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ListeningTestError, match=said):
        read_prompts(table(tmp_path, text), None)


def test_other_encodings_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ListeningTestError, match="not a CSV table in UTF-8"):
        read_prompts(table(tmp_path, "id,caption\np1,ein Kätzchen\n", "latin-1"), None)
    with pytest.raises(ListeningTestError, match="cannot be read"):
        read_prompts(tmp_path / "nowhere.csv", None)


def test_images_by_id(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("p1.jpg", "p2.png", ".p3.png", "notes.txt"):
        (images / name).write_bytes(b"")
    prompts, _ = read_prompts(None, images)
    assert prompts is not None and sorted(prompts) == ["p1", "p2"] and prompts["p1"].text is None
    given, _ = read_prompts(table(tmp_path, "id,caption\np1,a\np2,\np4,b\n"), images)
    assert given is not None
    assert given["p1"].text == "a" and given["p1"].image == images / "p1.jpg"
    assert given["p2"].image == images / "p2.png" and given["p4"].image is None


def test_bad_images_are_refused(tmp_path: Path) -> None:
    images = tmp_path / "images"
    with pytest.raises(ListeningTestError, match="is not a folder"):
        read_prompts(None, images)
    images.mkdir()
    with pytest.raises(ListeningTestError, match="holds no .bmp"):
        read_prompts(None, images)
    for name in ("p1.jpg", "p1.png"):
        (images / name).write_bytes(b"")
    with pytest.raises(ListeningTestError, match="several images of p1"):
        read_prompts(None, images)
    (images / "p1.png").unlink()
    with pytest.raises(ListeningTestError, match="has none for p2"):
        read_prompts(table(tmp_path, "id,caption\np1,a\np2,\n"), images)


def test_nothing_given_is_nothing() -> None:
    assert read_prompts(None, None) == (None, [])
