"""Prepared data as training reads them: rows by number, in the order asked for, from the map on the disk."""

from __future__ import annotations

import json
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import load_from_disk
from numpy.typing import NDArray

from clipsonic.clip import FrozenClip
from clipsonic.clips import Preparation
from clipsonic.lists import items_of_folder
from clipsonic.mel import LogMel
from clipsonic.prepare import prepare
from clipsonic.prepared import PreparedData, prompt_of
from clipsonic.preset import Preset
from clipsonic.video import read_video

GOOD = ["high", "low", "more/stereo"]


def test_good_videos_are_rows(prepared: PreparedData, preset: Preset, clip_folder: Path) -> None:
    assert prepared.ids == GOOD and len(prepared) == 3
    assert prepared.mel == preset.mel and prepared.clip == str(clip_folder) and prepared.dim == 8
    assert prepared.clip_sha256 == FrozenClip(str(clip_folder)).digest
    assert len(prepared.digest) == 64


def test_a_row_holds_the_log_mel_and_the_clip_vectors_of_its_video(
    prepared: PreparedData, videos: Path, clip_folder: Path
) -> None:
    video = read_video(videos / "low.mp4", prepared.mel.rate_hz, 4.0, prepared.mel.samples / prepared.mel.rate_hz)
    samples = torch.from_numpy(video.samples[: prepared.mel.samples])[None]
    torch.testing.assert_close(prepared.log_mels(np.array([1])), LogMel(prepared.mel)(samples), atol=1e-5, rtol=0)
    vectors = FrozenClip(str(clip_folder)).encode_image(video.frames)
    assert vectors.shape == (2, 8)  # 0.256 s hold two of four frames a second
    [found] = prepared.frames_of(np.array([1]))
    np.testing.assert_allclose(found, vectors, atol=1e-6)
    np.testing.assert_array_equal(prepared.vectors("clip_middle")[1], found[1])  # the middle one of the same


def test_captions_become_text_vectors(prepared: PreparedData, clip_folder: Path) -> None:
    expected = FrozenClip(str(clip_folder)).encode_text(["the high", "the low", "the more/stereo"])
    np.testing.assert_allclose(prepared.vectors("clip_text"), expected, atol=1e-6)
    assert prepared.captions() == ["the high", "the low", "the more/stereo"]


def test_rows_come_in_the_order_asked_for(prepared: PreparedData) -> None:
    every, rows = np.arange(3), np.array([2, 0, 2])
    assert torch.equal(prepared.log_mels(rows), prepared.log_mels(every)[[2, 0, 2]])
    frames = prepared.frames_of(every)
    assert [len(each) for each in frames] == [1, 2, 1]
    for found, row in zip(prepared.frames_of(rows), rows, strict=True):
        np.testing.assert_array_equal(found, frames[row])
    np.testing.assert_array_equal(prepared.vectors("clip_text", rows), prepared.vectors("clip_text")[rows])
    assert prepared.captions(rows) == ["the more/stereo", "the high", "the more/stereo"]


def test_one_frame_of_each_row_is_that_of_its_list(
    tmp_path: Path,
    make_video: Callable[..., None],
    make_tone: Callable[..., NDArray[np.float32]],
    clip_folder: Path,
    preset: Preset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where every clip lies in a part of the file of its own, and where several lie in one."""
    (tmp_path / "videos").mkdir()
    for name, seconds in (("long", 2.0), ("short", 0.5)):
        colours = tuple((index * 30, 200, 30) for index in range(int(4 * seconds)))
        make_video(tmp_path / "videos" / f"{name}.mp4", make_tone(300, seconds), colours)
    found = []
    for batch in (1, 64):
        monkeypatch.setattr("clipsonic.shards.BATCH", batch)
        how = Preparation(preset.mel, str(clip_folder), 4.0, "all")
        prepare(tmp_path / "videos", items_of_folder(tmp_path / "videos"), tmp_path / f"data-{batch}", how)
        data = PreparedData(tmp_path / f"data-{batch}")
        lists = data.frames_of(np.arange(len(data)))
        assert {len(each) for each in lists} == {1, 2}
        rows, choices = np.arange(3 * len(data)) % len(data), np.linspace(0, 0.99, 3 * len(data))
        expected = [lists[row][int(choice * len(lists[row]))] for row, choice in zip(rows, choices, strict=True)]
        np.testing.assert_array_equal(data.frame_of(rows, choices), expected)
        np.testing.assert_array_equal(data.vectors("clip_middle", rows), [each[len(each) // 2] for each in lists] * 3)
        for name in ("id", "log_mel", "clip_frames"):
            assert data._column(name, rows[::-1]).equals(data._table[name].combine_chunks().take(rows[::-1]))
        assert len(data._column("id", rows[:0])) == 0
        found.append(data)
    parts = [data._table["id"].num_chunks for data in found]
    assert parts[0] == len(found[0]) > parts[1] > 1


def test_opening_holds_the_ids_and_no_table_of_each_column(tmp_path: Path, prepared_folder: Path) -> None:
    """Old mistake: of 200 000 clips, in batches of six, opening took 16 s and 2.4 GB, on every rank."""
    folder = shutil.copytree(prepared_folder, tmp_path / "data")
    file = min(folder.glob("*.arrow"))
    with pa.ipc.open_stream(file.read_bytes()) as stream:
        [batch] = stream
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(1000):
            writer.write_batch(batch)
    PreparedData(folder)  # what is loaded once is there now
    tracemalloc.start()
    try:
        table = load_from_disk(str(folder))
        alone = tracemalloc.get_traced_memory()[0]
        data = PreparedData(folder)
        more = tracemalloc.get_traced_memory()[0] - alone - sum(map(sys.getsizeof, data.ids))
    finally:
        tracemalloc.stop()
    assert len(table) == len(data) == 1002 and more < 2 * alone


def test_what_is_read_is_the_readers_own(prepared: PreparedData) -> None:
    """The map is read-only: arrays over it would fail in training, at the first operation in place."""
    rows = np.arange(3)
    prepared.log_mels(rows).zero_()
    prepared.vectors("clip_middle")[:] = 0
    prepared.frames_of(rows)[0][:] = 0
    prepared.frame_of(rows, np.zeros(3))[:] = 0
    assert prepared.log_mels(rows).any() and prepared.vectors("clip_middle").any()


def test_batches_are_all_rows_in_order(prepared: PreparedData) -> None:
    assert [rows.tolist() for rows in prepared.batches(2)] == [[0, 1], [2]]


def test_vectors_are_of_known_columns(prepared: PreparedData) -> None:
    with pytest.raises(ValueError, match="no vectors 'clip_frames'; choose one of clip_middle, clip_text"):
        prepared.vectors("clip_frames")


def test_data_without_texts_say_so(tmp_path: Path, videos: Path, clip_folder: Path, preset: Preset) -> None:
    prepare(videos, items_of_folder(videos), tmp_path / "data", Preparation(preset.mel, str(clip_folder)))
    data = PreparedData(tmp_path / "data")
    for ask in (lambda: data.vectors("clip_text"), data.captions):
        with pytest.raises(ValueError, match="have no clip_text: prepare them with --captions"):
            ask()


def test_datasets_reads_the_folder_as_its_own(prepared_folder: Path, prepared: PreparedData) -> None:
    table = load_from_disk(str(prepared_folder))
    assert table["id"][:] == GOOD and table["video"][:] == ["high.mp4", "low.mp4", "more/stereo.mp4"]
    assert table.features["log_mel"].length == 16 * 32 and table.features["clip_middle"].length == 8
    assert table.cache_files and all(Path(each["filename"]).parent == prepared_folder for each in table.cache_files)


def test_a_label_is_asked_for_as_the_paper_does() -> None:
    assert prompt_of("dog barking") == "a photo of dog barking"


def test_what_is_not_prepared_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not prepared data: run clipsonic prepare"):
        PreparedData(tmp_path)
    (tmp_path / "prepared.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(ValueError, match="has schema 1, this version reads 2: prepare the videos again"):
        PreparedData(tmp_path)
