"""`clipsonic prepare`: folders and lists, what it says, and one line and exit code 2 for every mistake."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from clipsonic.cli import run
from clipsonic.commands.console import start_progress
from clipsonic.commands.prepare import _workers
from clipsonic.mel import LogMel
from clipsonic.prepared import PreparedData
from clipsonic.video import read_clips

Refused = Callable[..., str]


@pytest.fixture
def how(tmp_path: Path, preset_file: Path, clip_folder: Path) -> list[str]:
    out = str(tmp_path / "data")
    return ["--out", out, "--preset", str(preset_file), "--clip", str(clip_folder), "--fps", "4", "--workers", "1"]


def test_what_was_skipped_is_said_by_kind(
    tmp_path: Path, videos: Path, how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prepare", str(videos), *how]) == 0
    out, err = capsys.readouterr()
    assert out == f"3 clips prepared in {tmp_path / 'data'}\n"
    kinds = "1 broken, 1 no picture, 1 no sound, 1 silent, 1 too short"
    assert f"5 skipped ({kinds}): see {tmp_path / 'data' / 'skipped.jsonl'}" in err
    before = (tmp_path / "data" / "prepared.json").stat().st_mtime_ns
    assert run(["prepare", str(videos), *how]) == 0  # done already
    assert capsys.readouterr().out == out
    assert (tmp_path / "data" / "prepared.json").stat().st_mtime_ns == before


def test_a_list_and_its_split(tmp_path: Path, videos: Path, how: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "vggsound.csv"
    table.write_text('low,0,"low tone",train\nhigh,0,"high tone",test\ngone,7,"low tone",train\n')
    assert run(["prepare", str(table), "--folder", str(videos), "--split", "train", *how]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "2 listed, 1 with a file"  # before anything that takes long
    data = PreparedData(tmp_path / "data")
    assert data.ids == ["low_000000"] and data.captions() == ["a photo of low tone"]
    [line] = (tmp_path / "data" / "skipped.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "schema": 1,
        "id": "gone_000007",
        "file": "",
        "kind": "missing",
        "reason": "no video is named gone_000007 or gone_7 or gone",
    }


def test_a_list_stands_in_its_folder(tmp_path: Path, videos: Path, how: list[str]) -> None:
    shutil.copy(videos / "low.mp4", tmp_path)
    (tmp_path / "MUSIC.json").write_text(json.dumps({"videos": {"steel_drum": ["low"]}}))
    assert run(["prepare", str(tmp_path / "MUSIC.json"), "--cut", "all", *how]) == 0
    data = PreparedData(tmp_path / "data")
    assert data.ids == ["steel_drum/low", "steel_drum/low+0001"]
    assert set(data.captions()) == {"a photo of steel drum"}


def test_trimmed_files_begin_at_their_beginning(
    tmp_path: Path, videos: Path, how: list[str], refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "test.csv"
    table.write_text("audiocap_id,youtube_id,start_time,caption\n7,low,20,a low tone\n")
    given = ["prepare", str(table), "--folder", str(videos), *how]
    assert "(low.mp4: it ends before 20 s, where the clip is to start; give --trimmed if" in refused(*given)
    assert run([*given, "--trimmed"]) == 0
    assert PreparedData(tmp_path / "data").captions() == ["a low tone"]


def test_real_videos_from_a_list_of_seconds(
    tmp_path: Path, media: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every real video, from its third second on, its class as the label."""
    names = sorted(path.stem for path in (media / "videos").glob("*.mp4"))
    (tmp_path / "vggsound.csv").write_text("".join(f'{name},2,"{name.split("_")[0]}",test\n' for name in names))
    where = ["--folder", str(media / "videos"), "--out", str(tmp_path / "data"), "--clip", str(clip_folder)]
    assert run(["prepare", str(tmp_path / "vggsound.csv"), *where, "--cut", "all", "--workers", "1"]) == 0
    data = PreparedData(tmp_path / "data")
    assert len(data) >= 2 * len(names) and {f"{name}_000002" for name in names} <= set(data.ids)
    assert data.captions(np.array([0])) == ["a photo of baby"]
    video = next(read_clips(media / "videos" / f"{names[0]}.mp4", 16_000, 1.0, 2.048, 2.0, 1))
    expected = LogMel(data.mel)(torch.from_numpy(video.samples[None, : data.mel.samples]))
    torch.testing.assert_close(data.log_mels(np.array([0])), expected, atol=1e-5, rtol=0)


def test_the_clip_is_that_of_the_preset(tmp_path: Path, videos: Path, preset_file: Path, clip_folder: Path) -> None:
    out = tmp_path / "data"
    assert run(["prepare", str(videos), "--out", str(out), "--preset", str(preset_file), "--workers", "1"]) == 0
    assert PreparedData(out).clip == str(clip_folder)


def test_a_gpu_has_as_many_workers_as_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a CLIP there, and one a core, sixteen of ViT-L/14, is beyond most GPUs."""
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    found = []
    for free in (2e9, 12e9, 80e9):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda device, free=free: (int(free), int(1e11)))
        found.append(_workers(1000, "cuda:0"))
    assert found == [1, 3, 16] and _workers(1000, "cpu") == 16
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert _workers(1000, "cuda:0") == 2


@pytest.mark.parametrize(("cut", "workers"), [("first", 1), ("all", 8)])
def test_films_are_worth_a_process_each(
    tmp_path: Path, videos: Path, preset_file: Path, monkeypatch: pytest.MonkeyPatch, cut: str, workers: int
) -> None:
    """Old mistake: by default, 24 films of an hour were prepared by one process."""
    found: list[int] = []

    def prepare(*_: object, workers: int, **__: object) -> None:
        found.append(workers)

    films = tmp_path / "films"
    shutil.copytree(videos, films)
    for film in films.rglob("*.mp4"):
        os.truncate(film, 30_000_000)  # with a hole behind
    monkeypatch.setattr("clipsonic.prepare.prepare", prepare)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    for folder in (films, videos):
        assert run(["prepare", str(folder), "--out", str(tmp_path), "--preset", str(preset_file), "--cut", cut]) == 0
    assert found == [workers, 1], "short ones are done before a second process has started"


def test_the_bar_of_a_rank_starts_anew_when_it_waits_for_others(
    tmp_path: Path, videos: Path, preset_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found done is where it starts: no time left is reckoned from it."""
    shown: list[tuple[str, float, float | None]] = []
    progress = start_progress()
    monkeypatch.setattr("clipsonic.commands.prepare.start_progress", lambda: progress)

    def prepare(*_: object, report: Callable[[int, int], None], **__: object) -> None:
        for done, total in ((2, 4), (4, 4), (6, 8), (8, 8)):
            report(done, total)
            [task] = progress.tasks
            shown.append((task.description, task.completed - task.fields["found"], task.total))

    monkeypatch.setattr("clipsonic.prepare.prepare", prepare)
    assert run(["prepare", str(videos), "--out", str(tmp_path), "--preset", str(preset_file)]) == 0
    assert shown == [("videos of one rank", 0, 4), ("videos of one rank", 2, 4), ("videos", 0, 8), ("videos", 2, 8)]


# Mistakes


def test_mistakes(tmp_path: Path, videos: Path, how: list[str], refused: Refused) -> None:
    assert "--folder and --split belong to a list of videos" in refused(
        "prepare", videos, *how, "--folder", videos, "--split", "train"
    )
    assert "--folder belongs to a list of videos" in refused("prepare", videos, *how, "--folder", videos)
    assert "has no name of its own" in refused("prepare", videos, *how, "--out", ".")
    assert "there is no folder" in refused("prepare", videos, *how, "--json", tmp_path / "none" / "x.json")
    assert "--device 'gpu': choose cpu or cuda" in refused("prepare", videos, *how, "--device", "gpu")
    assert "Invalid value for '--cut'" in refused("prepare", videos, *how, "--cut", "last")
    table = tmp_path / "list.csv"
    table.write_text('low,0,"low tone",train\n')
    assert "has no split 'val'; it has train" in refused("prepare", table, *how, "--split", "val")
    assert "is not a folder of videos" in refused("prepare", table, *how, "--folder", tmp_path / "gone")
    assert "none of 1 videos could be prepared (low_000000: no video is named" in refused("prepare", table, *how)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["list.csv"]


def test_a_gpu_that_is_not_there_is_said(
    videos: Path, how: list[str], refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "--device cuda: torch finds no GPU here; choose cpu" in refused("prepare", videos, *how, "--device", "cuda")
