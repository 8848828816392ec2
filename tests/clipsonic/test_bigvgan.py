"""BigVGAN from its official files: the package's own forward to the last bit, on the package's own mel; and each file
that is not one refused in one line."""

from __future__ import annotations

import json
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipsonic.mel import LogMel, MelConfig
from clipsonic.preset import load_preset, preset_names
from clipsonic.vocoders import VOCODERS, check_vocoder, load_vocoder, within_full_scale

bigvgan = pytest.importorskip("bigvgan", reason="the extra vocoder is not installed")

NAME = "bigvgan-v2-22khz-80band"
MEL = replace(load_preset("small").mel, frames=8, patch=(5, 4))
CONFIG: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [4, 4, 4, 4],
    "upsample_kernel_sizes": [8, 8, 8, 8],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
    "activation": "snakebeta",
    "snake_logscale": True,
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "win_size": 1024,
    "sampling_rate": 22050,
    "fmin": 0,
    "fmax": None,
}


def package_network(seed: int = 0) -> torch.nn.Module:
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(seed)
        network: torch.nn.Module = bigvgan.BigVGAN(bigvgan.bigvgan.AttrDict(CONFIG))
        for name, value in network.named_parameters():  # its own first weights are too small to be heard
            torch.nn.init.normal_(value, 1.2 if name.endswith("weight_g") else 0.0, 0.1)
    return network.eval()


def write(folder: Path, network: torch.nn.Module, config: dict[str, Any] = CONFIG) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save({"generator": network.state_dict()}, folder / "bigvgan_generator.pt")
    return folder


@pytest.fixture(scope="module")
def log_mel() -> torch.Tensor:
    return LogMel(MEL)(torch.randn(3, MEL.samples, generator=torch.Generator().manual_seed(1)) * 0.1)


def test_random_weights_give_the_package_own_sound(
    tmp_path: Path, log_mel: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    network = package_network()
    with torch.no_grad():
        expected = network(log_mel)[:, 0]
    normalised = load_vocoder(NAME, MEL, write(tmp_path / "normalised", network))
    found = normalised(log_mel)
    assert found.shape == (3, MEL.samples) and float((found[0] - found[1]).std()) > 1e-2
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)  # rounding, amplified by its sines
    network.remove_weight_norm()
    capsys.readouterr()
    with torch.no_grad():
        plain = torch.cat([network(item[None])[:, 0] for item in log_mel])
    folder = write(tmp_path / "plain", network)
    state = torch.get_rng_state()
    assert torch.equal(load_vocoder(NAME, MEL, folder)(log_mel), plain)
    assert torch.equal(torch.get_rng_state(), state) and capsys.readouterr() == ("", "")
    assert torch.equal(found, plain)
    assert not any(value.requires_grad for value in normalised.parameters()) and not normalised.training


def test_company_is_inaudible_to_the_last_bit(tmp_path: Path, log_mel: torch.Tensor) -> None:
    vocoder = load_vocoder(NAME, MEL, write(tmp_path / "weights", package_network()))
    together = vocoder(log_mel)
    for index in range(3):
        assert torch.equal(vocoder(log_mel[index : index + 1])[0], together[index])


@pytest.mark.parametrize("preset", ["small", "base"])
def test_our_mel_is_the_package_mel(preset: str) -> None:
    """BigVGAN's meldataset.py on the same samples; librosa's filters there, torchaudio's here."""
    mel = replace(load_preset(preset).mel, frames=32)
    rng = np.random.default_rng(0)
    samples = torch.from_numpy(rng.normal(0, 0.1, (2, mel.samples))).float()
    samples[:, : mel.samples // 2] *= 1e-4
    fields = bigvgan.bigvgan.AttrDict(
        n_fft=mel.n_fft, num_mels=mel.bands, sampling_rate=mel.rate_hz, hop_size=mel.hop, win_size=mel.n_fft,
        fmin=0, fmax=None,
    )  # fmt: skip
    theirs = bigvgan.get_mel_spectrogram(samples, fields)
    torch.testing.assert_close(LogMel(mel)(samples), theirs, atol=2e-4, rtol=0)
    silence = bigvgan.get_mel_spectrogram(torch.zeros(1, mel.samples), fields)
    torch.testing.assert_close(LogMel(mel)(torch.zeros(1, mel.samples)), silence)
    assert float(silence.max()) == pytest.approx(np.log(mel.floor), abs=1e-5)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_heard_through_its_vocoder(name: str) -> None:
    preset = load_preset(name)
    check_vocoder(preset.vocoder, preset.mel)
    others = [other for other in VOCODERS if other not in (preset.vocoder, "griffin-lim")]
    for other in others:
        with pytest.raises(ValueError, match=f"vocoder {other!r} does not take this model's mel: .*rate_hz"):
            check_vocoder(other, preset.mel)


def test_every_value_that_differs_is_named() -> None:
    with pytest.raises(
        ValueError,
        match=r"mel: floor 0.001 \(wanted 1e-05\), rate_hz 16000 \(wanted 24000\), bands 64 \(wanted 100\), "
        r"f_max_hz 8000 \(wanted 12000\); --vocoder griffin-lim takes any",
    ):
        check_vocoder("bigvgan-v2-24khz-100band", MelConfig())
    with pytest.raises(ValueError, match="mel: hop 512"):
        check_vocoder(NAME, replace(MEL, hop=512))
    with pytest.raises(ValueError, match="'bigvgan-v2-22khz' does not exist; did you mean 'bigvgan-v2-22khz-80band'"):
        check_vocoder("bigvgan-v2-22khz", MEL)
    with pytest.raises(ValueError, match="'griffin-lim' has no weights"):
        load_vocoder("griffin-lim", MEL, Path("weights"))


def test_weights_that_are_not_here_say_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=f"'{NAME}' are not on this machine: clipsonic weights fetch {NAME}, or"):
        load_vocoder(NAME, MEL)
    with pytest.raises(ValueError, match="holds no BigVGAN: config.json and bigvgan_generator.pt missing"):
        load_vocoder(NAME, MEL, tmp_path)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "weights", package_network())
    torch.save({"generator": Trap()}, folder / "bigvgan_generator.pt", pickle_module=pickle)
    with pytest.raises(ValueError, match="bigvgan_generator.pt is no BigVGAN checkpoint: Weights only load failed"):
        load_vocoder(NAME, MEL, folder)
    assert not (tmp_path / "sprung").exists()


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    network = package_network()

    def refused(message: str, config: Any = CONFIG, state: Any = None) -> None:
        folder = write(tmp_path / "weights", network)
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        if state is not None:
            torch.save(state, folder / "bigvgan_generator.pt")
        with pytest.raises(ValueError, match=message) as told:
            load_vocoder(NAME, MEL, folder)
        assert "\n" not in str(told.value)

    refused("config.json is not JSON", "{")
    refused("config.json is no BigVGAN config: sampling_rate, ", "[]")
    refused("config.json is no BigVGAN config: num_mels missing", {k: v for k, v in CONFIG.items() if k != "num_mels"})
    refused(r"is not of 'bigvgan-v2-22khz-80band': fmax 8000 \(wanted 11025\)", {**CONFIG, "fmax": 8000})
    refused("does not fit its config: .*size mismatch", {**CONFIG, "upsample_initial_channel": 64})
    refused("config.json is no BigVGAN config", {k: v for k, v in CONFIG.items() if k != "upsample_rates"})
    state = dict(network.state_dict())
    state.pop(next(iter(state)))
    refused("does not fit its config: .*Missing key", state={"generator": state})
    refused("expected tensors under the key 'generator'", state={"discriminator": {}})
    folder = write(tmp_path / "weights", network)
    (folder / "bigvgan_generator.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="bigvgan_generator.pt is no BigVGAN checkpoint"):
        load_vocoder(NAME, MEL, folder)


def test_what_the_vocoder_makes_is_within_full_scale(tmp_path: Path, log_mel: torch.Tensor) -> None:
    vocoder = load_vocoder(NAME, MEL, write(tmp_path / "weights", package_network()))
    assert torch.equal(within_full_scale(vocoder(log_mel))[1], torch.ones(3))
