"""VGGish: its front end and its network against independent numpy ones, its windows against patches of a whole clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipsonic_metrics import MetricsError, Sound
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedders.vggish import LISTENING
from clipsonic_metrics.embedders.vggish_network import LogMel, VGGish

from .acoustic import assert_sounds_do_not_feel_their_neighbours, noises, save, state_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the official names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return save(state_of(VGGish()), tmp_path_factory.mktemp("vggish") / "vggish.pth")


def mel_of(hertz: float) -> float:
    return 1127.0 * float(np.log(1 + hertz / 700))


def log_mel_by_definition(samples: np.ndarray) -> np.ndarray:
    """(frames, 64) in float64: a DFT as a sum, a loop over the bands."""
    frames = 1 + (len(samples) - 400) // 160
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    wave = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    magnitude = np.abs(np.stack([wave @ (window * samples[160 * t : 160 * t + 400]) for t in range(frames)]))
    edges = mel_of(125) + (mel_of(7500) - mel_of(125)) / 65 * np.arange(66)
    bands = np.zeros((frames, 64))
    for band in range(64):
        for k in range(1, 257):
            at = mel_of(k * 16_000 / 512)
            rising = (at - edges[band]) / (edges[band + 1] - edges[band])
            falling = (edges[band + 2] - at) / (edges[band + 2] - edges[band + 1])
            bands[:, band] += max(0.0, min(rising, falling)) * magnitude[:, k]
    return np.log(bands + 0.01)


def network_by_definition(state: dict[str, torch.Tensor], patch: np.ndarray) -> np.ndarray:
    """(128,) in float64, from one (96, 64) patch: convolutions as sums of nine shifted products, channels last."""
    found = patch[:, :, None]
    for layer in (0, 3, 6, 8, 11, 13):
        kernel = state[f"features.{layer}.weight"].double().numpy()
        height, width, _ = found.shape
        framed = np.pad(found, ((1, 1), (1, 1), (0, 0)))
        shifted = sum(framed[i : i + height, j : j + width] @ kernel[:, :, i, j].T for i in range(3) for j in range(3))
        found = np.maximum(shifted + state[f"features.{layer}.bias"].double().numpy(), 0)
        if layer in (0, 3, 8, 13):
            found = found.reshape(height // 2, 2, width // 2, 2, -1).max(axis=(1, 3))
    flat = found.ravel()  # time, band, channel
    for layer in (0, 2, 4):
        flat = state[f"embeddings.{layer}.weight"].double().numpy() @ (flat if layer == 0 else np.maximum(flat, 0))
        flat = flat + state[f"embeddings.{layer}.bias"].double().numpy()
    return flat


def test_the_front_end_is_what_the_formula_says() -> None:
    [sound] = noises(16_000, 1.0)
    samples = sound.samples[None, :15_600]
    found = LogMel()(torch.from_numpy(samples)).numpy()
    assert found.shape == (1, 1, 96, 64)
    np.testing.assert_allclose(found[0, 0], log_mel_by_definition(samples[0].astype(np.float64)), atol=3e-5)


def test_the_state_has_the_official_names() -> None:
    with torch.device("meta"):
        state = VGGish().state_dict()
    layers = [f"features.{n}" for n in (0, 3, 6, 8, 11, 13)] + [f"embeddings.{n}" for n in (0, 2, 4)]
    assert list(state) == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    assert state["features.13.weight"].shape == (512, 512, 3, 3)
    assert state["embeddings.0.weight"].shape == (4096, 12_288) and state["embeddings.4.weight"].shape == (128, 4096)


def test_windows_are_the_patches_of_the_whole_clip(weights: Path) -> None:
    """What torchvggish cuts from the log-mel of a clip, and what our windows give, are the same rows."""
    [sound] = noises(16_000, 3.2)
    vggish = load_embedder("vggish", weights, replace(LISTENING, tail="drop"))
    [found] = vggish.embed_sounds([sound])
    log_mel = log_mel_by_definition(sound.samples.astype(np.float64))
    patches = [log_mel[96 * n : 96 * n + 96] for n in range(len(log_mel) // 96)]
    assert len(found) == len(patches) == 3
    state = torch.load(weights, weights_only=True)
    for row, patch in zip(found[:2], patches, strict=False):
        np.testing.assert_allclose(row, network_by_definition(state, patch), atol=2e-6)
    assert np.std(found) > 1e-3, "the tolerance means something"


def test_the_last_relu_is_another_embedder(weights: Path) -> None:
    sounds = noises(16_000, 1.0, 2.0)
    before, after = (load_embedder(name, weights) for name in ("vggish", "vggish-relu"))
    assert before.protocol != after.protocol and before.space != after.space
    plain, cut = (np.concatenate(each.embed_sounds(sounds)) for each in (before, after))
    assert (plain < 0).any()
    np.testing.assert_array_equal(cut, np.maximum(plain, 0))


def test_sounds_do_not_feel_their_neighbours(weights: Path) -> None:
    vggish = load_embedder("vggish", weights)
    sounds = [*noises(44_100, 0.3, 0.975, 2.6), *noises(16_000, 6.5, 9.2, channels=2)]
    assert_sounds_do_not_feel_their_neighbours(vggish, sounds)
    assert [len(each) for each in vggish.embed_sounds(sounds)] == [1, 1, 3, 7, 10]


def test_googles_second_hears_its_first_96_frames(weights: Path) -> None:
    google = replace(LISTENING, window=16_000, hop=8000, at_least=16_000, tail="drop", short="refuse")
    [sound] = noises(16_000, 1.0)
    later = sound.samples.copy()
    later[15_600:] = 0.7
    whole, altered = load_embedder("vggish", weights, google).embed_sounds([sound, Sound.of("later", later, 16_000)])
    np.testing.assert_array_equal(whole, altered)


def test_what_cannot_be_heard_is_refused(weights: Path, tmp_path: Path) -> None:
    for wrong in (replace(LISTENING, rate_hz=32_000), replace(LISTENING, window=15_599, hop=15_000, at_least=15_599)):
        with pytest.raises(MetricsError, match="vggish cannot listen as"):
            load_embedder("vggish", weights, wrong)
    strict = load_embedder("vggish", weights, replace(LISTENING, short="refuse"))
    with pytest.raises(MetricsError, match="noise-0 lasts 0.5 s, at least 0.975 s is needed"):
        strict.embed_sounds(noises(16_000, 0.5))
    state = torch.load(weights, weights_only=True)
    del state["embeddings.4.bias"]
    with pytest.raises(MetricsError, match=r"1 missing \(embeddings\.4\.bias\)"):
        load_embedder("vggish", save(state, tmp_path / "cut.pth"))


def test_without_weights_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPSONIC_WEIGHTS", str(tmp_path))
    for name in ("vggish", "vggish-relu"):
        with pytest.raises(MetricsError, match=r"clipsonic-metrics weights fetch vggish; .*--weights"):
            load_embedder(name)
