"""Wav2CLIP: official names, standardised sound by sound, in the space of CLIP ViT-B/32. Weights are random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipsonic_metrics import MetricsError, Sound
from clipsonic_metrics.embedders import load_embedder, wav2clip
from clipsonic_metrics.listening import Listening

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def network() -> torch.nn.ModuleDict:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = wav2clip.build_network()
        for part in network.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture(scope="module")
def weights(network: torch.nn.ModuleDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wav2clip") / "Wav2CLIP.pt"
    torch.save({**network.state_dict(), "image_transform.sequential.0.weight": torch.zeros(2, 2)}, path)
    return path


def sounds(count: int = 5) -> list[Sound]:
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        time = np.arange(int((0.8 + 0.3 * index) * RATE_HZ)) / RATE_HZ
        tone = 0.1 * (index + 1) * np.sin(2 * np.pi * 300 * (index + 1) * time)
        found.append(Sound.of(f"{index}", (tone + 0.01 * rng.normal(size=len(time))).astype(np.float32), RATE_HZ))
    return found


def test_the_names_are_the_official_ones(network: torch.nn.ModuleDict) -> None:
    names = set(network.state_dict())
    assert {
        "audio_encoder.spectrogram.window",
        "audio_encoder.conv1.weight",
        "audio_encoder.bn1.running_mean",
        "audio_encoder.layer1.0.conv1.weight",
        "audio_encoder.layer4.1.bn2.bias",
        "audio_encoder.layer2.0.downsample.0.weight",
        "audio_encoder.layer2.0.downsample.1.running_var",
        "audio_transform.sequential.0.weight",
        "audio_transform.sequential.3.bias",
    } <= names
    assert len(names) == 1 + 120 + 4 and not any("fc" in name for name in names)
    assert network["audio_encoder"].conv1.weight.shape == (64, 1, 7, 7)


def test_one_unit_vector_per_sound(weights: Path) -> None:
    state = torch.get_rng_state()
    embedder = load_embedder("wav2clip", weights)
    assert torch.equal(torch.get_rng_state(), state)
    found = embedder.embed_sounds(sounds())
    assert [each.shape for each in found] == [(1, 512)] * 5
    np.testing.assert_allclose(np.linalg.norm(np.concatenate(found), axis=1), 1, rtol=1e-5)
    assert embedder.protocol.startswith("wav2clip@1/16000Hz/whole/") and embedder.space.startswith("wav2clip/sha256:")
    np.testing.assert_array_equal(embedder.embed_sounds(sounds()[::-1])[-1], found[0])
    assert np.abs(found[0] - found[4]).max() > 1e-3


def test_each_sound_is_standardised_by_itself(network: torch.nn.ModuleDict, weights: Path) -> None:
    """The wav2clip package standardises over the batch: kept here as a way that must fail."""
    quiet, loud = (torch.from_numpy(np.resize(each.samples, RATE_HZ)) for each in (sounds()[0], sounds()[4]))

    def by_batch(rows: torch.Tensor) -> torch.Tensor:
        encoder: Any = network["audio_encoder"]
        logarithm = torch.log(encoder.spectrogram(rows.unsqueeze(1)) + 1e-7)
        seen = (logarithm - logarithm.mean()) / (logarithm.std() + 1e-9)
        transform: Any = network["audio_transform"]
        return transform["sequential"](encoder(seen))

    with torch.no_grad():
        alone, together = by_batch(quiet[None])[0], by_batch(torch.stack([quiet, loud]))[0]
        found = wav2clip.embed(network, torch.stack([quiet, loud]))[0]
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)  # the meant value: a sound by itself
    assert (together - alone).norm() / alone.norm() > 0.01  # in company, the package gives another
    embedder = load_embedder("wav2clip", weights)
    [vector] = embedder.embed_sounds([Sound.of("quiet", quiet.numpy(), RATE_HZ)])
    np.testing.assert_allclose(vector[0], (alone / alone.norm()).numpy(), atol=1e-5)


def test_weights_and_rates_that_do_not_fit(network: torch.nn.ModuleDict, weights: Path, tmp_path: Path) -> None:
    state = network.state_dict()
    del state["audio_encoder.conv1.weight"]
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(
        MetricsError, match=r"less.pt does not fit the network: 1 missing \(audio_encoder.conv1.weight\)"
    ):
        load_embedder("wav2clip", tmp_path / "less.pt")
    with pytest.raises(MetricsError, match="wav2clip cannot listen as 44100Hz/"):
        load_embedder("wav2clip", weights, Listening(rate_hz=44_100, window=None))
    dead = {name: part * 0 if "sequential.0" in name else part for name, part in network.state_dict().items()}
    torch.save(dead, tmp_path / "dead.pt")
    with pytest.raises(
        MetricsError, match=r"dead.pt have collapsed: 5 unlike sounds have cosines from 1.0000 to 1.0000"
    ):
        load_embedder("wav2clip", tmp_path / "dead.pt")
    framed = load_embedder("wav2clip", weights, Listening(rate_hz=RATE_HZ, window=RATE_HZ // 2))
    assert len(framed.embed_sounds(sounds()[4:])[0]) == 4
