"""Griffin-Lim gives a sound whose log-mel is the one it was given, in step with it, and always the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipsonic.mel import LogMel, MelConfig
from clipsonic.vocoders.griffin_lim import GriffinLimVocoder

CONFIG = MelConfig(rate_hz=8000, n_fft=256, hop=64, bands=16, frames=32, f_max_hz=4000.0, patch=(4, 4))
TIME = np.arange(CONFIG.samples) / CONFIG.rate_hz


def sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    clicks = 0.9 * (np.arange(CONFIG.samples) % 512 == 256) + rng.normal(0, 1e-3, CONFIG.samples)
    chord = 0.2 * np.sum([np.sin(2 * np.pi * pitch * TIME) for pitch in (220, 554, 1333)], 0)
    return {"noise": rng.normal(0, 0.1, CONFIG.samples), "clicks": clicks, "chord": chord}


@pytest.fixture(scope="module")
def log_mels() -> torch.Tensor:
    return LogMel(CONFIG)(torch.from_numpy(np.stack(list(sounds().values()))).float())


@pytest.fixture(scope="module")
def vocoded(log_mels: torch.Tensor) -> torch.Tensor:
    return GriffinLimVocoder(CONFIG)(log_mels)


def test_length_and_range(vocoded: torch.Tensor) -> None:
    assert vocoded.shape == (3, CONFIG.samples) and vocoded.dtype == torch.float32
    assert float(vocoded.abs().max()) <= 1 and not vocoded.requires_grad


def test_its_log_mel_is_the_one_given(log_mels: torch.Tensor, vocoded: torch.Tensor) -> None:
    """In nats, mean over bins; a tone's side lobes, far below it, are the hardest."""
    error = (LogMel(CONFIG)(vocoded) - log_mels).abs().mean((1, 2))
    for found, limit in zip(error.tolist(), (0.12, 0.2, 0.4), strict=True):
        assert found < limit


def test_it_is_in_step(log_mels: torch.Tensor, vocoded: torch.Tensor) -> None:
    """Half a hop early, as centred frames are, is clearly further off."""
    early = torch.nn.functional.pad(vocoded[:, CONFIG.hop // 2 :], (0, CONFIG.hop // 2))
    late = torch.nn.functional.pad(vocoded[:, : -CONFIG.hop // 2], (CONFIG.hop // 2, 0))
    error, error_early, error_late = (
        (LogMel(CONFIG)(each) - log_mels)[:2, :, 2:-2].abs().mean((1, 2)) for each in (vocoded, early, late)
    )
    assert (error_early > 1.4 * error).all() and (error_late > 1.4 * error).all()


def test_a_tone_keeps_its_pitch(vocoded: torch.Tensor) -> None:
    spectrum = np.abs(np.fft.rfft(vocoded[2].numpy()))
    peaks = np.fft.rfftfreq(CONFIG.samples, 1 / CONFIG.rate_hz)[np.argsort(spectrum)[-1]]
    assert min(abs(peaks - pitch) for pitch in (220, 554, 1333)) < 140  # within a mel band


def test_magnitudes_are_positive_and_give_the_mel(log_mels: torch.Tensor) -> None:
    vocoder = GriffinLimVocoder(CONFIG)
    magnitudes = vocoder.magnitudes(log_mels)
    assert float(magnitudes.min()) >= 0
    clamped = torch.clamp(vocoder.inverse @ log_mels.exp(), min=1e-5)  # the clamped pseudo-inverse alone

    def error(magnitudes: torch.Tensor) -> list[float]:
        found = torch.log(torch.clamp(vocoder.filters @ magnitudes, min=CONFIG.floor))
        return (found - log_mels).abs().mean((1, 2)).tolist()

    noise, clicks, chord = error(magnitudes)
    assert noise < 1e-3 and clicks < 1e-3 and chord < 0.25
    assert error(clamped)[2] > 0.4  # where clamping hurts


def test_a_log_mel_always_gives_the_same_samples(log_mels: torch.Tensor, vocoded: torch.Tensor) -> None:
    before = torch.get_rng_state()
    assert torch.equal(GriffinLimVocoder(CONFIG)(log_mels), vocoded)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("config", [CONFIG, MelConfig()])
def test_company_is_inaudible_to_the_last_bit(config: MelConfig) -> None:
    """Searched for in one batch, samples differ by 0.04 between batch sizes: rounding, amplified by momentum."""
    noise = torch.randn(4, config.samples, generator=torch.Generator().manual_seed(0)) * 0.1
    log_mels, vocoder = LogMel(config)(noise), GriffinLimVocoder(config)
    together = vocoder(log_mels)
    for index in range(4):
        assert torch.equal(vocoder(log_mels[index : index + 1])[0], together[index])


def test_silence_stays_silent() -> None:
    floor = torch.full((1, CONFIG.bands, CONFIG.frames), float(np.log(CONFIG.floor)))
    assert float(GriffinLimVocoder(CONFIG)(floor).abs().max()) < 0.03
