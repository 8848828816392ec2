"""How sounds become windows: every rule against its definition, and the line that says which."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_metrics import MetricsError, Sound
from clipsonic_metrics.listening import Listening, agreed

TEN = Listening(rate_hz=100, window=10)


def ramp(length: int, channels: int = 1) -> Sound:
    """1, 2, 3, ... over 1000, the second channel negative."""
    one = np.arange(1, length + 1) / 1000
    return Sound.of("ramp", np.stack([one, -one])[:channels], 100)


def cut(listening: Listening, length: int) -> np.ndarray:
    return np.round(1000 * listening.windows(ramp(length))).astype(int)


@pytest.mark.parametrize(
    ("length", "windows"), [(1, 1), (9, 1), (10, 1), (11, 1), (14, 1), (15, 2), (19, 2), (20, 2), (34, 3), (35, 4)]
)
def test_a_tail_of_half_or_more_is_repeated_and_less_is_left_out(length: int, windows: int) -> None:
    found = cut(TEN, length)
    assert found.shape == (windows, 10) and TEN.windows(ramp(length)).dtype == np.float32
    whole = length // 10
    np.testing.assert_array_equal(found[:whole].ravel(), np.arange(1, 10 * whole + 1))
    if windows > whole:
        np.testing.assert_array_equal(found[-1], np.tile(np.arange(10 * whole + 1, length + 1), 10)[:10])
    assert (found > 0).all()  # nothing is filled with zeros


def test_tails_of_overlapping_windows() -> None:
    listening = Listening(rate_hz=100, window=10, hop=4)
    assert [row[0] for row in cut(listening, 19)] == [1, 5, 9]  # 1 of 19 is left over: less than half a hop
    np.testing.assert_array_equal(cut(listening, 19)[2], np.arange(9, 19))
    assert [row[0] for row in cut(listening, 20)] == [1, 5, 9, 13]
    np.testing.assert_array_equal(cut(replace(listening, tail="half"), 21)[-1], [*range(13, 22), 13])
    assert len(cut(replace(listening, tail="drop"), 21)) == 3
    np.testing.assert_array_equal(cut(replace(listening, tail="zero"), 21)[-1], [*range(13, 22), 0])
    assert len(cut(replace(listening, tail="zero"), 18)) == 3  # nothing is left over
    every = cut(replace(listening, tail="zero-every-hop"), 18)
    assert [row[0] for row in every] == [1, 5, 9, 13, 17]
    np.testing.assert_array_equal(every[-1], [17, 18, *[0] * 8])
    filled = cut(replace(listening, tail="zero-every-hop", short="zero"), 5)
    np.testing.assert_array_equal(filled, [[1, 2, 3, 4, 5, *[0] * 5], [5, *[0] * 9]])  # the zeros begin no window


def test_short_sounds() -> None:
    np.testing.assert_array_equal(cut(TEN, 4)[0], [1, 2, 3, 4, 1, 2, 3, 4, 1, 2])
    np.testing.assert_array_equal(cut(replace(TEN, short="zero"), 4)[0], [1, 2, 3, 4, *[0] * 6])
    np.testing.assert_array_equal(cut(replace(TEN, short="repeat-zero"), 4)[0], [1, 2, 3, 4, 1, 2, 3, 4, 0, 0])
    assert len(cut(replace(TEN, short="zero", at_least=20), 4)) == 2
    with pytest.raises(MetricsError, match="ramp lasts 0.04 s, at least 0.1 s is needed; leave it out"):
        TEN.__class__(rate_hz=100, window=10, short="refuse").windows(ramp(4))
    for short in ("repeat", "zero", "repeat-zero", "refuse"):
        with pytest.raises(MetricsError, match="empty holds no samples"):
            replace(TEN, short=short).windows(Sound.of("empty", np.zeros(0), 100))


def test_whole_sounds() -> None:
    whole = Listening(rate_hz=100, window=None, at_least=6, short="zero")
    assert whole.windows(ramp(23)).shape == (1, 23)
    np.testing.assert_array_equal(cut(whole, 4), [[1, 2, 3, 4, 0, 0]])
    assert whole.describe() == "100Hz/whole/zero-pad-0.06s/mono-mean/soxr-hq"


@given(
    length=st.integers(1, 200),
    window=st.integers(1, 40),
    hop=st.integers(1, 40),
    tail=st.sampled_from(["drop", "zero", "half", "zero-every-hop"]),
    short=st.sampled_from(["repeat", "zero", "repeat-zero"]),
)
def test_full_windows_are_stretches_of_the_sound(length: int, window: int, hop: int, tail: str, short: str) -> None:
    hop = min(hop, window)
    found = cut(Listening(rate_hz=100, window=window, hop=hop, tail=tail, short=short), length)  # type: ignore[arg-type]
    full = max(0, (length - window) // hop + 1)
    for index in range(full):
        np.testing.assert_array_equal(found[index], np.arange(index * hop + 1, index * hop + window + 1))
    assert len(found) >= max(1, full) and found.max() <= length
    if tail in ("zero", "zero-every-hop"):
        assert found.max() == length, "all of it is heard"
    if tail == "half" and short == "repeat":
        assert (found > 0).all()


def test_channels() -> None:
    np.testing.assert_array_equal(TEN.windows(ramp(10, 2)), np.zeros((1, 10)))
    first = replace(TEN, mono="first").windows(ramp(10, 2))
    np.testing.assert_array_equal(first, TEN.windows(ramp(10)))
    both = replace(TEN, mono="stereo").windows(ramp(25, 2))
    assert both.shape == (3, 2, 10)
    np.testing.assert_array_equal(both[:, 0], -both[:, 1])
    twice = replace(TEN, mono="stereo").windows(ramp(10))
    np.testing.assert_array_equal(twice[:, 0], twice[:, 1])
    middle = replace(TEN, mono="mean-twice").windows(Sound.of("x", [np.full(10, 0.5), np.zeros(10)], 100))
    np.testing.assert_array_equal(middle, np.full((1, 2, 10), 0.25))
    with pytest.raises(MetricsError, match="wide has 6 channels; one or two"):
        replace(TEN, mono="stereo").windows(Sound.of("wide", np.ones((6, 50)), 100))


def test_stereo_is_converted_channel_by_channel() -> None:
    rng = np.random.default_rng(0)
    sound = Sound.of("x", rng.normal(size=(2, 4410)), 44_100)
    found = Listening(rate_hz=48_000, window=None, mono="stereo").windows(sound)[0]
    for side, channel in zip(found, sound.channels, strict=True):
        np.testing.assert_array_equal(side, soxr.resample(channel, 44_100, 48_000, quality="HQ"))


def test_levels() -> None:
    samples = np.array([0.5, -0.8, 0.2, 0.1], np.float32)
    sound, whole = Sound.of("x", samples, 100), Listening(rate_hz=100, window=None)

    def heard(level: str, of: Sound = sound) -> np.ndarray:
        return replace(whole, level=level).windows(of)[0]  # type: ignore[arg-type]

    np.testing.assert_array_equal(heard("as-is"), samples)
    by_largest = samples / 0.5  # not by the largest absolute
    np.testing.assert_allclose(heard("google-peak-int16"), by_largest, rtol=1e-6)
    quiet = Sound.of("quiet", samples / 1000, 100)
    np.testing.assert_allclose(heard("google-peak-int16", quiet), by_largest, rtol=1e-6)
    silent = Sound.of("silent", np.full(20, -1e-6), 100)
    np.testing.assert_allclose(heard("google-peak-int16", silent), np.full(20, -1e-6 * 32768 / 0.1), rtol=1e-5)
    assert np.abs(heard("peak-1dB")).max() == pytest.approx(10 ** (-1 / 20), rel=1e-6)
    np.testing.assert_allclose(heard("no-dc"), samples - samples.mean(), atol=1e-7)
    with pytest.raises(MetricsError, match="still is silent; its peak"):
        heard("peak-1dB", Sound.of("still", np.zeros(20), 100))


def test_dc_is_removed_before_the_rate_is_converted() -> None:
    samples = np.random.default_rng(0).normal(size=4410) + 0.5
    found = Listening(rate_hz=16_000, window=None, level="no-dc").windows(Sound.of("x", samples, 44_100))[0]
    expected = soxr.resample((samples - samples.mean()).astype(np.float32), 44_100, 16_000, quality="HQ")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_first_comes_before_the_level() -> None:
    loud_later = Sound.of("x", np.concatenate([np.full(10, 0.25), np.ones(10)]), 100)
    found = Listening(rate_hz=100, window=10, first=10, level="google-peak-int16").windows(loud_later)
    np.testing.assert_allclose(found, np.ones((1, 10)))


def test_quantisation() -> None:
    samples = np.array([0.0, 1.49 / 32768, -1.49 / 32768, 1.0, -1.0, 2.0, 0.3], np.float32)
    whole = Listening(rate_hz=100, window=None)
    rounded = replace(whole, quantise="int16").windows(Sound.of("x", samples, 100))[0] * 32768
    np.testing.assert_array_equal(rounded, [0, 1, -1, 32767, -32768, 32767, 9830])
    laion = replace(whole, quantise="int16-laion").windows(Sound.of("x", samples, 100))[0]
    expected = (np.clip(samples, -1, 1) * np.float32(32767)).astype(np.int16) / np.float32(32767)
    np.testing.assert_array_equal(laion, expected.astype(np.float32))
    both = replace(whole, quantise="int16-then-laion").windows(Sound.of("x", samples, 100))[0]
    np.testing.assert_array_equal(both, np.trunc(rounded / 32768 * np.float32(32767)) / np.float32(32767))


def test_sounds_are_not_changed_by_being_heard() -> None:
    sound = ramp(25, 2)
    before = sound.channels.copy()
    for level, quantise in itertools.product(("as-is", "no-dc", "peak-1dB", "google-peak-int16"), ("float", "int16")):
        replace(TEN, mono="first", level=level, quantise=quantise).windows(sound)
    np.testing.assert_array_equal(sound.channels, before)


def test_the_description_tells_every_difference() -> None:
    plain = Listening(rate_hz=16_000, window=15_600, hop=15_360)
    assert plain.describe() == "16000Hz/0.975s-hop0.96s/repeat-pad-tail-half/mono-mean/soxr-hq"
    others = [
        replace(plain, rate_hz=32_000),
        replace(plain, window=15_601, at_least=15_601),
        replace(plain, hop=15_361),
        replace(plain, tail="drop"),
        replace(plain, short="zero"),
        replace(plain, at_least=16_000),
        replace(plain, first=16_000),
        replace(plain, mono="first"),
        replace(plain, mono="stereo"),
        replace(plain, mono="mean-twice"),
        replace(plain, resampler="resampy-kaiser-best"),
        replace(plain, level="no-dc"),
        replace(plain, quantise="int16"),
        replace(plain, kept="float16"),
        replace(plain, profile="fadtk"),
        replace(plain, window=None),
    ]
    lines = {each.describe() for each in [plain, *others]}
    assert len(lines) == 17 and not any(" " in line for line in lines)


def test_impossible_listening_is_refused() -> None:
    for wrong in ({"hop": 11}, {"window": 0}, {"at_least": 5}, {"rate_hz": 0}, {"first": 0}):
        with pytest.raises(ValueError, match="no way of listening"):
            Listening(**{"rate_hz": 100, "window": 10} | wrong)


def test_networks_refuse_what_they_cannot_take() -> None:
    assert agreed("net", TEN, None) is TEN
    slow = replace(TEN, hop=5, tail="drop", level="no-dc")
    assert agreed("net", TEN, slow) is slow
    for asked in (
        replace(TEN, rate_hz=200),
        replace(TEN, mono="stereo"),
        Listening(rate_hz=100, window=20),
        Listening(rate_hz=100, window=None),
    ):
        with pytest.raises(MetricsError, match="net cannot listen as .*; its own way is 100Hz/0.1s-hop0.1s"):
            agreed("net", TEN, asked)
    longer = Listening(rate_hz=100, window=20)
    assert agreed("net", TEN, longer, windows=range(5, 21)) is longer
    assert agreed("net", TEN, longer, windows=None, shortest=15) is longer
    for asked in (Listening(rate_hz=100, window=14), Listening(rate_hz=100, window=None)):
        with pytest.raises(MetricsError, match="net cannot listen"):
            agreed("net", TEN, asked, windows=None, shortest=15)
