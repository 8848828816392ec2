"""frechet-audio-distance run on our networks: the same number where it is right, and its faults where it is not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clipsonic_metrics import MetricsError, Sound, peers
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedders.vggish_network import VGGish
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.profiles import find_profile

pytest.importorskip("frechet_audio_distance")
RATE_HZ = 16_000


class Bands:
    """Eight band energies of every quarter of a second."""

    protocol = "bands@1"
    space = "bands"

    def __init__(self, rate_hz: int = RATE_HZ, shift: float = 0.0) -> None:
        options = {"tail": "drop", "short": "refuse", "resampler": "resampy-kaiser-best"}
        self.listening = Listening(rate_hz=rate_hz, window=rate_hz // 4, **options)
        self.shift = shift

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
        return [self._embed(self.listening.windows(sound)) for sound in sounds]

    def _embed(self, windows: np.ndarray) -> np.ndarray:
        spectra = np.abs(np.fft.rfft(windows, axis=-1))
        bands = np.stack([band.mean(axis=-1) for band in np.array_split(spectra, 8, axis=-1)], axis=-1)
        return (np.log(bands + 1e-3) + self.shift).astype(np.float32)


def write(folder: Path, seed: int, count: int = 6, seconds: float = 2.0, rate_hz: int = RATE_HZ) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(count):
        noise = rng.normal(0, 0.05, int(seconds * rate_hz))
        tone = 0.2 * np.sin(2 * np.pi * 200 * (1 + index + seed) * np.arange(len(noise)) / rate_hz)
        soundfile.write(folder / f"{index}.wav", tone + noise, rate_hz, subtype="FLOAT")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "reference", 0), write(tmp_path / "generated", 3)


def test_the_same_number_where_the_covariances_are_regular(folders: tuple[Path, Path]) -> None:
    found = peers.parity(*folders, "vggish", Bands())
    assert found.frames == (48, 48) and found.ours > 0.01
    assert found.relative < 1e-6
    assert found.record()["peer"] == "frechet-audio-distance" and "relative" in found.record()


def test_its_protocol_is_none_of_ours(folders: tuple[Path, Path]) -> None:
    score = peers.peer_fad(*folders, "vggish", Bands())
    assert score.protocol.startswith("frechet-audio-distance@") and "(bands@1)" in score.protocol
    assert any("left out without a word" in note for note in score.notes)
    assert score.record()["backend"] == "frechet-audio-distance"


def test_a_failure_is_an_error_and_no_score(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The peer prints, and returns -1 or scores what it has: that way must fail."""
    write(tmp_path / "short", 1, seconds=0.1)
    with pytest.raises(MetricsError, match="gave up .*a sound lasts 0.1 s, at least 0.25 s is needed") as error:
        peers.peer_fad(folders[0], tmp_path / "short", "vggish", Bands())
    assert "\n" not in str(error.value)
    soundfile.write(folders[1] / "7.wav", np.zeros(800), RATE_HZ)  # one of seven is too short: it would score the rest
    with pytest.raises(MetricsError, match="gave up"):
        peers.peer_fad(*folders, "vggish", Bands())


def test_minus_one_is_an_error(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers._peer_class(), "calculate_frechet_distance", lambda *_: 1 / 0)
    with pytest.raises(MetricsError, match=r"gave up \(it returned -1\): .*division by zero; leave --backend out"):
        peers.peer_fad(*folders, "vggish", Bands())


def test_its_pann_is_a_distance_of_single_numbers(folders: tuple[Path, Path]) -> None:
    """Kept as a way that must fail: the dimensions of a vector may change places, and its moments stay."""

    class Whole(Bands):
        def _embed(self, windows: np.ndarray) -> np.ndarray:
            return super()._embed(windows).mean(axis=0, keepdims=True)

    class Reversed(Whole):
        def _embed(self, windows: np.ndarray) -> np.ndarray:
            return super()._embed(windows)[:, ::-1]

    samples = [soundfile.read(path, dtype="float32")[0] for path in sorted(folders[0].iterdir())]
    kind = peers.KINDS["panns-cnn14-16k"]
    moments = []
    for embedder in (Whole(), Reversed()):
        peer = peers._peer(kind, embedder)
        embeddings = peer.get_embeddings(samples, sr=RATE_HZ)
        assert embeddings.shape == (6 * 8,)  # not (6, 8)
        moments.append(peer.calculate_embd_statistics(embeddings))
    np.testing.assert_allclose(moments[0], moments[1], rtol=1e-6)
    stats = [np.concatenate(each.embed_sounds([Sound.of("a", samples[0], RATE_HZ)])) for each in (Whole(), Reversed())]
    assert np.abs(stats[0] - stats[1]).max() > 0.1  # and yet the vectors differ
    # SciPy 1.17 gives no second value for the root of one number: the peer then returns -1, an older one a distance.
    try:
        score = peers.peer_fad(folders[0], folders[0], "panns-cnn14-16k", Whole())
    except MetricsError as error:
        assert "it returned -1" in str(error)
    else:
        assert abs(score.value) < 1e-6 and any("single numbers" in note for note in score.notes)


@pytest.mark.parametrize(("name", "rate_hz"), [("laion-clap-music", 48_000), ("encodec-24k", 24_000)])
def test_every_kind_is_called_as_it_expects(folders: tuple[Path, Path], name: str, rate_hz: int) -> None:
    found = peers.parity(*folders, name, Bands(rate_hz=rate_hz))
    assert found.relative < 1e-6 and found.theirs > 0.01  # resampled alike, by resampy


def test_folders_that_it_would_trip_over_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[1] / "notes.txt").write_text("x")
    with pytest.raises(MetricsError, match="takes every entry of a folder for a sound, .* holds notes.txt"):
        peers.peer_fad(*folders, "vggish", Bands())
    with pytest.raises(MetricsError, match="has nothing like passt; it is compared in vggish"):
        peers.peer_fad(*folders, "passt", Bands())
    with pytest.raises(MetricsError, match="is not a folder"):
        peers.peer_fad(tmp_path / "absent", folders[1], "vggish", Bands())


def test_all_that_its_profile_has_can_be_compared() -> None:
    assert set(peers.KINDS) == set(find_profile(peers.NAME).listenings)


def test_laion_clap_is_not_imported_for_it(folders: tuple[Path, Path]) -> None:
    loaded = "laion_clap" in sys.modules
    peers._peer_class()
    assert ("laion_clap" in sys.modules) == loaded


def test_vggish_with_random_weights(folders: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save({name: part.half() for name, part in VGGish().state_dict().items()}, tmp_path / "vggish.pth")
    embedder = load_embedder("vggish", tmp_path / "vggish.pth", find_profile(peers.NAME).listening("vggish"))
    found = peers.parity(*folders, "vggish", embedder)
    assert found.frames == (12, 12)
    # 12 frames of 128 dimensions: the root of a product of covariances is off, downwards, by far more than rounding.
    assert abs(found.theirs - found.ours) < 1e-3 * found.ours + 1e-4
