"""The doctor passes here, finds what it should find elsewhere, and random weights are usable and said to be random."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clipsonic_metrics import MetricsError, Sound, doctor, load_embedder
from clipsonic_metrics.cli import run
from clipsonic_metrics.random_weights import NETWORKS, random_state, write_random_weights


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPSONIC_CACHE", str(tmp_path / "cache"))


def test_this_installation_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["doctor", "--json", "-"])
    record = json.loads(capsys.readouterr().out)
    assert [each for each in record["checks"] if each["outcome"] == "failed"] == [] and code == 0
    assert {each["name"] for each in record["checks"]} == set(doctor.CHECKS)


def outcome(name: str) -> doctor.Check:
    return doctor._checked(name, doctor.CHECKS[name])


def test_versions_that_do_not_fit_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.11.0", "torchaudio": "2.10.0", "torchvision": "0.26.0"}
    monkeypatch.setattr(doctor, "version", lambda name: versions[name])
    found = outcome("torch, torchaudio, torchvision")
    assert found.failed and "torchaudio==2.11.* torchvision==0.26.*" in found.found


def test_an_empty_tokenizer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from clipsonic_metrics import embedders

    class Collapsed:
        def embed_texts(self, texts: list[str]) -> np.ndarray:
            return np.ones((len(texts), 4), np.float32) / 2

    monkeypatch.setattr(embedders, "load_embedder", lambda name: Collapsed())
    assert "hears no difference between captions" in outcome("tokenizers").found


def test_a_missing_codec_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from clipsonic_metrics import sound

    read = sound.read_sound

    def without_opus(path: Path, id: str | None = None) -> Sound:
        if path.suffix == ".webm":
            raise MetricsError(f"{path} is unreadable: Decoder not found")
        return read(path, id)

    monkeypatch.setattr(sound, "read_sound", without_opus)
    found = outcome("codecs")
    assert found.failed and ".webm (" in found.found and ".mp3" not in found.found


def test_numbers_that_are_not_what_they_were_are_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"microworld-clap": (0.5, 0.5, 0.5)}
    monkeypatch.setattr(doctor, "GOLDEN_EMBEDDINGS", wrong)
    monkeypatch.setattr(doctor, "CHECKS", {"known embeddings": doctor._golden_embeddings})
    assert run(["doctor"]) == 1
    assert "1 of 1 checks failed" in capsys.readouterr().out


def test_random_weights_are_seeded_and_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "v.safetensors"
    assert run(["weights", "random", "wav2clip", "--out", str(path), "--seed", "3"]) == 0
    captured = capsys.readouterr()
    digest = captured.out.split("sha256")[1].split()[0]
    assert "random: no score under" in captured.err
    embedder = load_embedder("wav2clip", path)
    assert f"sha256:{digest}" in embedder.protocol
    [vectors] = embedder.embed_sounds([Sound.of("x", np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)])
    assert vectors.shape == (1, 512) and np.isfinite(vectors).all()
    again = write_random_weights("wav2clip", tmp_path / "again.safetensors", seed=3)
    other = write_random_weights("wav2clip", tmp_path / "other.safetensors", seed=4)
    assert again.startswith(digest) and not other.startswith(digest)
    assert run(["weights", "random", "wav2clip", "--out", str(tmp_path / "v.pth")]) == 2
    assert "expected .safetensors" in capsys.readouterr().err


def test_the_spectrogram_in_random_cnn14_is_a_spectrogram() -> None:
    import torch

    assert set(NETWORKS) == {"vggish", "panns-cnn14-16k", "panns-cnn14-32k", "passt", "wav2clip"}
    state = random_state("panns-cnn14-16k", seed=0)
    samples = torch.randn(512, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    window = torch.hann_window(512, dtype=torch.float64)
    real = state["spectrogram_extractor.stft.conv_real.weight"][:, 0].double() @ samples
    imaginary = state["spectrogram_extractor.stft.conv_imag.weight"][:, 0].double() @ samples
    torch.testing.assert_close(torch.complex(real, imaginary), torch.fft.rfft(samples * window), atol=1e-5, rtol=1e-5)
    assert (state["logmel_extractor.melW"].sum(0) > 0).all()
