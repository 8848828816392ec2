"""FLAC files of one size: padding changes nothing that is heard."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import soundfile

from clipsonic_listening_test.prepare import flac


def sounds() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = 0.3 * rng.uniform(-1, 1, (4000, 2))
    return [noise, noise * 0.1, noise[:1000], np.zeros((4000, 2)), np.repeat(noise[:, :1], 2, axis=1)]


def decoded(file: bytes) -> np.ndarray:
    samples, rate_hz = soundfile.read(io.BytesIO(file), dtype="float64", always_2d=True)
    assert rate_hz == 48_000
    return samples


def blocks(file: bytes) -> list[tuple[int, int, bool]]:
    """Kind, length and last flag of each metadata block, by the format's own description (RFC 9639)."""
    assert file[:4] == b"fLaC"
    at, found = 4, []
    while True:
        length = int.from_bytes(file[at + 1 : at + 4], "big")
        found.append((file[at] & 0x7F, length, bool(file[at] & 0x80)))
        at += 4 + length
        if found[-1][2]:
            return found


def test_24_bits_are_kept() -> None:
    for samples in sounds():
        assert np.max(np.abs(decoded(flac.encode(samples, 48_000)) - samples)) <= 2**-24 * 1.01


def test_sizes_are_one_and_sounds_unchanged() -> None:
    files = [flac.encode(samples, 48_000) for samples in sounds()]
    assert len({len(file) for file in files}) == len(files)  # or the test would prove nothing
    padded = flac.padded(files)
    assert {len(file) for file in padded} == {max(len(file) for file in files) + 4}
    for before, after in zip(files, padded, strict=True):
        assert np.array_equal(decoded(before), decoded(after))
        kinds = blocks(after)
        assert [last for *_, last in kinds] == [False] * (len(kinds) - 1) + [True]
        assert kinds[0][0] == 0 and kinds[-1][0] == 1  # STREAMINFO first, PADDING last


def test_another_decoder_reads_them_too() -> None:
    file = flac.padded([flac.encode(samples, 48_000) for samples in sounds()])[2]
    with av.open(io.BytesIO(file)) as container:
        frames = sum(frame.samples for frame in container.decode(audio=0))
    assert frames == 1000


@pytest.mark.parametrize("largest", [50, 51, 52, 53, 54, 55, 56, 57, 1000])
def test_more_padding_than_a_block_holds(monkeypatch: pytest.MonkeyPatch, largest: int) -> None:
    """A block holds less than 16 MiB; here 50 bytes, so that every remainder comes up."""
    monkeypatch.setattr(flac, "_LARGEST_BLOCK", largest)
    base = flac.encode(sounds()[2], 48_000)
    for missing in range(4, 400):
        file = flac._pad(base, missing)
        assert len(file) == len(base) + missing
        assert all(length <= largest for kind, length, _ in blocks(file) if kind == 1)
        assert file.endswith(base[-64:])


def test_the_same_sound_gives_the_same_bytes() -> None:
    assert flac.encode(sounds()[0], 48_000) == flac.encode(sounds()[0], 48_000)
