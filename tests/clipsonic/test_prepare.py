"""Preparing videos: whoever does the work, and however often it is broken off, the same bytes come of it."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipsonic.clip import FrozenClip
from clipsonic.clips import Preparation
from clipsonic.lists import Item, add_captions, items_of_folder, items_of_list
from clipsonic.prepare import Place, Prepared, prepare
from clipsonic.prepared import PreparedData
from clipsonic.preset import Preset
from clipsonic.shards import shards_of

Maker = Callable[..., None]


@pytest.fixture(scope="session")
def how(preset: Preset, clip_folder: Path) -> Preparation:
    return Preparation(preset.mel, str(clip_folder), 4.0)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    """Twenty videos, seven of them broken: seven shards of three."""
    folder = tmp_path_factory.mktemp("many")
    names = ("low", "corrupt", "high", "more/stereo", "mute", "low", "silent", "high", "short", "low")
    for index in range(20):
        shutil.copy(videos / f"{names[index % 10]}.mp4", folder / f"{index:02d}.mp4")
    (folder / "11.mp4").unlink()
    shutil.copy(videos / "high.mp4", folder / "11.mp4")
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, many: Path, how: Preparation) -> Path:
    """What comes of the twenty in one go, in one process."""
    out = tmp_path_factory.mktemp("whole") / "data"
    assert prepare(many, items_of_folder(many), out, how) == Prepared(13, 7, 0)
    return out


def content(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def left(folder: Path) -> list[str]:
    """What stands in a folder beside the data, the unfinished among it."""
    return sorted(path.name for path in folder.iterdir())


# What comes of it


def test_what_cannot_be_used_is_counted_and_named(prepared_folder: Path) -> None:
    rows = [json.loads(line) for line in (prepared_folder / "skipped.jsonl").read_text().splitlines()]
    assert [(row["id"], row["file"], row["kind"]) for row in rows] == [
        ("blind", "blind.mp4", "no picture"),
        ("corrupt", "corrupt.mp4", "broken"),
        ("mute", "mute.mp4", "no sound"),
        ("short", "short.mp4", "too short"),
        ("silent", "silent.mp4", "silent"),
    ]
    assert all(next(iter(row)) == "schema" for row in rows)
    assert [row["reason"] for row in rows if row["id"] == "short"] == ["too short: 0.13 s, 0.26 s needed"]
    record = json.loads((prepared_folder / "prepared.json").read_text())
    assert (record["videos"], record["prepared"], record["skipped"]) == (8, 3, 5)
    assert record["skipped_kinds"] == dict.fromkeys(["broken", "no picture", "no sound", "silent", "too short"], 1)


def test_shards_follow_from_the_list_alone(how: Preparation) -> None:
    for count, sizes in {1: [1], 8: [1] * 8, 20: [3] * 6 + [2], 64: [8] * 8, 1000: [8] * 125}.items():
        items = [Item(str(k), f"{k}.mp4") for k in range(count)]
        shards = shards_of(items, how)
        assert [len(shard.items) for shard in shards] == sizes
        assert [item for shard in shards for item in shard.items] == items
    assert len(shards_of([Item("x", "x.mp4")] * 200_000, how)) == 512


def test_a_film_of_many_clips_is_a_shard_of_its_own(how: Preparation) -> None:
    """Old mistake: 24 films of an hour were eight shards of three, for eight workers at most."""
    films, clips = ([Item(str(k), f"{k}.mp4", end_s=end) for k in range(64)] for end in (None, 10.0))
    missing = [Item("gone", "", fault="listed twice", kind="listed twice")]
    every = replace(how, cut="all")
    for items, given, count in (
        (films, every, 64),
        (films[:24], every, 24),
        (films * 16, every, 512),
        (films * 16, how, 128),  # a clip each
        (clips, every, 8),
        (clips + missing, every, 9),
    ):
        assert len(shards_of(items, given)) == count


def test_labels_become_texts(tmp_path: Path, videos: Path, how: Preparation) -> None:
    path = tmp_path / "own.json"
    path.write_text(
        json.dumps(
            [
                {"video": "low.mp4", "label": "low tone", "id": "a"},
                {"video": "gone.mp4"},
                {"video": "low.mp4", "label": "high tone", "caption": "a tone, high", "start_time": 0.125},
            ]
        )
    )
    assert prepare(videos, items_of_list(path, videos), tmp_path / "data", how) == Prepared(2, 1, 0, 1)
    data = PreparedData(tmp_path / "data")
    assert data.ids == ["a", "low_000000.125"] and data.captions() == ["a photo of low tone", "a tone, high"]
    assert data.captions_or_labels() == ["low tone", "a tone, high"]
    np.testing.assert_allclose(data.vectors("clip_text"), FrozenClip(how.clip).encode_text(data.captions()), atol=1e-6)
    assert json.loads((tmp_path / "data" / "skipped.jsonl").read_text())["reason"] == "no video gone.mp4"


def test_texts_longer_than_the_context_are_counted(tmp_path: Path, videos: Path, how: Preparation) -> None:
    texts = {"low": "the " * 15, "high": "the high", "more/stereo": "the " * 15}
    items = [
        Item(name, f"{name}.mp4", end_s=end, caption=text)
        for (name, text), end in zip(texts.items(), (None, None, 0.1), strict=True)
    ]
    found = prepare(videos, items, tmp_path / "data", how)
    assert found == Prepared(2, 1, 0, cut_texts=1)  # and not of what is skipped
    record = json.loads((tmp_path / "data" / "prepared.json").read_text())
    assert record["cut_texts"] == 1
    assert prepare(videos, items, tmp_path / "data", how) == found  # done already
    del record["cut_texts"]  # as earlier versions wrote it
    (tmp_path / "data" / "prepared.json").write_text(json.dumps(record))
    assert prepare(videos, items, tmp_path / "data", how) == Prepared(2, 1, 0)


def test_only_texts_of_files_that_are_there_are_encoded(
    tmp_path: Path, videos: Path, how: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = FrozenClip.encode_text

    def encode_text(clip: FrozenClip, texts: Sequence[str]) -> np.ndarray:
        encoded.extend(texts)
        return encode(clip, texts)

    monkeypatch.setattr(FrozenClip, "encode_text", encode_text)
    items = [Item(name, "", caption=f"the {name}", fault="no video", kind="missing") for name in ("x", "y")]
    prepare(videos, [*items, Item("low", "low.mp4", caption="the low")], tmp_path / "data", how)
    assert encoded == ["the low"]


def test_texts_are_of_all_or_of_none(tmp_path: Path, videos: Path, how: Preparation) -> None:
    items = [Item("a", "low.mp4", label="x"), Item("b", "high.mp4")]
    with pytest.raises(ValueError, match="1 videos have neither caption nor label, the first is 'b'"):
        prepare(videos, items, tmp_path / "data", how)
    assert left(tmp_path) == []


def test_ids_are_of_one_clip(tmp_path: Path, videos: Path, how: Preparation) -> None:
    items = [Item("a", "low.mp4"), Item("a+0001", "high.mp4")]
    with pytest.raises(ValueError, match="'a.0001' would be the id of a later clip of 'a' too"):
        prepare(videos, items, tmp_path / "data", how)


def test_all_clips_of_all_videos(tmp_path: Path, make_video: Maker, make_tone: Maker, how: Preparation) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    make_video(videos / "a.mp4", make_tone(300, 0.7), ((200, 30, 30),) * 5)
    make_video(videos / "b.mp4", make_tone(300, 0.8), ((200, 30, 30),) * 2)  # its pictures end at half a second
    make_video(videos / "c.mp4", None)
    assert prepare(videos, items_of_folder(videos), tmp_path / "data", replace(how, cut="all")) == Prepared(5, 2, 0)
    data = PreparedData(tmp_path / "data")
    assert data.ids == [
        "a",
        "a+0001",
        "a+0002",
        "b",
        "b+0001",
    ]  # what is left of a second of sound is no clip, and not skipped
    rows = [json.loads(line) for line in (tmp_path / "data" / "skipped.jsonl").read_text().splitlines()]
    assert [(row["id"], row["kind"]) for row in rows] == [("b+0002", "no picture"), ("c", "no sound")]


def test_if_all_are_skipped_nothing_is_written(tmp_path: Path, videos: Path, how: Preparation) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("corrupt", "silent"):
        shutil.copy(videos / f"{name}.mp4", bad)
    with pytest.raises(ValueError, match=r"none of 2 videos could be prepared \(corrupt.mp4: .*silent"):
        prepare(bad, items_of_folder(bad), tmp_path / "data", how)
    assert left(tmp_path) == ["bad"]


def test_a_folder_with_content_is_not_written_into(tmp_path: Path, videos: Path, how: Preparation) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty: choose another --out"):
        prepare(videos, items_of_folder(videos), tmp_path, how)


def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, videos: Path, how: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: told as a folder in the hidden one, which cannot be made."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError) as told:
        prepare(videos, items_of_folder(videos), tmp_path / "data", how)
    assert str(told.value) == f"{tmp_path} cannot be written to (Permission denied): choose another --out"


def test_progress_counts_every_video_and_is_the_callers(
    tmp_path: Path, videos: Path, how: Preparation, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, int]] = []
    prepare(videos, items_of_folder(videos), tmp_path / "data", how, report=lambda *at: seen.append(at))
    assert seen == [(done, 8) for done in range(9)]
    assert "examples/s" not in capfd.readouterr().err


# The same bytes


def test_workers_change_nothing(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    prepare(many, items_of_folder(many), tmp_path / "data", how, workers=2)
    assert content(tmp_path / "data") == content(whole)
    assert left(tmp_path) == ["data"]


def test_ranks_change_nothing(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    """Rank 0 waits for what rank 1 has not done yet; they meet in the file system alone."""
    found: list[Prepared | None] = []
    told: list[tuple[int, int]] = []

    def rank_0() -> None:
        items, out = items_of_folder(many), tmp_path / "data"
        found.append(prepare(many, items, out, how, place=Place(0, 2), report=lambda *done: told.append(done)))

    waiting = threading.Thread(target=rank_0)
    waiting.start()
    while not told or told[-1][1] < 20:  # rank 0 has done its share, and tells of everybody's
        assert waiting.is_alive()
    assert told[-1][0] == max(done for done, total in told if total < 20)
    assert not (tmp_path / "data").exists()
    assert prepare(many, items_of_folder(many), tmp_path / "data", how, place=Place(1, 2)) is None
    waiting.join()
    assert found == [Prepared(13, 7, 0)]
    assert content(tmp_path / "data") == content(whole)
    assert left(tmp_path) == ["data"]
    for rank in (0, 1):  # and the same command again has nothing to do
        again = prepare(many, items_of_folder(many), tmp_path / "data", how, place=Place(rank, 2))
        assert again == (None if rank else Prepared(13, 7, 0))


def test_threads_change_nothing(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        prepare(many, items_of_folder(many), tmp_path / "data", how)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert content(tmp_path / "data") == content(whole)


def test_the_place_of_the_videos_changes_nothing(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    moved = shutil.copytree(many, tmp_path / "moved")
    prepare(moved, items_of_folder(moved), tmp_path / "data", how)
    assert content(tmp_path / "data") == content(whole)


def test_the_digest_is_of_what_is_in_the_data(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    digests = {PreparedData(whole).digest}
    videos = shutil.copytree(many, tmp_path / "videos")
    shutil.copy(many / "11.mp4", videos / "00.mp4")
    prepare(videos, items_of_folder(videos), tmp_path / "other", how)
    prepare(many, items_of_folder(many), tmp_path / "rate", replace(how, frames_per_second=1.0))
    texts = {item.id: "a tone" for item in items_of_folder(many)}
    prepare(many, add_captions(items_of_folder(many), texts), tmp_path / "texts", how)
    for name in ("other", "rate", "texts"):
        digests.add(PreparedData(tmp_path / name).digest)
    assert len(digests) == 4


# Broken off


class StopError(Exception):
    """Stands for whatever ends a preparation in the middle."""


def stop_at(count: int) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if done == count:
            raise StopError

    return report


def test_what_is_finished_is_kept(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    out = tmp_path / "data"
    with pytest.raises(StopError):
        prepare(many, items_of_folder(many), out, how, report=stop_at(8))
    assert left(tmp_path) == [".data.part"]
    assert left(tmp_path / ".data.part" / "data") == [f"data-0000{k}-of-00007.arrow" for k in (0, 1)]  # nothing half
    seen: list[tuple[int, int]] = []
    assert prepare(many, items_of_folder(many), out, how, report=lambda *at: seen.append(at)) == Prepared(13, 7, 0)
    assert seen[0] == (6, 20) and seen[-1] == (20, 20) and len(seen) == 15
    assert content(out) == content(whole)
    assert left(tmp_path) == ["data"]


def test_shards_of_an_earlier_version_are_not_taken(
    tmp_path: Path, many: Path, how: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on with what was shared out otherwise begins anew, and nothing of it is left."""
    items, every = items_of_folder(many), replace(how, cut="all")
    with monkeypatch.context() as earlier:
        earlier.setattr("clipsonic.prepare.shards_of", lambda items, _: shards_of(items, how))
        with pytest.raises(StopError):
            prepare(many, items, tmp_path / "data", every, report=stop_at(8))
    assert "data-00000-of-00007.arrow" in left(tmp_path / ".data.part" / "data")
    seen: list[tuple[int, int]] = []
    for name in ("data", "fresh"):
        prepare(many, items, tmp_path / name, every, report=lambda *at: seen.append(at))
    assert [at for at in seen if at[0] == 0] == [(0, 20)] * 2
    assert content(tmp_path / "data") == content(tmp_path / "fresh")
    assert "data-00000-of-00020.arrow" in left(tmp_path / "data")


def test_another_command_is_refused(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    out = tmp_path / "data"
    with pytest.raises(StopError):
        prepare(many, items_of_folder(many), out, how, report=stop_at(8))
    before = content(tmp_path)
    items = items_of_folder(many)
    other_mel = replace(how.mel, floor=1e-4)
    for what, given, changed in (
        ("another --fps: repeat its own command", items, replace(how, frames_per_second=2.0)),
        ("another --cut", items, replace(how, cut="all")),
        ("another mel definition", items, replace(how, mel=other_mel)),
        ("another CLIP", items, replace(how, clip="micro")),
        ("another list of videos and another --fps", items[1:], replace(how, frames_per_second=2.0)),
        ("another list of videos", add_captions(items, {i.id: "x" for i in items}), how),
    ):
        with pytest.raises(ValueError, match=f"holds an unfinished preparation with {what}"):
            prepare(many, given, out, changed)
    assert content(tmp_path) == before
    for what, changed in (("another --fps: choose another --out", replace(how, frames_per_second=2.0)),):
        with pytest.raises(ValueError, match=f"holds data prepared with {what}"):
            prepare(many, items, whole, changed)
    assert prepare(many, items, whole, how) == Prepared(13, 7, 0)  # done already


def test_a_video_that_changed_is_noticed(tmp_path: Path, many: Path, how: Preparation) -> None:
    videos = shutil.copytree(many, tmp_path / "videos")
    with pytest.raises(StopError):
        prepare(videos, items_of_folder(videos), tmp_path / "data", how, report=stop_at(8))
    with (videos / "19.mp4").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match="with another list of videos"):
        prepare(videos, items_of_folder(videos), tmp_path / "data", how)


def test_two_at_the_same_work_are_refused(tmp_path: Path, many: Path, how: Preparation) -> None:
    said = []

    def report(done: int, total: int) -> None:
        if done == 3:
            with pytest.raises(ValueError, match="another process is at work in"):
                prepare(many, items_of_folder(many), tmp_path / "data", how)
            said.append(done)

    prepare(many, items_of_folder(many), tmp_path / "data", how, report=report)
    assert said == [3]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: what a full disk does, to this process alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    out = tmp_path / "data"
    smallest = min(path.stat().st_size for path in whole.glob("*.arrow"))
    with full_disk(smallest), pytest.raises(OSError, match=r"arrow cannot be written \(File too large\).*make room"):
        prepare(many, items_of_folder(many), out, how)
    assert left(tmp_path) == [".data.part"] and not list((tmp_path / ".data.part").rglob("*.part"))
    prepare(many, items_of_folder(many), out, how)
    assert content(out) == content(whole)


KILLED = """
import os, signal, sys
from pathlib import Path
from clipsonic.clips import Preparation
from clipsonic.lists import items_of_folder
from clipsonic.prepare import prepare
from clipsonic.preset import load_preset

def report(done, total):
    if done >= 8:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    videos, out, preset, clip, workers = sys.argv[1:]
    how = Preparation(load_preset(preset).mel, clip, 4.0)
    prepare(Path(videos), items_of_folder(Path(videos)), Path(out), how, workers=int(workers), report=report)
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.large)])
def test_a_killed_preparation_goes_on(
    tmp_path: Path, many: Path, how: Preparation, whole: Path, preset_file: Path, workers: int
) -> None:
    script, out = tmp_path / "killed.py", tmp_path / "data"
    script.write_text(KILLED)
    given = [str(each) for each in (many, out, preset_file, how.clip, workers)]
    child = subprocess.run([sys.executable, str(script), *given], capture_output=True, text=True, timeout=300)
    assert child.returncode == -signal.SIGKILL, child.stderr  # and its pipes are closed: no worker lives on
    finished = left(tmp_path / ".data.part" / "records")
    assert not out.exists() and finished[:1] == ["data-00000-of-00007.json"]
    assert prepare(many, items_of_folder(many), out, how) == Prepared(13, 7, 0)
    assert content(out) == content(whole)
    assert left(tmp_path) == ["data", "killed.py"]


@pytest.mark.large
def test_a_worker_that_was_killed_is_said(tmp_path: Path, many: Path, how: Preparation, whole: Path) -> None:
    def report(done: int, total: int) -> None:
        if done:
            for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)

    with pytest.raises(ChildProcessError, match="a worker process was killed, perhaps for want of memory"):
        prepare(many, items_of_folder(many), tmp_path / "data", how, workers=2, report=report)
    prepare(many, items_of_folder(many), tmp_path / "data", how)
    assert content(tmp_path / "data") == content(whole)


# Through the command


@pytest.mark.large
def test_torchrun_and_three_workers_give_the_same(
    tmp_path: Path, many: Path, how: Preparation, whole: Path, preset_file: Path
) -> None:
    given = ["prepare", many, "--preset", preset_file, "--clip", how.clip, "--fps", 4]
    ranks = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m", "clipsonic"]
    command = shutil.which("clipsonic") or str(Path(sys.executable).with_name("clipsonic"))
    for name, line in {
        "ranks": [*ranks, *given, "--workers", 2],
        "workers": [command, *given, "--workers", 3],
    }.items():
        arguments = [str(each) for each in (*line, "--out", tmp_path / name)]
        child = subprocess.run(arguments, capture_output=True, text=True, timeout=600)
        assert child.returncode == 0, child.stderr
        assert child.stdout == f"13 clips prepared in {tmp_path / name}\n"  # said once
        assert "7 skipped (1 broken, 2 no sound, 2 silent, 2 too short): see" in " ".join(child.stderr.split())
        assert content(tmp_path / name) == content(whole)
