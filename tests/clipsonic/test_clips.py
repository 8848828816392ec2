"""Clips of one length: where they begin, what they are called, and what is no clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipsonic.clips import Clip, Preparation, Skipped, clip_of, cut_item
from clipsonic.lists import Item
from clipsonic.mel import LogMel
from clipsonic.preset import Preset
from clipsonic.video import Video, VideoError, read_clips, read_video

Maker = Callable[..., None]


@pytest.fixture
def how(preset: Preset) -> Preparation:
    return Preparation(preset.mel, "micro", 4.0)


def cut(folder: Path, item: Item, how: Preparation) -> list[Clip | Skipped]:
    return list(cut_item(folder, item, how, LogMel(how.mel)))


@pytest.fixture
def long(tmp_path: Path, make_video: Maker) -> Path:
    """A second of noise: four clips of 0.256 s, the second of them silent."""
    sound = np.random.default_rng(0).normal(0, 0.2, 8000).astype(np.float32)
    sound[2048 - 300 : 4096 + 300] = 0.0
    make_video(tmp_path / "long.mp4", sound, ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (9, 9, 9)))
    return tmp_path


def test_the_first_clip_is_the_items(long: Path, how: Preparation) -> None:
    [clip] = cut(long, Item("a", "long.mp4"), how)
    assert isinstance(clip, Clip) and (clip.id, clip.start_s, clip.padded) == ("a", 0.0, False)
    video = read_video(long / "long.mp4", 8000, 4.0, how.seconds)
    expected = LogMel(how.mel)(torch.from_numpy(video.samples[:2048])[None])[0]
    np.testing.assert_array_equal(clip.log_mel, expected.numpy().ravel())
    np.testing.assert_array_equal(clip.pictures, video.frames)


def test_all_clips_of_a_video(long: Path, how: Preparation) -> None:
    found = cut(long, Item("a", "long.mp4"), replace(how, cut="all"))
    assert [each.id for each in found] == ["a", "a+0001", "a+0002", "a+0003"]
    assert found[1] == Skipped("a+0001", "long.mp4", "silent", "silent")  # and the next ones keep their ids
    clips = [each for each in found if isinstance(each, Clip)]
    np.testing.assert_allclose([each.start_s for each in clips], [0, 0.512, 0.768])
    assert not any(each.padded for each in clips)  # AAC ends on a whole block: after 8 192 samples
    [first] = cut(long, Item("a", "long.mp4"), how)
    assert isinstance(first, Clip)
    np.testing.assert_array_equal(clips[0].log_mel, first.log_mel)
    np.testing.assert_array_equal(clips[0].pictures, first.pictures)


def test_an_item_ends_where_its_segment_does(long: Path, how: Preparation) -> None:
    for end, count in ((0.2, 1), (0.256, 1), (0.4, 1), (0.512, 2), (0.75, 3), (9.0, 4)):
        assert len(cut(long, Item("a", "long.mp4", 0.0, end), replace(how, cut="all"))) == count
    [clip] = cut(long, Item("a", "long.mp4", 0.512, 0.8), replace(how, cut="all"))
    assert isinstance(clip, Clip) and (clip.id, clip.start_s) == ("a", 0.512)
    np.testing.assert_allclose(clip.pictures[0].mean((0, 1)), (200, 200, 30), atol=15)  # the frame at 0.75 s


def test_nothing_is_from_outside_the_seconds_listed(tmp_path: Path, make_video: Maker, how: Preparation) -> None:
    """Old mistake: a short segment was filled up with the sound and the frames after it."""
    sound = np.random.default_rng(0).normal(0, 0.2, 8000).astype(np.float32)
    colours = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30))
    make_video(tmp_path / "a.mp4", sound, colours)
    longer, at_8 = replace(how, mel=replace(how.mel, frames=40)), replace(how, frames_per_second=8.0)
    assert longer.seconds == 0.32  # the second frame comes at 0.25 s
    for policy in ("first", "all"):
        by = replace(longer, cut=policy)  # type: ignore[arg-type]
        [clip] = cut(tmp_path, Item("a", "a.mp4", 0.25, 0.25 + 0.3), by)
        [whole] = cut(tmp_path, Item("a", "a.mp4", 0.25), replace(longer, cut="first"))
        assert isinstance(clip, Clip) and isinstance(whole, Clip) and clip.padded and not whole.padded
        samples = read_video(tmp_path / "a.mp4", 8000, 4.0, 0.55).samples[2000:4400]
        expected = LogMel(longer.mel)(torch.from_numpy(np.pad(samples, (0, 160)))[None])[0].numpy().ravel()
        np.testing.assert_allclose(clip.log_mel, expected, atol=1e-3)
        assert np.abs(clip.log_mel - whole.log_mel).max() > 0.1
        [skipped] = cut(tmp_path, Item("a", "a.mp4", 0.25, 0.45), by)
        assert skipped == Skipped("a", "a.mp4", "too short", "too short: 0.20 s are listed, 0.32 s needed")
    [clip] = cut(tmp_path, Item("a", "a.mp4", 0.0, 0.24), at_8)  # the frame at 0.25 s is in the clip of 0.256 s
    assert isinstance(clip, Clip) and clip.padded and len(clip.pictures) == 1
    [clip] = cut(tmp_path, Item("a", "a.mp4", 0.0, 0.256), at_8)
    assert isinstance(clip, Clip) and not clip.padded and len(clip.pictures) == 2


def test_the_last_of_all_clips_ends_where_its_segment_does(long: Path, how: Preparation) -> None:
    found = cut(long, Item("a", "long.mp4", 0.512, 1.01), replace(how, cut="all"))
    assert [each.padded for each in found if isinstance(each, Clip)] == [False, True]


def test_nine_tenths_exactly_are_a_clip(long: Path, how: Preparation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old mistake: in floats they are a little less, which was no clip at most, and no clip was no limit."""
    asked = list[int | None]()

    def watched(*arguments: Any) -> Iterator[Video]:
        asked.append(arguments[5])
        return read_clips(*arguments)

    monkeypatch.setattr("clipsonic.clips.read_clips", watched)
    longer = replace(how, mel=replace(how.mel, frames=40), cut="all")
    for end_s, count in ((0.288, 1), (0.32, 1), (0.6075, 1), (0.608, 2), (0.928, 3)):  # clips of 0.32 s
        found = cut(long, Item("a", "long.mp4", 0.0, end_s), longer)
        assert (len(found), asked.pop()) == (count, count)


def test_what_is_no_clip(videos: Path, how: Preparation) -> None:
    kinds = {
        "corrupt": "broken",
        "mute": "no sound",
        "blind": "no picture",
        "short": "too short",
        "silent": "silent",
        "gone": "missing",
    }
    for name, kind in kinds.items():
        for policy in ("first", "all"):
            found = cut(videos, Item(name, f"{name}.mp4"), replace(how, cut=policy))  # type: ignore[arg-type]
            skipped = {(each.id, each.kind) for each in found[:1] if isinstance(each, Skipped)}
            assert skipped == {(name, kind)} and not any(isinstance(each, Clip) for each in found)
    listed = Item("x", "", fault="no video is named x", kind="missing")
    assert cut(videos, listed, how) == [Skipped("x", "", "missing", "no video is named x")]


def test_padding_is_counted(preset: Preset) -> None:
    mel, frame = preset.mel, np.zeros((1, 4, 4, 3), np.uint8)
    for lacking in (0, 1, mel.samples // 10):
        sound = np.full(mel.samples - lacking, 0.1, np.float32)
        padded, by = clip_of(Video(frame, sound, mel.rate_hz), mel)
        assert by == lacking and len(padded) == mel.samples
        assert np.array_equal(padded[len(sound) :], np.zeros(lacking))
    with pytest.raises(VideoError, match="too short"):
        clip_of(Video(frame, np.full(mel.samples // 2, 0.1, np.float32), mel.rate_hz), mel)


def test_a_sound_that_is_no_number_is_no_sound(preset: Preset) -> None:
    """A silent sound has a small peak; one of NaN has none, and would become a row."""
    sound = np.full(preset.mel.samples, np.nan, np.float32)
    with pytest.raises(VideoError, match="values that are no numbers"):
        clip_of(Video(np.zeros((1, 4, 4, 3), np.uint8), sound, preset.mel.rate_hz), preset.mel)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_is_positive(preset: Preset, fps: float) -> None:
    with pytest.raises(ValueError, match="give a positive number"):
        Preparation(preset.mel, "micro", fps)


def test_a_policy_is_known(preset: Preset) -> None:
    with pytest.raises(ValueError, match="cut 'last': choose first or all"):
        Preparation(preset.mel, cut="last")  # type: ignore[arg-type]
