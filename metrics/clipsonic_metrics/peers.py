"""frechet-audio-distance (gudgud96, 0.3.4) run as it is, for comparison: `--backend frechet-audio-distance`.

Its own code reads the folders, resamples (resampy), gathers embeddings, estimates moments and takes the square root.
Networks are given to it: its own way to them is `torch.hub.load` and downloads at run time. Importing it imports
laion_clap, which looks for tokenizers on a hub: it is kept from that. What it prints and swallows, and the -1 that it
returns then, becomes an error here.

`notes` says, for each kind of embedding, which of its faults touch its number. Ours has none of them.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from clipsonic_metrics.embedder import SoundEmbedder
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.frechet import frechet_distance
from clipsonic_metrics.sound import SOUND_SUFFIXES, Sound, discover, read_sound
from clipsonic_metrics.stats import EmbeddingStats

if TYPE_CHECKING:
    from torch import Tensor

NAME: Final = "frechet-audio-distance"
_EVERY: Final = (
    "means are taken in float32, which costs about 1e-7 of the number",
    "the square root of a product of covariances loses half of the digits, and the distance may be negative, where a "
    "set has fewer frames than dimensions",
    "all sounds and embeddings are in memory at once",
    "every file of a folder is taken for a sound, and folders below it are not looked into",
)


@dataclass(frozen=True)
class _Kind:
    """What the peer calls a kind of embedding, the rate and channels that it reads sounds with, and its faults."""

    model: str
    rate_hz: int
    channels: int = 1
    notes: tuple[str, ...] = ()


_VGGISH: Final = ("a sound too short for one frame is left out without a word; here it is an error",)
_PANN: Final = (
    "the clips' vectors are laid end to end, and the distance is that of two sets of single numbers: two sets that "
    "differ in every dimension can score 0; with SciPy 1.17 it gives -1, always",
)
_CLAP: Final = ("a sound longer than 10 s is cropped at random; here it is given windows, so the number repeats",)

KINDS: Final[dict[str, _Kind]] = {
    "vggish": _Kind("vggish", 16_000, notes=_VGGISH),
    "vggish-relu": _Kind("vggish", 16_000, notes=_VGGISH),
    "panns-cnn14-16k": _Kind("pann", 16_000, notes=_PANN),
    "panns-cnn14-32k": _Kind("pann", 32_000, notes=_PANN),
    "encodec-24k": _Kind("encodec", 24_000),
    "encodec-48k": _Kind("encodec", 48_000, channels=2),
    "laion-clap-630k-audioset": _Kind("clap", 48_000, notes=_CLAP),
    "laion-clap-music": _Kind("clap", 48_000, notes=_CLAP),
    "laion-clap-music-speech-audioset": _Kind("clap", 48_000, notes=_CLAP),
}


@dataclass(frozen=True)
class PeerScore:
    """What the peer makes of two folders. `protocol` is the embedder's, under the peer's name and version: it is no
    protocol of ours, and compares with none."""

    value: float
    embedder: str
    protocol: str
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"metric": "fad", "backend": NAME} | asdict(self) | {"notes": list(self.notes)}


@dataclass(frozen=True)
class Parity:
    """Our FAD, and the peer's, of the same folders by the same network, heard in the same way."""

    embedder: str
    protocol: str
    ours: float
    theirs: float
    frames: tuple[int, int]
    notes: tuple[str, ...]

    @property
    def relative(self) -> float:
        """How far theirs is from ours, as a part of ours."""
        return abs(self.theirs - self.ours) / max(abs(self.ours), float(np.finfo(np.float64).tiny))

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"peer": NAME} | asdict(self) | {"relative": self.relative, "notes": list(self.notes)}


def peer_fad(
    reference: Path, generated: Path, name: str, embedder: SoundEmbedder, network: object | None = None
) -> PeerScore:
    """FAD by the installed frechet-audio-distance of two folders of sounds, with our network of that name in it.

    `embedder` is that network; to hear what the peer would, it is loaded to listen by the profile of the peer's name.
    A `network` of the very class that the peer calls takes its place, where one with the same weights is at hand.

    Raises:
        MetricsError: the package is not installed, has no such kind of embedding, or gave up, and why.
    """
    kind = _kind(name)
    for folder in (reference, generated):
        discover(folder, SOUND_SUFFIXES)
        _require_flat(folder)
    peer = _peer(kind, embedder)
    if network is not None:
        peer.model = network
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = peer.score(str(reference), str(generated))
    complaint = " ".join(line for line in said.getvalue().splitlines() if line.strip())
    if value is None or complaint or not np.isfinite(value):
        raise MetricsError(f"{NAME} gave up (it returned {value}): {complaint or 'it said nothing'}; {_REMEDY}")
    protocol = f"{NAME}@{version(NAME)}({embedder.protocol})"
    return PeerScore(float(value), name, protocol, (*kind.notes, *_EVERY))


_REMEDY: Final = "leave --backend out to compute it here"


def parity(
    reference: Path, generated: Path, name: str, embedder: SoundEmbedder, network: object | None = None
) -> Parity:
    """Both FADs of two folders, for the table of the README; `network` as in `peer_fad`.

    Raises:
        MetricsError: as `peer_fad`, or a sound that cannot be read or heard.
    """
    theirs = peer_fad(reference, generated, name, embedder, network)
    stats = [_stats(folder, embedder) for folder in (reference, generated)]
    frames = stats[0].count, stats[1].count
    return Parity(name, embedder.protocol, frechet_distance(*stats), theirs.value, frames, theirs.notes)


def _stats(folder: Path, embedder: SoundEmbedder) -> EmbeddingStats:
    sounds = [read_sound(path, id) for id, path in discover(folder, SOUND_SUFFIXES).items()]
    return EmbeddingStats.of(np.concatenate(embedder.embed_sounds(sounds)), embedder.protocol)


def _kind(name: str) -> _Kind:
    if name not in KINDS:
        raise MetricsError(f"{NAME} has nothing like {name}; it is compared in {', '.join(KINDS)}")
    return KINDS[name]


def _require_flat(folder: Path) -> None:
    other = [each for each in sorted(os.listdir(folder)) if Path(each).suffix.lower() not in SOUND_SUFFIXES]
    if other:
        remedy = "give it a folder of sound files alone"
        raise MetricsError(f"{NAME} takes every entry of a folder for a sound, {folder} holds {other[0]}; {remedy}")


def _peer(kind: _Kind, embedder: SoundEmbedder) -> Any:
    """The peer's class with the network in it. Its `__init__` is where it fetches, so it is not run."""
    import torch

    peer_class = _peer_class()
    peer = peer_class.__new__(peer_class)
    facts = {
        "model_name": kind.model,
        "sample_rate": kind.rate_hz,
        "channels": kind.channels,
        "verbose": False,
        "device": torch.device("cpu"),
        "audio_load_worker": 2,
        "model": _model(kind, embedder),
    }
    for key, value in facts.items():
        setattr(peer, key, value)
    return peer


def _model(kind: _Kind, embedder: SoundEmbedder) -> Any:
    """Our network where the peer calls its own, of each kind by another name and with another shape."""
    import torch

    def embed(samples: Any) -> Tensor:
        given = np.atleast_2d(np.asarray(samples, dtype=np.float32))
        [frames] = embedder.embed_sounds([Sound.of("a sound", given, kind.rate_hz)])
        return torch.from_numpy(np.ascontiguousarray(frames))

    if kind.model == "vggish":
        return SimpleNamespace(forward=lambda samples, rate_hz: embed(samples))
    if kind.model == "pann":
        return lambda samples, _: {"embedding": embed(samples[0])}
    if kind.model == "clap":
        return SimpleNamespace(get_audio_embedding_from_data=lambda samples, use_tensor: embed(samples[0]))
    return SimpleNamespace(encoder=lambda samples: embed(samples[0]).T[None], sample_rate=kind.rate_hz)


@functools.cache
def _peer_class() -> Any:
    try:
        version(NAME)
    except PackageNotFoundError as error:
        raise MetricsError(f"{NAME} is not installed; type: pip install 'clipsonic[peers]'") from error
    with _hidden("laion_clap"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("frechet_audio_distance.fad").FrechetAudioDistance


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """An empty module in place of one that fetches when it is imported, unless it has been imported already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]
