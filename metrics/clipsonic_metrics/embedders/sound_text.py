"""An embedder of sounds and texts in one space: a network over windows, and a text encoder over tokens.

What LAION's CLAP has in common, whichever package its network is from. A network without fusion hears windows of 10 s.
A network with fusion hears whole sounds: one longer than 10 s decides so by itself, and gives one vector (clap_mel.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from clipsonic_metrics.embedder import (
    Encode,
    Vectors,
    WindowedEmbedder,
    in_equal_batches,
    no_vectors,
    over_windows,
)
from clipsonic_metrics.embedders.clap_mel import RATE_HZ, SAMPLES
from clipsonic_metrics.embedders.sanity import check_sounds, check_texts
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sound import Sound

if TYPE_CHECKING:
    from torch import Tensor

WINDOWS: Final = Listening(rate_hz=RATE_HZ, window=SAMPLES, short="repeat-zero")
WHOLE: Final = Listening(rate_hz=RATE_HZ, window=None, short="repeat-zero", at_least=SAMPLES)
_SOUND_ROWS: Final = 8
_TEXT_ROWS: Final = 16


@dataclass(frozen=True)
class SoundTextNetwork:
    """What is built of a checkpoint: `encode_texts` takes what `tokens` gives of texts; both encoders give unit vectors
    (rows, dim)."""

    encode_sounds: Encode
    tokens: Callable[[Sequence[str]], Tensor]
    encode_texts: Encode


@dataclass(frozen=True, kw_only=True)
class SoundTextEmbedder:
    """`sounds` embeds sounds; `network`, built once, has the text encoder."""

    sounds: WindowedEmbedder
    network: Callable[[], SoundTextNetwork]
    tokenizer_sha256: str

    @property
    def protocol(self) -> str:
        """Name, version, how it listens, weights and tokenizer."""
        return f"{self.sounds.protocol}/tokenizer:{self.tokenizer_sha256[:12]}"

    @property
    def space(self) -> str:
        return self.sounds.space

    @property
    def listening(self) -> Listening:
        return self.sounds.listening

    @property
    def dim(self) -> int:
        return self.sounds.dim

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, dim) array of unit vectors per sound.

        Raises:
            MetricsError: a sound that its way of listening refuses.
        """
        return self.sounds.embed_sounds(sounds)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim); texts of more than 77 tokens are cut, as CLAP was trained."""
        if not texts:
            return no_vectors(self.dim)
        network = self.network()
        return in_equal_batches(network.encode_texts, network.tokens(texts), _TEXT_ROWS)

    def build(self) -> None:
        """Read the weights and the tokenizer and build the network, once; embedding does so when it must.

        Raises:
            MetricsError: weights that do not fit or have collapsed, or a tokenizer of another network.
        """
        self.network()


def clap_listening(name: str, fusion: str, asked: Listening | None) -> Listening:
    """The way of listening that a CLAP with or without fusion ("fusion", "none") is asked for, or its own.

    Raises:
        MetricsError: another rate, windows of another length, or whole sounds of less than 10 s or without fusion.
    """
    if asked is not None and asked.window is None and asked.at_least < SAMPLES:
        raise MetricsError(f"{name} cannot listen as {asked.describe()}; whole sounds are filled up to 10 s at least")
    return agreed(name, WHOLE, asked, (SAMPLES,)) if fusion == "fusion" else agreed(name, WINDOWS, asked)


def sound_text_embedder(
    name: str,
    listening: Listening,
    sha256: str,
    build: Callable[[], SoundTextNetwork],
    tokenizer_sha256: str,
    dim: int,
) -> SoundTextEmbedder:
    """Put a CLAP together. Once it is built, one that cannot tell captions or sounds apart is refused."""
    whose = f"{name} (sha256 {sha256[:12]})"
    own_way = WINDOWS if listening.window else WHOLE  # another may leave too little of the gate's short sounds

    @cache
    def network() -> SoundTextNetwork:
        built = build()
        check_texts(lambda texts: in_equal_batches(built.encode_texts, built.tokens(texts), _TEXT_ROWS), whose)
        check_sounds(lambda sounds: over_windows(built.encode_sounds, own_way, sounds, _SOUND_ROWS), whose)
        return built

    sounds = WindowedEmbedder(
        name=name,
        version=1,
        listening=listening,
        sha256=sha256,
        encode=lambda rows: network().encode_sounds(rows),
        dim=dim,
        rows=_SOUND_ROWS,
        space=f"clap/sha256:{sha256[:12]}",  # of both packages: the same weights span the same space
        build=network,
    )
    return SoundTextEmbedder(sounds=sounds, network=network, tokenizer_sha256=tokenizer_sha256)
