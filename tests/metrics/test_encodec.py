"""EnCodec against Meta's own package, with the same random weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from clipsonic_metrics import MetricsError
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedders.encodec import LISTENING_24K, LISTENING_48K
from clipsonic_metrics.listening import Listening

from .acoustic import assert_sounds_do_not_feel_their_neighbours, noises, save

encodec = pytest.importorskip("encodec.model", reason="of the extra peers")
transformers = pytest.importorskip("transformers", reason="of the extra embedders")
LISTENING = {"24k": LISTENING_24K, "48k": LISTENING_48K}
RATE_HZ = {"24k": 24_000, "48k": 48_000}


@pytest.fixture(scope="module", params=["24k", "48k"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def oracle(kind: str) -> torch.nn.Module:
    """Meta's model with random weights; it is built on an interface that torch has deprecated."""
    build = {"24k": encodec.EncodecModel.encodec_model_24khz, "48k": encodec.EncodecModel.encodec_model_48khz}[kind]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(4)
        model = build(pretrained=False)
        for name, part in model.encoder.named_parameters():
            if "norm" in name:
                part.data.add_(torch.randn(part.shape) / 10)
    return model.eval()


@pytest.fixture(scope="module")
def weights(kind: str, oracle: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole state, decoder and quantiser too, under Meta's names."""
    return save(oracle.state_dict(), tmp_path_factory.mktemp("encodec") / f"encodec_{kind}.th")


def expected_of(oracle: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
    """(rows, frames, 128)."""
    rows = rows if rows.ndim == 3 else rows[:, None]
    with torch.inference_mode():
        return np.asarray(oracle.encoder(torch.from_numpy(rows.copy())).transpose(1, 2).numpy())


def second(kind: str) -> Listening:
    return replace(LISTENING[kind], window=RATE_HZ[kind], hop=RATE_HZ[kind], at_least=RATE_HZ[kind])


def test_frames_are_those_of_metas_encoder(kind: str, oracle: torch.nn.Module, weights: Path) -> None:
    listening = second(kind)
    ours = load_embedder(f"encodec-{kind}", weights, listening)
    [sound] = noises(RATE_HZ[kind], 2.0, channels=2)
    expected = expected_of(oracle, listening.windows(sound))
    [found] = ours.embed_sounds([sound])
    frames = {"24k": 75, "48k": 150}[kind]
    assert expected.shape == (2, frames, 128) and found.shape == (2 * frames, 128)
    np.testing.assert_allclose(found, expected.reshape(-1, 128), atol=1e-5 * np.abs(expected).max())
    assert expected.std(axis=(0, 1)).max() > 0.01 * np.abs(expected).max(), "the tolerance means something"


def test_whole_sounds_of_any_length(kind: str, oracle: torch.nn.Module, weights: Path) -> None:
    whole = replace(LISTENING[kind], window=None, hop=0, at_least=RATE_HZ[kind])
    ours = load_embedder(f"encodec-{kind}", weights, whole)
    sounds = noises(RATE_HZ[kind], 1.234, 2.0051)
    for sound, found in zip(sounds, ours.embed_sounds(sounds), strict=True):
        expected = expected_of(oracle, whole.windows(sound))[0]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_both_namings_give_the_same_vectors(kind: str, weights: Path, tmp_path: Path) -> None:
    """The converted file of transformers: its names, without decoder and quantiser here."""
    renamed = {}
    for name, part in torch.load(weights, weights_only=True).items():
        if name.startswith("encoder."):
            name = name.replace("model.", "layers.").replace("conv.conv.", "conv.").replace("conv.norm.", "norm.")
            renamed[name] = part.contiguous()
    converted = tmp_path / "model.safetensors"
    safetensors.torch.save_file(renamed, str(converted))
    config = {"24k": {}, "48k": {"norm_type": "time_group_norm", "use_causal_conv": False, "audio_channels": 2}}[kind]
    own = transformers.EncodecModel(transformers.EncodecConfig(**config)).state_dict()
    official = {name.replace("parametrizations.weight.original0", "weight_g") for name in own}
    official = {name.replace("parametrizations.weight.original1", "weight_v") for name in official}
    assert set(renamed) == {name for name in official if name.startswith("encoder.")}
    sounds = noises(RATE_HZ[kind], 1.0)
    metas, theirs = (load_embedder(f"encodec-{kind}", path, second(kind)) for path in (weights, converted))
    np.testing.assert_array_equal(metas.embed_sounds(sounds)[0], theirs.embed_sounds(sounds)[0])


def test_sounds_do_not_feel_their_neighbours(kind: str, weights: Path) -> None:
    fifth = RATE_HZ[kind] // 5
    ours = load_embedder(f"encodec-{kind}", weights, replace(second(kind), window=fifth, hop=fifth, at_least=fifth))
    sounds = [*noises(44_100, 0.05, 0.2), *noises(16_000, 0.49, 0.7, channels=2)]
    assert_sounds_do_not_feel_their_neighbours(ours, sounds)
    frames = {"24k": 15, "48k": 30}[kind]
    assert [len(each) for each in ours.embed_sounds(sounds)] == [frames, frames, 2 * frames, 4 * frames]


def test_stereo_is_heard_by_the_48k_alone(kind: str, weights: Path) -> None:
    ours = load_embedder(f"encodec-{kind}", weights, second(kind))
    [wide] = noises(RATE_HZ[kind], 1.0, channels=2)
    middle = type(wide).of("middle", wide.samples, wide.rate_hz)
    of_wide, of_middle = ours.embed_sounds([wide, middle])
    assert np.array_equal(of_wide, of_middle) == (kind == "24k")
    wrong = replace(second(kind), mono="mean" if kind == "48k" else "stereo")
    with pytest.raises(MetricsError, match="cannot listen as"):
        load_embedder(f"encodec-{kind}", weights, wrong)


def test_weights_of_the_other_rate_do_not_fit(kind: str, weights: Path) -> None:
    other = {"24k": "encodec-48k", "48k": "encodec-24k"}[kind]
    with pytest.raises(MetricsError, match="does not fit the network"):
        load_embedder(other, weights)
