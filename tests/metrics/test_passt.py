"""PaSST against hear21passt's own wrapper, with the same random weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipsonic_metrics import MetricsError
from clipsonic_metrics.embedder import SoundClassifier
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedders.passt import LISTENING, LogMel

from .acoustic import assert_sounds_do_not_feel_their_neighbours, noises, save, state_of

passt = pytest.importorskip("hear21passt.models.passt", reason="of the extra embedders")
SECOND = replace(LISTENING, window=32_000, hop=32_000, at_least=32_000)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    size = {
        "img_size": (128, 998),
        "patch_size": 16,
        "stride": (10, 10),
        "embed_dim": 768,
        "depth": 12,
        "num_heads": 12,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        found = passt.PaSST(**size, num_classes=527, distilled=True)
        for name, part in found.named_parameters():
            if part.ndim > 1 and ("blocks" in name or "head" in name):
                part.data.mul_(2)  # as drawn, everything is nearly the same
    found.load_state_dict({name: part.half() for name, part in found.state_dict().items()})
    return found.eval()


@pytest.fixture(scope="module")
def weights(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(state_of(network), tmp_path_factory.mktemp("passt") / "passt-s-f128-p16-s10-ap.476-swa.pt")


@pytest.fixture(scope="module")
def wrapper(network: torch.nn.Module) -> torch.nn.Module:
    """What `get_basic_model` makes, but for the download; its front end calls torch.stft as torch warns not to."""
    from hear21passt.models.preprocess import AugmentMelSTFT
    from hear21passt.wrapper import PasstBasicWrapper

    mel = AugmentMelSTFT(
        n_mels=128, sr=32_000, win_length=800, hopsize=320, n_fft=1024, fmin_aug_range=10, fmax_aug_range=2000
    )
    return PasstBasicWrapper(mel=mel, net=network, mode="all").eval()


def by_the_wrapper(wrapper: torch.nn.Module, rows: torch.Tensor) -> np.ndarray:
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(wrapper(rows).numpy())


def test_the_front_end_is_the_wrappers(wrapper: torch.nn.Module) -> None:
    rows = torch.from_numpy(LISTENING.windows(noises(32_000, 10.0)[0]).copy())
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = wrapper.mel(rows).numpy()
    assert expected.shape == (1, 128, 1000)
    np.testing.assert_allclose(LogMel()(rows)[:, 0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.large)])
def test_embeddings_and_logits_are_the_wrappers(
    wrapper: torch.nn.Module, weights: Path, seconds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = seconds * 32_000
    ours = load_embedder("passt", weights, replace(LISTENING, window=samples, hop=samples, at_least=samples))
    assert isinstance(ours, SoundClassifier)
    sounds = noises(32_000, seconds, seconds)
    rows = torch.from_numpy(np.concatenate([ours.listening.windows(sound) for sound in sounds]))
    expected = by_the_wrapper(wrapper, rows)
    capsys.readouterr()
    with torch.inference_mode():
        found, logits = ours.encode(rows).numpy(), ours.classify(rows).numpy()
    assert capsys.readouterr().out == "", "results go to stdout, shapes do not"
    assert found.shape == (2, 768) and logits.shape == (2, 527) and len(ours.labels) == 527
    for ours_, theirs in ((logits, expected[:, :527]), (found, expected[:, 527:])):
        np.testing.assert_allclose(ours_, theirs, atol=2e-5 * np.abs(theirs).max())
        assert np.ptp(theirs, axis=0).max() > 1e-3 * np.abs(theirs).max(), "the tolerance means something"


def test_sounds_do_not_feel_their_neighbours(weights: Path) -> None:
    half = replace(SECOND, window=16_000, hop=16_000, at_least=16_000)
    ours = load_embedder("passt", weights, half)
    sounds = [*noises(44_100, 0.15, 0.5), *noises(16_000, 1.2, 0.8, channels=2)]
    assert_sounds_do_not_feel_their_neighbours(ours, sounds)
    logits = ours.classify_sounds(sounds)
    assert [each.shape for each in logits] == [(1, 527), (1, 527), (2, 527), (2, 527)]
    together = ours.embed_and_classify_sounds(sounds)
    for found, expected in zip(together, (ours.embed_sounds(sounds), logits), strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_cannot_be_heard_is_refused(weights: Path, tmp_path: Path) -> None:
    for window in (5119, 320_001):
        with pytest.raises(MetricsError, match="passt cannot listen as"):
            load_embedder("passt", weights, replace(LISTENING, window=window, hop=window, at_least=window))
    state = torch.load(weights, weights_only=True)
    state["head.1.weight"] = state["head.1.weight"][:50]
    with pytest.raises(MetricsError, match=r"1 of another shape \(head\.1\.weight \(50, 768\) for \(527, 768\)\)"):
        load_embedder("passt", save(state, tmp_path / "esc50.pt"))


def test_loading_draws_no_random_numbers(weights: Path) -> None:
    before = torch.random.get_rng_state()
    load_embedder("passt", weights)
    assert torch.equal(before, torch.random.get_rng_state())
