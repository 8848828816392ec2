"""The parity table: our FAD in each peer's profile, and the peer's own where it can be run, on the same sounds.

    uv run pytest benchmarks/parity -s

Weights are random and the same on both sides: the numbers mean nothing but their agreement. Sounds are the first six
and the last six of `../shared/media/sounds`, or generated ones where those are absent, each played twice: the clips of
av-benchmark last 8 s. EnCodec, which takes long, hears their first two seconds. The peer is run as it is, with a
network in the place of the one it would fetch: ours for VGGish and Cnn14; for EnCodec and CLAP the classes that it
calls itself, Meta's and LAION's, the latter small, and with LAION's own preparation of sounds. Peers that are not run
need another Python, TensorFlow or packages that exist in git alone: their profile gives our number only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from clipsonic_metrics import MetricsError, load_embedder
from clipsonic_metrics.embedders import laion_clap
from clipsonic_metrics.embedders.files import load_state
from clipsonic_metrics.peers import KINDS, peer_fad
from clipsonic_metrics.profiles import PROFILES
from clipsonic_metrics.random_weights import NETWORKS, write_random_weights
from clipsonic_metrics.scoring import score_folder
from clipsonic_metrics.ways import Inputs
from clipsonic_metrics.workspace import Options, Workspace

MEDIA = Path(__file__).parents[2] / ".." / "shared" / "media" / "sounds"
PEER = "frechet-audio-distance"
AGREES = {
    "vggish": 1e-4,
    "vggish-relu": 1e-4,
    "encodec-24k": 1e-4,
    "encodec-48k": 1e-4,
    "laion-clap-630k-audioset": 1e-4,
    "laion-clap-music": 1e-4,
    "laion-clap-music-speech-audioset": 1e-4,
}
"""Relative difference to the peer where its statistic is the right one: with fewer frames than dimensions its square
root keeps half of the digits. Its PANN score is another statistic (see its notes)."""


@pytest.fixture(scope="module")
def sounds_of_both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`reference` and `generated`, and in `beginnings` the first two seconds of both."""
    root = tmp_path_factory.mktemp("sounds")
    sounds = sorted(MEDIA.glob("*.wav")) if MEDIA.is_dir() else generated(root / "all")
    for name, part in (("reference", sounds[:6]), ("generated", sounds[6:12])):
        (root / name).mkdir()
        (root / "beginnings" / name).mkdir(parents=True)
        for path in part:
            samples, rate_hz = soundfile.read(path)
            soundfile.write(root / name / path.name, np.concatenate([samples, samples]), rate_hz)
            soundfile.write(root / "beginnings" / name / path.name, samples[: 2 * rate_hz], rate_hz)
    return root


def generated(folder: Path) -> list[Path]:
    folder.mkdir()
    for index in range(12):
        rng = np.random.default_rng(index)
        clock = np.arange(5 * 44_100) / 44_100
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(80, 4000) * clock) + 0.05 * rng.normal(size=len(clock))
        soundfile.write(folder / f"{index:02d}.wav", tone, 44_100)
    return sorted(folder.iterdir())


Network = tuple[Path, Callable[[], object] | None]
"""Weights, and what makes the network that the peer calls, where it is not ours."""


def small_random(source: str, folder: Path) -> Network | None:
    """Random weights under the official names; None where the package that has the network is not installed."""
    if source in NETWORKS:
        path = folder / f"{source}.safetensors"
        if not path.exists():
            write_random_weights(source, path, seed=0)
        return path, None
    if source.startswith("encodec-"):
        return metas_encodec(source, folder) if find_spec("encodec") else None
    return laions_clap(source, folder) if find_spec("laion_clap") else None


def metas_encodec(source: str, folder: Path) -> Network:
    """Meta's own class, which is built on an interface that torch has deprecated."""
    encodec = import_module("encodec").EncodecModel
    build = encodec.encodec_model_24khz if source == "encodec-24k" else encodec.encodec_model_48khz
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(pretrained=False).eval()
    path = folder / f"{source}.th"
    torch.save(model.state_dict(), path)
    return path, lambda: model


def laions_clap(source: str, folder: Path) -> Network:
    """LAION's own network, small, with weights whose vectors spread; a fresh network's would all but coincide."""
    fusion = "fusion" if source.endswith("-fusion") else "none"
    (folder / fusion).mkdir(exist_ok=True)
    path, words = folder / fusion / "network.pt", {"vocab_size": 320, "hidden_size": 768, "num_hidden_layers": 1}
    text = words | {"num_attention_heads": 12, "intermediate_size": 64, "max_position_embeddings": 90}
    network: Any = laion_clap.build_network(8, [2, 1, 1, 1], fusion, text | {"type_vocab_size": 1})
    rng = torch.Generator().manual_seed(0)

    def drawn(name: str, part: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(part.shape, generator=rng)
        if "extractor" in name or not part.is_floating_point() or name.endswith("attn_mask"):
            return part.clone()
        if "bn0.running_mean" in name:
            return -30 + 5 * noise
        if "running_var" in name:
            return (200 if "bn0" in name else 1) * (1 + 0.1 * noise.abs())
        if part.ndim < 2:
            return (1 if name.endswith("weight") else 0) + 0.1 * noise
        return noise / (1 if "embeddings" in name else part[0].numel() ** 0.5)

    state = {name: drawn(name, part) for name, part in network.state_dict().items()}
    torch.save(state, path)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters, *(f"filler{index}" for index in range(59)), "<mask>"]
    (path.parent / "vocab.json").write_text(
        json.dumps({token: index for index, token in enumerate(tokens)}), encoding="utf-8"
    )
    (path.parent / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    load_state(network, state, path)

    def peers() -> object:
        prepare = import_module("laion_clap.training.data").get_audio_features
        audio = {"sample_rate": 48_000, "window_size": 1024, "hop_size": 480, "mel_bins": 64, "fmin": 50, "fmax": 14000}

        def embed(rows: torch.Tensor, use_tensor: bool) -> torch.Tensor:
            given = [prepare({}, row, 480_000, "rand_trunc", "repeatpad", audio) for row in rows]
            with torch.inference_mode():
                return torch.as_tensor(network.get_audio_embedding(given))

        return SimpleNamespace(get_audio_embedding_from_data=embed)

    return path, peers


ROWS = [(profile.name, name) for profile in PROFILES.values() for name in profile.listenings]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the weights."""
    print("\n| profile | embedder | ours | the peer's | apart |\n|---|---|---|---|---|")
    return tmp_path_factory.mktemp("weights")


@pytest.mark.filterwarnings("ignore")  # of the peers, and of what they import
@pytest.mark.parametrize(("profile", "name"), ROWS)
def test_parity(sounds_of_both: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, profile: str, name: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # laion_clap looks there when imported
    made = small_random("vggish" if name == "vggish-relu" else name, folder)
    if made is None:
        pytest.skip(f"the package that {name} is of is not installed")
    path, network = made
    root = sounds_of_both / "beginnings" if name.startswith("encodec-") else sounds_of_both
    hears = PROFILES[profile].listening
    reference, generated = root / "reference", root / "generated"
    work = Workspace(Options(weights={name: path}, listening=hears))
    report = score_folder(Inputs(generated, reference), ["fad"], work, embedders=[name])
    assert report is not None
    ours, theirs, apart = report.scored[0].score.value, "not run", ""
    relative = 0.0
    if profile == PEER and name in KINDS:
        embedder = load_embedder(name, path, hears(name))
        try:
            peer = peer_fad(reference, generated, name, embedder, None if network is None else network()).value
        except MetricsError:  # it swallowed an error of its own
            theirs, apart = "-1", "gave up on an error"
        else:
            relative = abs(peer - ours) / abs(ours)
            theirs, apart = f"{peer:.6g}", f"{relative:.0e}"
    print(f"| `{profile}` | `{name}` | {ours:.6g} | {theirs} | {apart} |")
    assert relative <= AGREES.get(name, 1.0), f"{name}: ours {ours:.12g}, theirs {theirs}"
