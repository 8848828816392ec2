"""PANNs' Cnn14 against frechet-audio-distance's, with the same random weights, its front end against torchlibrosa."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipsonic_metrics import MetricsError, Sound
from clipsonic_metrics.embedder import SoundClassifier, SoundEmbedder
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedders.panns import LISTENING_16K, LISTENING_32K

from .acoustic import assert_sounds_do_not_feel_their_neighbours, noises, save

torchlibrosa = pytest.importorskip("torchlibrosa.stft", reason="of the extra peers")
PEER = importlib.util.find_spec("frechet_audio_distance")
if PEER is None or PEER.submodule_search_locations is None:
    pytest.skip("frechet-audio-distance is not installed (extra peers)", allow_module_level=True)

SECOND_16K = replace(LISTENING_16K, window=16_000, hop=16_000, at_least=16_000)
SECOND_32K = replace(LISTENING_32K, window=32_000, hop=32_000, at_least=32_000)


@pytest.fixture(scope="module")
def oracle() -> torch.nn.Module:
    """The peer's Cnn14_16k with random weights; its package itself is not imported, for that asks the network."""
    models = Path(next(iter(PEER.submodule_search_locations))) / "models"
    found = importlib.util.spec_from_file_location(
        "pann_oracle", models / "__init__.py", submodule_search_locations=[str(models)]
    )
    sys.modules["pann_oracle"] = importlib.util.module_from_spec(found)
    pann = importlib.import_module("pann_oracle.pann")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = pann.Cnn14_16k(16_000, 512, 160, 64, 50, 8000, 527)
        for name, part in network.state_dict().items():
            if "running_mean" in name or (".bn" in name and name.endswith("bias")):
                part.normal_(0, 0.1)
            elif "running_var" in name or (".bn" in name and name.endswith("weight")):
                part.uniform_(0.7, 1.5)
            elif "conv_block" in name:
                part.mul_(2)  # or what differs between sounds is drowned on its way through the layers
    network.bn0.running_mean.fill_(-20)  # decibels
    network.bn0.running_var.fill_(200)
    network.load_state_dict({name: part.half() for name, part in network.state_dict().items()})
    return network.eval()


@pytest.fixture(scope="module")
def weights(oracle: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the official file has them: under "model", front end and all."""
    state = {name: part.half() if part.is_floating_point() else part for name, part in oracle.state_dict().items()}
    return save({"iteration": 3, "model": state}, tmp_path_factory.mktemp("panns") / "Cnn14_16k.pth")


@pytest.fixture(scope="module")
def weights_32k(weights: Path) -> Path:
    """The same network behind the front end of 32 kHz, with the filters of the official file (50 to 14 000 Hz)."""
    state = torch.load(weights, weights_only=True)["model"]
    spectrogram = torchlibrosa.Spectrogram(n_fft=1024, hop_length=320, win_length=1024).state_dict()
    log_mel = torchlibrosa.LogmelFilterBank(sr=32_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000).state_dict()
    state |= {f"spectrogram_extractor.{name}": part for name, part in spectrogram.items()}
    state |= {f"logmel_extractor.{name}": part for name, part in log_mel.items()}
    return save({"model": state}, weights.with_name("Cnn14_32k.pth"))


def test_embeddings_and_logits_are_the_peers(oracle: torch.nn.Module, weights: Path) -> None:
    panns = load_embedder("panns-cnn14-16k", weights, SECOND_16K)
    assert isinstance(panns, SoundEmbedder) and isinstance(panns, SoundClassifier)
    sounds = noises(16_000, 1.0, 2.0)
    rows = torch.from_numpy(np.concatenate([SECOND_16K.windows(sound) for sound in sounds]))
    with torch.inference_mode():
        expected = oracle(rows)
    found = np.concatenate(panns.embed_sounds(sounds))
    scale = float(expected["embedding"].abs().max())
    np.testing.assert_allclose(found, expected["embedding"].numpy(), atol=1e-5 * scale)
    logits = np.concatenate(panns.classify_sounds(sounds))
    assert logits.shape == (3, 527) == (3, len(panns.labels))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected["clipwise_output"].numpy(), atol=1e-5)
    together = panns.embed_and_classify_sounds(sounds)
    np.testing.assert_array_equal(np.concatenate(together[0]), found)
    np.testing.assert_array_equal(np.concatenate(together[1]), logits)
    assert np.std(logits, axis=0).max() > 0.01 and np.std(found, axis=0).max() > 0.01 * scale, (
        "tolerances mean something"
    )


def test_whole_clips_are_the_peers(oracle: torch.nn.Module, weights: Path) -> None:
    """The peer drops the batch axis of this and pools 2048 numbers as if they were 2048 items. Here a clip is a row."""
    whole = load_embedder("panns-cnn14-16k", weights, replace(LISTENING_16K, window=None, hop=0, at_least=32_000))
    sounds = noises(16_000, 2.3, 3.1)
    found = whole.embed_sounds(sounds)
    assert [each.shape for each in found] == [(1, 2048), (1, 2048)]
    for row, sound in zip(found, sounds, strict=True):
        with torch.inference_mode():
            expected = oracle(torch.from_numpy(sound.samples)[None])["embedding"].numpy()
        np.testing.assert_allclose(row, expected, atol=1e-5 * np.abs(expected).max())
    pooled = np.concatenate([row[0] for row in found])
    assert pooled.ndim == 1 and np.cov(pooled).ndim == 0, "what the peer's axis leads to: one variance of 4096 numbers"


def test_the_front_end_is_torchlibrosas(weights_32k: Path) -> None:
    panns = load_embedder("panns-cnn14-32k", weights_32k, SECOND_32K)
    network = panns.build()
    rows = torch.from_numpy(SECOND_32K.windows(noises(32_000, 1.0)[0]).copy())
    power = torchlibrosa.Spectrogram(n_fft=1024, hop_length=320, win_length=1024)(rows)
    expected = torchlibrosa.LogmelFilterBank(sr=32_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000, top_db=None)(power)
    with torch.inference_mode():
        found = network.logmel_extractor(network.spectrogram_extractor(rows))
    assert found.shape == (1, 1, 101, 64)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-4)  # decibels
    assert panns.embed_sounds(noises(32_000, 1.5))[0].shape == (2, 2048)


def test_weights_of_the_other_rate_do_not_fit(weights: Path, weights_32k: Path) -> None:
    with pytest.raises(MetricsError, match=r"3 of another shape \(spectrogram_extractor"):
        load_embedder("panns-cnn14-32k", weights)
    with pytest.raises(MetricsError, match=r"of another shape"):
        load_embedder("panns-cnn14-16k", weights_32k)


def test_sounds_do_not_feel_their_neighbours(weights: Path) -> None:
    panns = load_embedder("panns-cnn14-16k", weights, SECOND_16K)
    sounds = [*noises(22_050, 0.2, 1.0), *noises(48_000, 3.4, 1.6, channels=2)]
    assert_sounds_do_not_feel_their_neighbours(panns, sounds)
    assert [len(each) for each in panns.embed_sounds(sounds)] == [1, 1, 3, 2]
    whole = load_embedder("panns-cnn14-16k", weights, replace(LISTENING_16K, window=None, hop=0, at_least=16_000))
    assert_sounds_do_not_feel_their_neighbours(whole, sounds)


def test_what_cannot_be_heard_is_refused(weights: Path) -> None:
    for wrong in (
        replace(LISTENING_16K, rate_hz=32_000),
        replace(LISTENING_16K, window=5000, hop=5000, at_least=5000),
        replace(LISTENING_16K, window=None, at_least=5000),
    ):
        with pytest.raises(MetricsError, match="panns-cnn14-16k cannot listen as"):
            load_embedder("panns-cnn14-16k", weights, wrong)
    with pytest.raises(MetricsError, match="holds no samples"):
        load_embedder("panns-cnn14-16k", weights).embed_sounds([Sound.of("empty", np.zeros(0), 16_000)])
