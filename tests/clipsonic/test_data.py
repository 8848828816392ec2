"""Preparing a folder of videos: what is taken, what is skipped and why, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from clipsonic.clip import FrozenClip
from clipsonic.data import Preparation, PreparedData, clip_of, find_videos, prepare, read_captions
from clipsonic.mel import LogMel
from clipsonic.preset import Preset
from clipsonic.video import Video, VideoError, read_video

GOOD = ["high", "low", "more/stereo"]


def test_good_videos_are_rows(prepared: PreparedData, preset: Preset, clip_folder: Path) -> None:
    assert prepared.ids == GOOD and len(prepared) == 3
    assert prepared.mel == preset.mel and prepared.clip == str(clip_folder) and prepared.dim == 8
    assert prepared.clip_sha256 == FrozenClip(str(clip_folder)).digest


def test_the_others_are_listed_with_the_reason(prepared_folder: Path) -> None:
    rows = [json.loads(line) for line in (prepared_folder / "skipped.jsonl").read_text().splitlines()]
    found = {row["id"]: row["reason"] for row in rows}
    expected = {
        "blind": "no video stream",
        "corrupt": "cannot be decoded",
        "mute": "no sound",
        "short": "too short",
        "silent": "silent",
    }
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in found[name]
    assert all(next(iter(row)) == "schema" for row in rows)


def test_a_row_holds_the_log_mel_and_the_clip_vectors_of_its_video(
    prepared: PreparedData, videos: Path, clip_folder: Path
) -> None:
    video = read_video(videos / "low.mp4", prepared.mel.rate_hz, 4.0, prepared.mel.samples / prepared.mel.rate_hz)
    samples = torch.from_numpy(video.samples[: prepared.mel.samples])[None]
    torch.testing.assert_close(prepared.log_mels(np.array([1])), LogMel(prepared.mel)(samples), atol=1e-5, rtol=0)
    vectors = FrozenClip(str(clip_folder)).encode_image(video.frames)
    assert vectors.shape == (2, 8)  # 0.256 s hold two of four frames a second
    np.testing.assert_allclose(prepared.frame_vectors()[1], vectors, atol=1e-6)
    np.testing.assert_allclose(prepared.vectors("clip_middle")[1], vectors[1], atol=1e-6)


def test_captions_become_text_vectors(prepared: PreparedData, clip_folder: Path) -> None:
    expected = FrozenClip(str(clip_folder)).encode_text(["the high", "the low", "the more/stereo"])
    np.testing.assert_allclose(prepared.vectors("clip_text"), expected, atol=1e-6)


def test_rows_come_in_the_order_asked_for(prepared: PreparedData) -> None:
    every = prepared.log_mels(np.arange(3))
    assert torch.equal(prepared.log_mels(np.array([2, 0, 2])), every[[2, 0, 2]])


def test_the_number_of_workers_changes_nothing(
    tmp_path: Path, videos: Path, clip_folder: Path, preset: Preset, prepared: PreparedData
) -> None:
    out = tmp_path / "data"
    assert prepare(videos, out, Preparation(preset.mel, str(clip_folder), 4.0), workers=2)[:2] == (3, 5)
    other = PreparedData(out)
    assert other.ids == prepared.ids
    rows = np.arange(3)
    torch.testing.assert_close(other.log_mels(rows), prepared.log_mels(rows), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="prepare them with --captions"):
        other.vectors("clip_text")


def test_if_all_are_skipped_nothing_is_written(tmp_path: Path, videos: Path, clip_folder: Path, preset: Preset) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("corrupt", "silent"):
        shutil.copy(videos / f"{name}.mp4", bad)
    out = tmp_path / "data"
    with pytest.raises(ValueError, match=r"none of 2 videos could be prepared \(corrupt.mp4: .*silent"):
        prepare(bad, out, Preparation(preset.mel, str(clip_folder)))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bad"]


def test_a_preparation_that_was_killed_is_done_again(
    tmp_path: Path, videos: Path, clip_folder: Path, preset: Preset
) -> None:
    (tmp_path / ".data.part").mkdir()
    (tmp_path / ".data.part" / "torn").write_text("half")
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(videos / "low.mp4", one)
    assert prepare(one, tmp_path / "data", Preparation(preset.mel, str(clip_folder)))[:2] == (1, 0)
    assert not (tmp_path / ".data.part").exists() and not (tmp_path / "data" / "torn").exists()


def test_padding_is_counted(preset: Preset) -> None:
    mel, frame = preset.mel, np.zeros((1, 4, 4, 3), np.uint8)
    for lacking in (0, 1, mel.samples // 10):
        sound = np.full(mel.samples - lacking, 0.1, np.float32)
        padded, by = clip_of(Video(frame, sound, mel.rate_hz), mel)
        assert by == lacking and len(padded) == mel.samples
        assert np.array_equal(padded[len(sound) :], np.zeros(lacking))
    with pytest.raises(VideoError, match="too short"):
        clip_of(Video(frame, np.full(mel.samples // 2, 0.1, np.float32), mel.rate_hz), mel)


def test_progress_counts_every_video_and_is_the_callers(
    tmp_path: Path, videos: Path, clip_folder: Path, preset: Preset, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []
    prepare(videos, tmp_path / "data", Preparation(preset.mel, str(clip_folder)), advance=seen.append)
    assert seen == [1] * 8
    assert "examples/s" not in capfd.readouterr().err


def test_a_folder_with_content_is_not_written_into(
    tmp_path: Path, videos: Path, clip_folder: Path, preset: Preset
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty: choose another --out"):
        prepare(videos, tmp_path, Preparation(preset.mel, str(clip_folder)))


def test_every_video_needs_its_caption(tmp_path: Path, videos: Path, clip_folder: Path, preset: Preset) -> None:
    with pytest.raises(ValueError, match="7 videos have no caption, the first is 'blind'"):
        prepare(videos, tmp_path / "data", Preparation(preset.mel, str(clip_folder)), {"low": "a low tone"})


def test_two_files_of_one_id_are_refused(tmp_path: Path) -> None:
    for suffix in ("mp4", "webm"):
        (tmp_path / f"a.{suffix}").write_bytes(b"")
    with pytest.raises(ValueError, match="would both get the id 'a'"):
        find_videos(tmp_path)


@pytest.mark.parametrize("folder", ["gone", "empty"])
def test_no_videos_is_an_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"is not a folder of videos|holds no video \(.mp4"):
        find_videos(tmp_path / folder)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_is_positive(preset: Preset, fps: float) -> None:
    with pytest.raises(ValueError, match="give a positive number"):
        Preparation(preset.mel, "micro", fps)


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
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(ValueError, match=error):
        read_captions(tmp_path / "c.csv")


def test_a_csv_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes('\ufeffid,length,caption\r\na,3,"one, two"\r\n'.encode())
    assert read_captions(tmp_path / "c.csv") == {"a": "one, two"}


def test_what_is_not_prepared_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not prepared data: run clipsonic prepare"):
        PreparedData(tmp_path)
