"""The micro-world's encoders as embedders: `microworld-clap`, `-clip`, `-wav2clip` and `-probe`.

They hear 2.048 s windows of 16 kHz mono and have never seen real media: numbers on real sounds are comparable with each
other, and say little about how these sound.

Windows do not overlap. What is left over at the end counts as a window, repeated to fill it, when it is at least half a
window long, and is left out when it is shorter. A sound shorter than one window is always repeated to fill one. Nothing
is filled with zeros: a mostly silent window is a sound nobody made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.embedder import Encode, Picture, Vectors, in_equal_batches, no_vectors, over_windows
from clipsonic_metrics.embedders.files import kept_random_state
from clipsonic_metrics.embedders.microworld.files import SHIPPED, WeightsFolder
from clipsonic_metrics.embedders.sanity import check_sounds, check_texts
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sound import Sound

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer
    from torch import Tensor

    from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText, SoundEncoder

VERSION: Final = 1
_ROWS: Final = 32
_CLIP: Final = "clip/open_clip_model.safetensors"
LISTENING: Final = Listening(rate_hz=16_000, window=32_768, tail="half", short="repeat")


class MicroworldClap:
    """Sounds and texts in one space, by the small CLAP."""

    def __init__(self, weights: WeightsFolder, listening: Listening) -> None:
        self._weights = weights
        self._arguments = weights.arguments("clap", ("vocabulary", "context", "dim"))
        self.listening = listening
        self.protocol = _sound_protocol("clap", listening, weights)
        self.space = f"microworld-clap/sha256:{weights.checked_digest('clap.safetensors')[:12]}"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, dim) array of unit vectors per sound."""
        return over_windows(self._parts[0].sound, self.listening, sounds, _ROWS)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim); texts beyond the context are cut, as CLIP does."""
        if not texts:
            return no_vectors(self._arguments["dim"])
        network, tokenizer = self._parts
        return in_equal_batches(network.text, tokenizer(list(texts)), _ROWS)

    def build(self) -> object:
        """Build the network, once; embedding does so when it must.

        Raises:
            MetricsError: files that are not as recorded, do not fit, or have collapsed.
        """
        return self._parts

    @cached_property
    def _parts(self) -> tuple[ContrastiveSoundText, SimpleTokenizer]:
        from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText

        vocabulary, context, dim = (self._arguments[key] for key in ("vocabulary", "context", "dim"))
        tokenizer = _tokenizer(self._weights, context, vocabulary)
        with kept_random_state():
            network = ContrastiveSoundText(vocabulary, context, dim)
        self._weights.load_state("clap", network)
        check_texts(lambda texts: in_equal_batches(network.text, tokenizer(list(texts)), _ROWS), "microworld-clap")
        _check_sounds(network.sound, "microworld-clap")
        return network, tokenizer


class MicroworldClip:
    """Images and texts in one space, by the small CLIP (open_clip's own class)."""

    def __init__(self, weights: WeightsFolder) -> None:
        self._weights = weights
        self.protocol = f"microworld-clip@{VERSION}/open_clip-preprocess/sha256:{weights.checked_digest(_CLIP)[:12]}"
        self.space = _clip_space(weights)

    def embed_images(self, images: Sequence[Picture]) -> Vectors:
        """Unit vectors, (images, dim), of RGB pictures (height, width, 3)."""
        import torch
        from PIL import Image

        network, _, preprocess = self._parts
        if not images:
            return no_vectors(network.text_projection.shape[1])
        pictures = torch.stack([preprocess(Image.fromarray(image)) for image in images])
        return in_equal_batches(lambda batch: network.encode_image(batch, normalize=True), pictures, _ROWS)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim); texts beyond the context are cut, as CLIP does."""
        network, tokenizer, _ = self._parts
        if not texts:
            return no_vectors(network.text_projection.shape[1])
        return in_equal_batches(lambda rows: network.encode_text(rows, normalize=True), tokenizer(list(texts)), _ROWS)

    def build(self) -> object:
        """Build the network, once; embedding does so when it must.

        Raises:
            MetricsError: files that are not as recorded, do not fit, or have collapsed.
        """
        return self._parts

    @cached_property
    def _parts(self) -> tuple[Any, SimpleTokenizer, Callable[[Any], Tensor]]:
        import open_clip

        self._weights.path("clip/open_clip_config.json")  # open_clip reads it beside the other: is it as recorded?
        folder = self._weights.path(_CLIP).parent
        with kept_random_state():
            network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        network.eval().requires_grad_(False)
        tokenizer = _tokenizer(self._weights, network.context_length, network.vocab_size)

        def embed_texts(texts: Sequence[str]) -> Vectors:
            tokens = tokenizer(list(texts))
            return in_equal_batches(lambda rows: network.encode_text(rows, normalize=True), tokens, _ROWS)

        check_texts(embed_texts, "microworld-clip")
        return network, tokenizer, preprocess


class MicroworldWav2clip:
    """Sounds in the space of the small CLIP's images, as Wav2CLIP (Wu et al. 2022) does for CLIP."""

    def __init__(self, weights: WeightsFolder, listening: Listening) -> None:
        self._weights, self._dim = weights, weights.arguments("wav2clip", ("dim",))["dim"]
        self.listening = listening
        self.protocol = _sound_protocol("wav2clip", listening, weights)
        self.space = _clip_space(weights)

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, dim) array of unit vectors per sound."""
        return over_windows(self._network, self.listening, sounds, _ROWS)

    def build(self) -> object:
        """Build the network, once; embedding does so when it must.

        Raises:
            MetricsError: files that are not as recorded, do not fit, or have collapsed.
        """
        return self._network

    @cached_property
    def _network(self) -> SoundEncoder:
        from clipsonic_metrics.embedders.microworld.networks import SoundEncoder

        with kept_random_state():
            network = SoundEncoder(self._dim)
        self._weights.load_state("wav2clip", network)
        _check_sounds(network, "microworld-wav2clip")
        return network


class MicroworldProbe:
    """The factors of a sound: kind, size, count, material and background."""

    def __init__(self, weights: WeightsFolder, listening: Listening) -> None:
        levels = weights.arguments("probe", ("levels",))["levels"]
        self.factors = {name: tuple(str(level) for level in of_factor) for name, of_factor in levels.items()}
        self._weights = weights
        self.listening = listening
        self.protocol = _sound_protocol("probe", listening, weights)
        self.space = f"microworld-probe/sha256:{weights.checked_digest('probe.safetensors')[:12]}"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """Logits of all factors side by side, (windows, levels of all factors), per sound."""
        return over_windows(self._logits, self.listening, sounds, _ROWS)

    def build(self) -> object:
        """Build the network, once; embedding does so when it must.

        Raises:
            MetricsError: files that are not as recorded, do not fit, or have collapsed.
        """
        return self._logits

    @cached_property
    def _logits(self) -> Encode:
        import torch

        from clipsonic_metrics.embedders.microworld.networks import FactorProbe

        with kept_random_state():
            network = FactorProbe({name: len(of_factor) for name, of_factor in self.factors.items()})
        self._weights.load_state("probe", network)

        def logits(samples: Tensor) -> Tensor:
            found = network(samples)
            return torch.cat([found[name] for name in self.factors], dim=1)

        _check_sounds(logits, "microworld-probe")
        return logits


def load_clap(weights: Path | None = None, listening: Listening | None = None) -> MicroworldClap:
    """Load `microworld-clap` from a folder of weights; None is the one that ships."""
    return MicroworldClap(WeightsFolder(weights or SHIPPED), agreed("microworld-clap", LISTENING, listening))


def load_clip(weights: Path | None = None, listening: Listening | None = None) -> MicroworldClip:
    """Load `microworld-clip` from a folder of weights; None is the one that ships. It hears nothing.

    Raises:
        MetricsError: it is asked for a way of listening.
    """
    if listening is not None:
        raise MetricsError("microworld-clip takes images and texts, and no sounds; choose no profile for it")
    return MicroworldClip(WeightsFolder(weights or SHIPPED))


def load_wav2clip(weights: Path | None = None, listening: Listening | None = None) -> MicroworldWav2clip:
    """Load `microworld-wav2clip` from a folder of weights; None is the one that ships."""
    return MicroworldWav2clip(WeightsFolder(weights or SHIPPED), agreed("microworld-wav2clip", LISTENING, listening))


def load_probe(weights: Path | None = None, listening: Listening | None = None) -> MicroworldProbe:
    """Load `microworld-probe` from a folder of weights; None is the one that ships."""
    return MicroworldProbe(WeightsFolder(weights or SHIPPED), agreed("microworld-probe", LISTENING, listening))


def _check_sounds(encode: Encode, of: str) -> None:
    """Refuse a network that cannot tell sounds apart, heard in its own way."""
    check_sounds(lambda sounds: over_windows(encode, LISTENING, sounds, _ROWS), of)


def _sound_protocol(name: str, listening: Listening, weights: WeightsFolder) -> str:
    sha256 = weights.checked_digest(f"{name}.safetensors")
    return f"microworld-{name}@{VERSION}/{listening.describe()}/sha256:{sha256[:12]}"


def _clip_space(weights: WeightsFolder) -> str:
    return f"microworld-clip/sha256:{weights.checked_digest(_CLIP)[:12]}"


def _tokenizer(weights: WeightsFolder, context: int, vocabulary: int) -> SimpleTokenizer:
    """The tokenizer of the small CLIP and CLAP.

    Raises:
        MetricsError: its merges are absent, not as recorded, or give another vocabulary than the text encoder has: it
            would embed nonsense without a word.
    """
    import open_clip

    merges = weights.path("clip/merges.txt.gz")
    tokenizer = open_clip.SimpleTokenizer(str(merges), context_length=context)
    if tokenizer.vocab_size != vocabulary:
        found = f"{merges} gives {tokenizer.vocab_size} tokens, the text encoder has {vocabulary}"
        raise MetricsError(f"{found}; restore the file")
    return tokenizer
