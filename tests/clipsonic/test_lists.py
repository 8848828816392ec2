"""Lists in the forms that datasets are published in, and the files that their lines mean."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from clipsonic.lists import (
    Item,
    Line,
    add_captions,
    items_of_folder,
    items_of_list,
    read_captions,
    read_lines,
)

VGGSOUND = '---g-f_I2yQ,1,"people marching",test\n--0PQM4-hqg,30,"waterfall burbling",train\n'
AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption\n7,abc_DEF-123,20,a bell\n8,abc_DEF-123,20,a ringing bell\n"
MUSIC = {"videos": {"acoustic_guitar": ["M3dekVSwNjY", "0o22Fy2Hr3s"], "trumpet tuba": ["8EU0xM-pQOI"]}}
CLIPSEP = "data/MUSIC/solo/audio/tuba/8EU0xM-pQOI.wav,data/MUSIC/solo/preprocessed/tuba/8EU0xM-pQOI,41,tuba\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# The forms


def test_vggsound(tmp_path: Path) -> None:
    assert read_lines(written(tmp_path, "vggsound.csv", VGGSOUND)) == [
        Line("---g-f_I2yQ_000001", None, "---g-f_I2yQ", 1.0, 11.0, None, "people marching", "test"),
        Line("--0PQM4-hqg_000030", None, "--0PQM4-hqg", 30.0, 40.0, None, "waterfall burbling", "train"),
    ]


def test_audiocaps(tmp_path: Path) -> None:
    assert read_lines(written(tmp_path, "test.csv", AUDIOCAPS)) == [
        Line("7", None, "abc_DEF-123", 20.0, 30.0, "a bell"),
        Line("8", None, "abc_DEF-123", 20.0, 30.0, "a ringing bell"),
    ]


def test_the_real_audiocaps_list(media: Path, tree: Path) -> None:
    path = media / "captions" / "audiocaps-test.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    touch(tree, f"{rows[0]['youtube_id']}_{int(rows[0]['start_time']):06d}.mp4", f"Y{rows[1]['youtube_id']}.webm")
    items = items_of_list(path, tree)
    assert [item.id for item in items] == [row["audiocap_id"] for row in rows] and len(items) == 4875
    there = [item for item in items if item.fault is None]
    assert {item.caption for item in there} == {
        row["caption"] for row in rows if row["youtube_id"] in (rows[0]["youtube_id"], rows[1]["youtube_id"])
    }
    assert len(there) == 10 and {item.kind for item in items if item.fault} == {"missing"}


def test_music(tmp_path: Path) -> None:
    lines = read_lines(written(tmp_path, "MUSIC_solo_videos.json", MUSIC))
    assert [line.id for line in lines] == [
        "acoustic_guitar/M3dekVSwNjY",
        "acoustic_guitar/0o22Fy2Hr3s",
        "trumpet tuba/8EU0xM-pQOI",
    ]
    assert [line.label for line in lines] == ["acoustic guitar", "acoustic guitar", "trumpet tuba"]
    assert {line.start_s for line in lines} == {None}


def test_clipsep(tmp_path: Path) -> None:
    [line] = read_lines(written(tmp_path, "train.csv", CLIPSEP))
    assert line == Line("8EU0xM-pQOI", youtube_id="8EU0xM-pQOI", label="tuba")
    [line] = read_lines(
        written(tmp_path, "test.csv", "data/vggsound/audio/9/1/91B4VpTpB-Q.wav,a/91B4VpTpB-Q,12,police car (siren)\n")
    )
    assert (line.youtube_id, line.label) == ("91B4VpTpB-Q", "police car (siren)")


def test_ones_own(tmp_path: Path) -> None:
    text = "note,video,start_time,end_time,label,split,id\nx,a/b.mp4,1.5,9,bell,train,\n,c.webm,,,,,mine\n"
    expected = [
        Line("a/b_000001.500", "a/b.mp4", None, 1.5, 9.0, None, "bell", "train"),
        Line("mine", "c.webm"),
    ]
    assert read_lines(written(tmp_path, "own.csv", "\ufeff" + text)) == expected
    objects = [
        {"video": "a/b.mp4", "start_time": 1.5, "end_time": 9, "label": "bell", "split": "train"},
        {"video": "c.webm", "id": "mine", "label": None},
    ]
    assert read_lines(written(tmp_path, "own.json", objects)) == expected


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("a.csv", "abc,def\n", "a.csv, line 1 is in no form that is known .VGGSound's, .* found 'abc,def'"),
        ("a.csv", "x,1,a,train\nx,soon,a,train\n", "line 2 is in no form that is known"),
        ("a.csv", "\n\nx,1,a,train\n\nx,soon,a,train\n", "line 5 is in no form that is known"),
        ("a.csv", 'video,caption\n\nv.mp4,"a\nbell"\n\n,a bell\n', "line 6: expected a video or a youtube_id, found"),
        ("a.csv", "video,youtube_id\nv.mp4,abc\n", "line 2: expected a video or a youtube_id, found"),
        ("a.csv", "video,caption\n,a bell\n", "line 2: expected a video or a youtube_id, found"),
        ("a.csv", "video,start_time\nv.mp4,-3\n", "line 2: start_time '-3' is no number of seconds from 0 on"),
        ("a.csv", "video,start_time,end_time\nv.mp4,3,2\n", "line 2: end_time 2 is not after start_time 3"),
        ("a.csv", "", "lists no video"),
        ("a.json", '{"clips": []}', "is no list that is known: expected MUSIC's"),
        ("a.json", "{", "is neither CSV nor JSON in UTF-8"),
        ("a.csv", "video,id\na.mp4,x\nb.mp4,x\n", "id 'x' is there twice, with different content"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, tree: Path, name: str, text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        items_of_list(written(tmp_path, name, text), tree)


# Their files


@pytest.mark.parametrize(
    ("file", "is_cut"),
    [
        ("ab_DEF-1234_000030.mp4", True),
        ("ab_DEF-1234_30.webm", True),
        ("ab_DEF-1234_30.000_40.000.mkv", True),
        ("ab_DEF-1234_30000_40000.mp4", True),
        ("drum kit/ab_DEF-1234_000030.mp4", True),
        ("ab_DEF-1234.mp4", False),
        ("train/Yab_DEF-1234.MP4", False),
        ("My first drums [ab_DEF-1234].webm", False),
    ],
)
def test_names_that_downloaders_give(tmp_path: Path, tree: Path, file: str, is_cut: bool) -> None:
    touch(tree, file, "ab_DEF-1234_000040.mp4", "ab_DEF-12345.mp4", "other.mp4")
    path = written(tmp_path, "list.csv", 'ab_DEF-1234,30,"drum kit",train\n')
    assert items_of_list(path, tree) == [
        Item(
            "ab_DEF-1234_000030", file, None if is_cut else 30.0, 10.0 if is_cut else 40.0, None, "drum kit"
        )  # a file cut out begins at its own beginning
    ]


def test_a_file_that_names_the_second_comes_first(tmp_path: Path, tree: Path) -> None:
    touch(tree, "whole/abc.mp4", "cut/abc_000030.mp4")
    [item] = items_of_list(written(tmp_path, "l.csv", "abc,30,drum,train\n"), tree)
    assert item.video == "cut/abc_000030.mp4" and item.start_s is None


def test_files_that_are_trimmed_begin_at_their_beginning(tmp_path: Path, tree: Path) -> None:
    touch(tree, "abc.mp4")
    path = written(tmp_path, "l.csv", "abc,30,drum,train\n")
    assert [(i.start_s, i.end_s) for i in items_of_list(path, tree)] == [(30.0, 40.0)]
    assert [(i.start_s, i.end_s) for i in items_of_list(path, tree, trimmed=True)] == [(None, 10.0)]


def test_a_video_without_a_second_is_its_only_cut(tmp_path: Path, tree: Path) -> None:
    touch(tree, "8EU0xM-pQOI_000012.mp4")
    assert items_of_list(written(tmp_path, "l.csv", CLIPSEP), tree)[0].video == "8EU0xM-pQOI_000012.mp4"


def test_the_folder_of_the_label_decides(tmp_path: Path, tree: Path) -> None:
    touch(tree, "acoustic_guitar/M3dekVSwNjY.mp4", "tuba/M3dekVSwNjY.mp4", "0o22Fy2Hr3s.mp4", "0o22Fy2Hr3s.webm")
    found = {item.id: item for item in items_of_list(written(tmp_path, "m.json", MUSIC), tree)}
    assert found["acoustic_guitar/M3dekVSwNjY"].video == "acoustic_guitar/M3dekVSwNjY.mp4"
    unclear = found["acoustic_guitar/0o22Fy2Hr3s"]
    assert unclear.video == "" and unclear.kind == "ambiguous"
    assert unclear.fault == "several files fit: 0o22Fy2Hr3s.mp4, 0o22Fy2Hr3s.webm"
    missing = found["trumpet tuba/8EU0xM-pQOI"]
    assert (missing.kind, missing.fault) == ("missing", "no video is named 8EU0xM-pQOI")


def test_milliseconds_are_seconds_to_the_last_bit(tmp_path: Path, tree: Path) -> None:
    """Old mistake: 1000 times 1.001 is not 1001."""
    touch(tree, "abc_1001_11001.mp4")
    own = written(tmp_path, "own.csv", "youtube_id,start_time\nabc,1.001\n")
    assert [item.video for item in items_of_list(own, tree)] == ["abc_1001_11001.mp4"]


def test_a_name_means_what_any_of_its_ids_may(tmp_path: Path, tree: Path) -> None:
    touch(tree, "abc_30_40.mp4", "abc_000030.mp4", "def_0_10000.mp4")
    own = written(tmp_path, "own.csv", "youtube_id,start_time\nabc_30,40\nabc,30\nabc,0.03\ndef,0\nabc,40\n")
    assert [item.video or item.fault for item in items_of_list(own, tree)] == [
        "abc_30_40.mp4",
        "several files fit: abc_000030.mp4, abc_30_40.mp4",
        "abc_30_40.mp4",
        "def_0_10000.mp4",
        "no video is named abc_000040 or abc_40 or abc",
    ]


def test_many_cuts_of_one_video_take_no_longer_each(tmp_path: Path, tree: Path) -> None:
    """Old mistake: each line read all cuts of its id, and 8000 of one took 26 s."""
    calls = Counter[int]()
    for count in (50, 200):
        folder = tree / str(count)
        touch(folder, *(f"abc_{second:06d}.mp4" for second in range(count)))
        lines = written(tmp_path, "l.csv", "".join(f"abc,{second},drum,train\n" for second in range(count)))

        def called(*_: object, count: int = count) -> None:
            calls[count] += 1

        sys.setprofile(called)
        try:
            items = items_of_list(lines, folder)
        finally:
            sys.setprofile(None)
        assert all(item.fault is None for item in items)
    assert calls[200] < 5 * calls[50]


def test_what_is_missing_is_named_as_it_was_looked_for(tmp_path: Path, tree: Path) -> None:
    touch(tree, "abc_000031.mp4", "abcd.mp4")
    path = written(tmp_path, "l.csv", "abc,30,drum,train\nabc,30,drum,train\n")
    assert [(item.kind, item.fault) for item in items_of_list(path, tree)] == [
        ("missing", "no video is named abc_000030 or abc_30 or abc"),
        ("listed twice", "listed twice"),
    ]
    own = written(tmp_path, "own.csv", "video\na/b.mp4\n")
    assert [(item.kind, item.fault) for item in items_of_list(own, tree)] == [("missing", "no video a/b.mp4")]


def test_a_split_is_chosen(tmp_path: Path, tree: Path) -> None:
    path = written(tmp_path, "vggsound.csv", VGGSOUND)
    assert [item.label for item in items_of_list(path, tree, "train")] == ["waterfall burbling"]
    with pytest.raises(ValueError, match="has no split 'val'; it has test, train"):
        items_of_list(path, tree, "val")
    with pytest.raises(ValueError, match="has no split 'train'; it has no splits"):
        items_of_list(written(tmp_path, "m.json", MUSIC), tree, "train")


def test_a_list_points_into_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder of videos: give the one that the list points into"):
        items_of_list(written(tmp_path, "m.json", MUSIC), tmp_path / "gone")


# Folders and captions


def test_a_folder_is_its_videos(tree: Path) -> None:
    touch(tree, "b.mp4", "a/c.WEBM", ".hidden.mp4", "notes.txt")
    assert items_of_folder(tree) == [Item("a/c", "a/c.WEBM"), Item("b", "b.mp4")]


def test_two_files_of_one_id_are_refused(tree: Path) -> None:
    touch(tree, "a.mp4", "a.webm")
    with pytest.raises(ValueError, match="would both get the id 'a'"):
        items_of_folder(tree)


@pytest.mark.parametrize("folder", ["gone", "videos"])
def test_no_videos_is_an_error(tmp_path: Path, tree: Path, folder: str) -> None:
    with pytest.raises(ValueError, match=r"is not a folder of videos|holds no video \(.mp4"):
        items_of_folder(tmp_path / folder)


def test_every_video_needs_its_caption(tree: Path) -> None:
    touch(tree, "a.mp4", "b.mp4", "c.mp4")
    items = items_of_folder(tree)
    with pytest.raises(ValueError, match="2 videos have no caption, the first is 'b'"):
        add_captions(items, {"a": "a low tone"})
    assert [item.caption for item in add_captions(items, dict.fromkeys("abc", "x"))] == ["x"] * 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("id,text\na,b\n", "column caption missing; found id, text"),
        ("", "column caption, id missing"),
        ("id,caption\na,b\na,c\n", "id 'a' is there twice"),
        ("id,caption\na\n", "line 2: expected an id and a caption"),
        ("id,caption\na,b\n,c\n", "line 3: expected an id and a caption"),
    ],
)
def test_a_bad_csv_is_refused(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read_captions(written(tmp_path, "c.csv", text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes(b"id,caption\na,\xff\xfe\n")
    with pytest.raises(ValueError, match="c.csv is not a CSV in UTF-8"):
        read_captions(tmp_path / "c.csv")


def test_a_csv_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes('\ufeffid,length,caption\r\na,3,"one, two"\r\n'.encode())
    assert read_captions(tmp_path / "c.csv") == {"a": "one, two"}


def test_links_to_folders_are_followed_and_no_folder_is_read_twice(tmp_path: Path, tree: Path) -> None:
    touch(tree, "b/1.mp4", "c.mp4", "b.mp4")
    touch(tmp_path / "elsewhere", "2.mp4", "deep/3.mp4")
    (tree / "a").symlink_to(tree / "b")  # read as b
    (tree / "b" / "up").symlink_to(tree)
    (tree / "d").symlink_to(tmp_path / "elsewhere")
    (tree / "e").symlink_to(tmp_path / "elsewhere" / "deep")  # read as d/deep
    (tmp_path / "elsewhere" / "loop").symlink_to(tree / "d")
    (tree / "broken").symlink_to(tmp_path / "gone")
    assert [item.id for item in items_of_folder(tree)] == ["b/1", "b", "c", "d/2", "d/deep/3"]
    [item] = items_of_list(written(tmp_path, "own.csv", "video\nd/deep/3.mp4\n"), tree)
    assert item.fault is None


def test_a_path_goes_through_any_link(tmp_path: Path, tree: Path) -> None:
    """Old mistake: of two links to one folder, what the list named through the second was missing."""
    touch(tmp_path / "real", "x.mp4", "notes.txt", ".hidden.mp4")
    for name in ("train", "val"):
        (tree / name).symlink_to(tmp_path / "real")
    listed = "video\ntrain/x.mp4\n./val//x.mp4\n"
    items = items_of_list(written(tmp_path, "own.csv", listed), tree)
    assert [(item.video, item.fault) for item in items] == [("train/x.mp4", None), ("val/x.mp4", None)]
    outside = tmp_path / "real" / "x.mp4"
    names = ("val/gone.mp4", "val/notes.txt", "val/.hidden.mp4", "val/../../real/x.mp4", outside, f"{'x' * 300}.mp4")
    items = items_of_list(written(tmp_path, "own.csv", "\n".join(["video", *map(str, names)])), tree)
    assert [item.kind for item in items] == ["missing"] * len(names)


@pytest.mark.parametrize("videos", [{"x": 3}, {"x": "abc"}, {"x": [3]}, {"x": None}])
def test_a_list_of_music_that_is_none(tmp_path: Path, tree: Path, videos: object) -> None:
    """Old mistakes: a traceback, or a video of each letter."""
    path = written(tmp_path, "list.json", json.dumps({"videos": videos}))
    with pytest.raises(ValueError, match=r"list.json: x of videos must be an array of YouTube ids, found "):
        items_of_list(path, tree)


def test_a_cell_that_is_too_long_is_one_line(tmp_path: Path, tree: Path) -> None:
    long = "x" * 140_000
    with pytest.raises(ValueError, match=r"c.csv is not a CSV in UTF-8 \(field larger than field limit"):
        read_captions(written(tmp_path, "c.csv", f"id,caption\na,{long}\n"))
    with pytest.raises(ValueError, match=r"l.csv is neither CSV nor JSON in UTF-8 \(field larger"):
        items_of_list(written(tmp_path, "l.csv", f"video,caption\na.mp4,{long}\n"), tree)


def test_captions_of_audiocaps_own_list(tmp_path: Path) -> None:
    lines = "audiocap_id,youtube_id,start_time,caption\n103549,7fmOlUlwoNg,20,Rattling\n103548,6BJ455B1aAs,0,A rocket\n"
    assert read_captions(written(tmp_path, "test.csv", lines)) == {"103549": "Rattling", "103548": "A rocket"}
