"""The log-mel definition against its own formulas in float64, and the exact inverses of what the network sees."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clipsonic.mel import LogMel, MelConfig, denormalise, from_patches, mel_filters, normalise, to_patches
from clipsonic.preset import load_preset

TINY = MelConfig(rate_hz=8000, n_fft=256, hop=64, bands=16, frames=32, f_max_hz=4000.0, patch=(4, 4))
LARGE = [replace(load_preset(name).mel, frames=32) for name in ("small", "base")]
CONFIGS = [MelConfig(), TINY, *LARGE]


def slaney_filters(config: MelConfig) -> NDArray[np.float64]:
    """Mel filters by Slaney's definition (Auditory Toolbox, as librosa's default): linear below 1 kHz, then log."""

    def hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    def mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    edges = hz(np.linspace(mel(config.f_min_hz), mel(config.f_max_hz), config.bands + 2))
    bins = np.linspace(0, config.rate_hz / 2, config.n_fft // 2 + 1)
    rows = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        triangle = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
        rows.append(triangle * 2 / (high - low))
    return np.stack(rows)


def slow_log_mel(samples: NDArray[np.float64], config: MelConfig) -> NDArray[np.float64]:
    """The module docstring, frame by frame."""
    pad = (config.n_fft - config.hop) // 2
    padded = np.pad(samples, pad, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)
    columns = []
    for start in range(0, len(padded) - config.n_fft + 1, config.hop):
        spectrum = np.fft.rfft(padded[start : start + config.n_fft] * window)
        columns.append(slaney_filters(config) @ np.sqrt(np.abs(spectrum) ** 2 + 1e-9))
    return np.log(np.maximum(np.stack(columns, 1), config.floor))


def noise(items: int, length: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, 0.1, (items, length))


@pytest.mark.parametrize("config", CONFIGS)
def test_filters_are_slaneys(config: MelConfig) -> None:
    np.testing.assert_allclose(mel_filters(config).numpy(), slaney_filters(config), atol=2e-7)


@pytest.mark.parametrize("config", CONFIGS)
def test_log_mel_agrees_with_its_definition(config: MelConfig) -> None:
    samples = noise(2, config.samples)
    found = LogMel(config)(torch.from_numpy(samples).float()).numpy()
    expected = np.stack([slow_log_mel(row, config) for row in samples])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_centred_frames_would_not_agree() -> None:
    """The usual mistake: an STFT with centred frames is half a hop early and has one frame more."""
    samples = noise(1, TINY.samples)
    window = torch.hann_window(TINY.n_fft)
    spectrum = torch.stft(torch.from_numpy(samples).float(), TINY.n_fft, TINY.hop, window=window, return_complex=True)
    centred = torch.log(torch.clamp(mel_filters(TINY) @ spectrum.abs(), min=TINY.floor)).numpy()
    expected = slow_log_mel(samples[0], TINY)
    assert centred.shape[-1] == TINY.frames + 1
    assert np.abs(centred[0, :, : TINY.frames] - expected).max() > 0.1


@pytest.mark.parametrize("samples", [2048, 2049, 2111, 2112, 256])
def test_frames_are_samples_over_hop(samples: int) -> None:
    assert LogMel(TINY)(torch.zeros(3, samples)).shape == (3, 16, samples // 64)


def test_a_tone_in_closed_form() -> None:
    """A tone on a bin gives, by its window, half its level times n_fft / 2 there and half of that beside it."""
    config, level, bin_ = TINY, 0.8, 40
    time = np.arange(config.samples)
    samples = torch.from_numpy(level * np.cos(2 * np.pi * bin_ * time / config.n_fft)).float()[None]
    spectrum = np.zeros(config.n_fft // 2 + 1)
    spectrum[[bin_ - 1, bin_, bin_ + 1]] = level * config.n_fft / 4 * np.array([0.5, 1.0, 0.5])
    expected = np.log(np.maximum(slaney_filters(config) @ np.sqrt(spectrum**2 + 1e-9), config.floor))
    np.testing.assert_allclose(LogMel(config)(samples)[0, :, 10].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("config", CONFIGS)
def test_silence_is_the_floor(config: MelConfig) -> None:
    assert torch.all(LogMel(config)(torch.zeros(1, config.samples)) == torch.log(torch.tensor(config.floor)))


@pytest.mark.parametrize("config", CONFIGS)
def test_normalising_is_undone_exactly_between_floor_and_ceiling(config: MelConfig) -> None:
    log_mel = torch.linspace(math.log(config.floor), config.ceiling, config.bands * config.frames)
    log_mel = log_mel.reshape(1, config.bands, config.frames)
    seen = normalise(log_mel, config)
    torch.testing.assert_close(seen[0, 0, 0], torch.tensor((math.log(config.floor) - config.centre) / config.scale))
    torch.testing.assert_close(denormalise(seen, config), log_mel, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_whole_way_to_the_network_and_back_is_lossless(config: MelConfig) -> None:
    log_mel = LogMel(config)(torch.from_numpy(noise(2, config.samples)).float())
    seen = to_patches(normalise(log_mel, config), config)
    torch.testing.assert_close(denormalise(from_patches(seen, config), config), log_mel, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("config", LARGE)
def test_a_full_scale_square_wave_is_below_the_ceiling(config: MelConfig) -> None:
    """The loudest log-mel there is, nearly; a ceiling below it would turn loud sounds down."""
    pitches_hz = torch.tensor([55.0, 110.0, 305.0, 450.0, 540.0, 900.0, 3000.0])[:, None]
    waves = torch.sign(torch.sin(2 * torch.pi * pitches_hz * torch.arange(config.samples) / config.rate_hz + 0.1))
    peak = float(LogMel(config)(waves).max())
    assert config.ceiling - 0.1 < peak < config.ceiling


def test_denormalise_holds_what_the_network_invents_between_floor_and_ceiling() -> None:
    assert torch.all(denormalise(torch.full((1, 16, 32), -100.0), TINY) == math.log(TINY.floor))
    assert torch.all(denormalise(torch.full((1, 16, 32), 100.0), TINY) == TINY.ceiling)


@pytest.mark.parametrize("config", CONFIGS)
def test_patches_are_undone_exactly(config: MelConfig) -> None:
    values = torch.arange(2 * config.bands * config.frames).reshape(2, config.bands, config.frames).float()
    patches = to_patches(values, config)
    assert patches.shape == (2, config.channels, *config.grid)
    assert torch.equal(from_patches(patches, config), values)


def test_a_patch_is_a_block_of_neighbours() -> None:
    values = torch.arange(16 * 32).reshape(1, 16, 32).float()
    patches = to_patches(values, TINY)
    for row in range(4):
        for column in range(8):
            block = values[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert torch.equal(patches[0, :, row, column], block.flatten())
    as_a_plain_reshape = values.reshape(1, TINY.channels, *TINY.grid)
    assert not torch.equal(as_a_plain_reshape[0, :, 0, 0], values[0, :4, :4].flatten())


def test_a_sound_of_a_batch_is_the_sound_alone() -> None:
    samples = torch.from_numpy(noise(3, TINY.samples)).float()
    log_mel = LogMel(TINY)
    torch.testing.assert_close(log_mel(samples)[1:2], log_mel(samples[1:2]), atol=1e-5, rtol=0)


def test_a_definition_survives_json() -> None:
    assert MelConfig.from_dict(TINY.as_dict()) == TINY


def test_a_definition_with_other_keys_is_refused() -> None:
    known = TINY.as_dict()
    with pytest.raises(ValueError, match=r"unknown \['hops'\]"):
        MelConfig.from_dict({**known, "hops": 3})
    del known["hop"]
    with pytest.raises(ValueError, match=r"missing \['hop'\]"):
        MelConfig.from_dict(known)


def test_patches_must_divide() -> None:
    with pytest.raises(ValueError, match="does not divide 16 bands x 32 frames"):
        replace(TINY, patch=(5, 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop": 0}, "hop 0; expected whole numbers above 0"),
        ({"bands": -64, "frames": 1.5}, r"bands -64, frames 1\.5; expected"),
        ({"hop": 2048}, "hop 2048 is beyond n_fft 1024"),
        ({"f_max_hz": 9000.0}, "within 0 to rate_hz / 2"),
        ({"floor": 0.0}, "expected 0 < floor"),
        ({"ceiling": -8.0}, r"floor 0\.001 and ceiling -8\.0"),
        ({"scale": float("nan")}, "scale above 0"),
        ({"patch": 8}, "patch must be two whole numbers above 0, found 8"),
        ({"patch": [8, 0]}, "patch must be two whole numbers"),
    ],
)
def test_a_definition_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MelConfig.from_dict(MelConfig().as_dict() | change)
