"""Sound and pictures of a clip are of the same seconds, however a file's two streams begin, break off and go on."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soxr

from clipsonic.decoding import VideoError
from clipsonic.soundtrack import sound_clips
from clipsonic.video import Video, read_clips

RATE = 16_000
NOISE = np.random.default_rng(0).integers(-9000, 9000, 30 * RATE, dtype=np.int16)
STEP = 8
"""Grey levels between a picture and the next."""


def write_film(
    path: Path,
    shots: Iterable[float],
    heard: Iterable[tuple[float, float]],
    options: dict[str, str] | None = None,
    codec: str = "ffv1",
    wrong: dict[int, float] | None = None,
) -> None:
    """Pictures at some seconds of a film, the k-th of grey level 8k, and its sound, NOISE, in some spans of seconds.

    wrong: seconds that the file gives for a picture, in its place.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=4)
        video.width, video.height, video.pix_fmt, video.options = 32, 32, "yuv420p", options or {}
        video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        packets = []
        for index, second in enumerate(shots):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), STEP * index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(1000 * second), Fraction(1, 1000)
            packets += video.encode(frame)
            if wrong and index in wrong:
                packets[-1].pts = round(1000 * wrong[index])
        packets += video.encode(None)
        for begin, end in heard:
            for at in range(round(begin * RATE), round(end * RATE), 800):
                block = NOISE[at : min(at + 800, round(end * RATE))]
                sound = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = RATE, at, Fraction(1, RATE)
                packets += audio.encode(sound)
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            container.mux(packet)


def heard_at(samples: np.ndarray) -> float | None:
    """The second of NOISE that is heard at the beginning; None for silence."""
    if not samples[:400].any():
        return None
    found = np.correlate(NOISE.astype(np.float64), samples[:400].astype(np.float64), "valid").argmax()
    np.testing.assert_allclose(samples[:400], NOISE[found : found + 400] / 32768, atol=2e-5)
    return float(found) / RATE


def seen(video: Video) -> list[int]:
    return [round(float(frame.mean()) / STEP) for frame in video.frames]


QUARTERS = [k / 4 for k in range(24)]


@pytest.mark.parametrize("shift", [0.0, 9.0])  # a cut may keep the times of its film
@pytest.mark.parametrize(
    ("pictures_from", "sound_from"), [(0, 0), (0, 1.5), (1.5, 0), (2.75, 0), (0, 0.05)], ids=lambda each: f"{each}s"
)
def test_an_unlisted_clip_begins_where_both_have_begun(
    tmp_path: Path, pictures_from: float, sound_from: float, shift: float
) -> None:
    """As after `ffmpeg -ss 10.9 -c copy cut.mkv`: pictures from the key frame before, sound from 10.9 s."""
    shots = [each + shift for each in QUARTERS if each >= pictures_from]
    write_film(tmp_path / "v.mkv", shots, [(sound_from + shift, 6.0 + shift)])
    both = max(pictures_from, sound_from)
    found = list(read_clips(tmp_path / "v.mkv", RATE, 4.0, 1.0))
    assert len(found) >= 3
    for k, clip in enumerate(found[:3]):
        assert heard_at(clip.samples) == pytest.approx(shift + both + k, abs=2e-3), "Matroska's times are milliseconds"
        first = next(index for index, second in enumerate(shots) if second >= shift + both + k - 1e-6)
        assert seen(clip) == list(range(first, first + 4))
        assert clip.start_s == pytest.approx(both + k, abs=1e-3) and len(clip.samples) == RATE


@pytest.mark.parametrize(("pictures_from", "sound_from"), [(0, 1.5), (1.5, 0)])
@pytest.mark.parametrize("start", [0.0, 1.0, 2.25, 4.5])
def test_listed_seconds_are_a_player_s(tmp_path: Path, pictures_from: float, sound_from: float, start: float) -> None:
    shots = [each for each in QUARTERS if each >= pictures_from]
    write_film(tmp_path / "v.mkv", shots, [(sound_from, 6.0)])
    [clip] = read_clips(tmp_path / "v.mkv", RATE, 4.0, 1.0, start_s=start, clips=1)
    wanted = [index for index, second in enumerate(shots) if start <= second < start + 1]
    assert seen(clip) == wanted and clip.start_s == start and len(clip.samples) == RATE
    silent = max(0, round((sound_from - start) * RATE))
    assert not clip.samples[:silent].any()
    if silent < RATE:
        assert heard_at(clip.samples[silent:]) == pytest.approx(max(start, sound_from), abs=2e-3)


def test_what_comes_after_lost_sound_keeps_its_time(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    write_film(path, [k / 4 for k in range(48)], [(0, 3.0), (5.5, 12.0)])
    found = [heard_at(clip.samples) for clip in read_clips(path, RATE, 1.0, 1.0)]
    expected = [0, 1, 2, None, None, None, 6, 7, 8, 9, 10, 11]
    assert found == [second if second is None else pytest.approx(second, abs=2e-3) for second in expected]
    for start in (2.0, 4.75, 5.25, 6.0, 6.4, 8.0):  # before, in and after the gap, from which a jump lands in it
        [clip] = read_clips(path, RATE, 1.0, 1.0, start_s=start, clips=1)
        silent = round(max(0.0, min(1.0, 5.5 - start)) * RATE) if start >= 3 else 0
        assert not clip.samples[:silent].any()
        if silent < RATE:
            assert heard_at(clip.samples[silent + 40 :]) == pytest.approx(
                max(start, 5.5 * (silent > 0)) + 0.0025, abs=2e-3
            )


def test_slides_are_seen_as_long_as_they_are_on_the_screen(tmp_path: Path) -> None:
    """Slides, recordings of screens: a picture every few seconds, and none to say when the last one goes."""
    path = tmp_path / "v.mkv"
    write_film(path, [0, 5, 10, 10.1, 14.1], [(0, 22.0)], {"bf": "0"}, codec="libx264")
    shown = [seen(clip) for clip in read_clips(path, RATE, 1.0, 2.0)]
    assert shown == [[0], [0], [0, 1], [1], [1], [2], [3], [4], [4], [4], []]
    [clip] = read_clips(path, RATE, 1.0, 3.0, start_s=6.0, clips=1, shown_s=3.0)
    assert seen(clip) == [1]
    [clip] = read_clips(path, RATE, 1.0, 3.0, start_s=1.0, clips=1)
    assert seen(clip) == [0]


@pytest.mark.parametrize("first", [0, 0.05])
def test_a_first_slide_and_a_cover_are_seen_though_sound_begins_later(tmp_path: Path, first: float) -> None:
    write_film(tmp_path / "slides.mkv", [0, 5], [(first, 8.0)])
    assert [seen(clip) for clip in read_clips(tmp_path / "slides.mkv", RATE, 1.0, 7.0, clips=1)] == [[0, 1]]
    write_film(tmp_path / "cover.mkv", [0], [(first, 4.0)])
    found = [seen(clip) for clip in read_clips(tmp_path / "cover.mkv", RATE, 1.0, 1.0)]
    assert len(found) >= 3 and all(each == [0] for each in found)


def test_a_picture_that_lingers_is_decoded_though_no_other_refers_to_it(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    dense = [k / 25 for k in range(30)]
    write_film(path, [*dense, 6.0, 6.04], [(0, 8.0)], {"x264-params": "bframes=3:b-adapt=0:b-pyramid=none"}, "libx264")
    last = len(dense) - 1
    for start in (2.0, 3.5):
        [clip] = read_clips(path, RATE, 1.0, 1.0, start_s=start, clips=1)
        assert seen(clip) == [last]


def test_a_video_whose_pictures_have_ended_shows_none(tmp_path: Path) -> None:
    write_film(tmp_path / "v.mkv", [0, 0.25, 0.5, 0.75], [(0, 4.0)])
    assert [seen(clip) for clip in read_clips(tmp_path / "v.mkv", RATE, 4.0, 1.0)] == [[0, 1, 2, 3], [], [], []]


def test_a_picture_at_a_clip_s_end_is_the_next_clip_s(tmp_path: Path) -> None:
    """Where floats say that it comes a little before."""
    write_film(tmp_path / "v.mkv", [k / 25 for k in range(150)], [(0, 6.0)])
    for start in range(0, 100):
        found = list(read_clips(tmp_path / "v.mkv", RATE, 1.0, 1.0, start_s=start / 50, clips=3))
        assert [len(clip.frames) for clip in found] == [1, 1, 1]


def test_one_picture_with_a_wrong_time_moves_no_other(tmp_path: Path) -> None:
    write_film(tmp_path / "v.mkv", QUARTERS, [(0, 6.0)], wrong={7: 300.0})
    found = [seen(clip) for clip in read_clips(tmp_path / "v.mkv", RATE, 4.0, 1.0)]
    assert found == [[0, 1, 2, 3], [4, 5, 6], *([k, k + 1, k + 2, k + 3] for k in (8, 12, 16, 20))]


def test_pictures_that_begin_when_the_sound_has_ended_are_no_clip(tmp_path: Path) -> None:
    write_film(tmp_path / "v.mkv", [5, 5.25, 5.5], [(0, 2.0)])
    with pytest.raises(VideoError, match="its sound ends before its pictures begin"):
        list(read_clips(tmp_path / "v.mkv", RATE, 4.0, 1.0))


def test_what_is_refused_is_closed(tmp_path: Path) -> None:
    write_film(tmp_path / "broken.mov", QUARTERS, [(0, 6.0)], codec="libx264")
    data = bytearray((tmp_path / "broken.mov").read_bytes())
    media = slice(data.index(b"mdat") + 4, data.index(b"moov") - 4)
    data[media] = b"\xff" * (media.stop - media.start)  # it is opened, and its first picture cannot be decoded
    (tmp_path / "broken.mov").write_bytes(data)
    write_film(tmp_path / "mute.mkv", [0, 0.25], [])
    write_film(tmp_path / "long.mkv", QUARTERS, [(0, 6.0)])

    def opened() -> list[str]:
        links = [each for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
        return [target for each in links if (target := os.path.realpath(each)).startswith(str(tmp_path))]

    gc.disable()
    try:
        for name in ("broken.mov", "mute.mkv"):
            with pytest.raises(VideoError):
                list(read_clips(tmp_path / name, RATE, 1.0, 1.0))
        list(read_clips(tmp_path / "long.mkv", RATE, 1.0, 1.0, clips=1))
        next(iter(read_clips(tmp_path / "long.mkv", RATE, 1.0, 1.0, start_s=4.0)))
        assert opened() == []
    finally:
        gc.enable()


# Sound alone


def frames_of(rate: int, sound: np.ndarray) -> Iterator[tuple[float, av.AudioFrame]]:
    """Blocks of a sound as a decoder gives them."""
    for at in range(0, len(sound), 1024):
        frame = av.AudioFrame.from_ndarray(sound[None, at : at + 1024], format="fltp", layout="mono")
        frame.sample_rate = rate
        yield at / rate, frame


@pytest.mark.parametrize(("rate", "wanted"), [(44_100, 16_000), (48_000, 22_050), (44_100, 24_000), (8_000, 24_000)])
def test_clips_hold_no_trace_of_where_they_were_cut(rate: int, wanted: int) -> None:
    """As if the whole were resampled at once; each by itself, it began and ended with a click."""
    sound = np.random.default_rng(1).normal(0, 0.2, 7 * rate).astype(np.float32)
    whole = soxr.resample(sound, rate, wanted, quality="HQ")
    clips = list(sound_clips(frames_of(rate, sound), wanted, 2.0, None))
    assert [len(clip) for clip in clips[:3]] == [2 * wanted] * 3
    np.testing.assert_array_equal(np.concatenate(clips)[: 7 * wanted], whole[: 7 * wanted])
    later = ((time - 3.0, frame) for time, frame in frames_of(rate, sound) if time > 1.9)
    [clip] = sound_clips(later, wanted, 2.0, 1)
    np.testing.assert_allclose(clip, whole[3 * wanted : 5 * wanted], atol=1e-6)
    alone = soxr.resample(sound[3 * rate : 5 * rate], rate, wanted, quality="HQ")
    assert np.abs(alone[:100] - whole[3 * wanted :][:100]).max() > 0.01, "the old way"


def at_times(
    rate: int, sound: np.ndarray, wrong: Callable[[int, float], float]
) -> Iterator[tuple[float, av.AudioFrame]]:
    return ((wrong(index, time), frame) for index, (time, frame) in enumerate(frames_of(rate, sound)))


def test_times_that_waver_change_nothing() -> None:
    rate, sound = 8000, np.arange(1, 40_001, dtype=np.float32) / 40_000
    luck = np.random.default_rng(2)
    wavering = at_times(rate, sound, lambda index, time: time + (luck.uniform(-0.02, 0.02) if index else 0.0))
    [clip] = sound_clips(wavering, rate, 5.0, None)
    np.testing.assert_array_equal(clip, sound)


def test_after_times_that_are_wrong_or_there_twice_sound_is_in_its_time_again() -> None:
    rate, sound = 8000, np.arange(1, 40_001, dtype=np.float32) / 40_000
    [clip] = sound_clips(at_times(rate, sound, lambda index, time: time + (index == 9)), rate, 6.0, None)
    np.testing.assert_array_equal(clip[20_000:], sound[20_000:])  # one block was a second late, and moved no other
    drifting = at_times(rate, sound, lambda index, time: time - 0.02 * index)  # each block overlaps the one before
    [clip] = sound_clips(drifting, rate, 6.0, None)
    kept = 1024 - 160  # of a block that starts 160 samples before the last one's end
    assert abs(len(clip) - (39 * kept + 64)) <= 1000, "old: without bound"
    joined = at_times(rate, sound, lambda _, time: time if time < 1.5 else time - 1.5)
    [clip] = sound_clips(joined, rate, 6.0, None)
    np.testing.assert_array_equal(clip[12_288:], sound[24_288:], "the second part, from where the first has ended")


def test_a_jump_of_hours_is_a_broken_file() -> None:
    second = NOISE[:8000].astype(np.float32)
    late = [(time + 9000.0, frame) for time, frame in frames_of(8000, second)]
    found = sound_clips(iter([*frames_of(8000, second), *late]), 8000, 0.5, None)
    assert len(next(found)) == 4000
    with pytest.raises(VideoError, match="its sound is not there for 8999 s") as caught:
        list(found)
    assert caught.value.fault == "broken"
