"""The micro-world's encoders as embedders: `microworld-clap`, `-clip`, `-wav2clip` and `-probe`.

They hear 2.048 s windows of 16 kHz mono and have never seen real media: numbers on real sounds are comparable with each
other, and say little about how these sound.

Windows do not overlap. What is left over at the end counts as a window, repeated to fill it, when it is at least half a
window long, and is left out when it is shorter. A sound shorter than one window is always repeated to fill one. Nothing
is filled with zeros: a mostly silent window is a sound nobody made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clipsonic_metrics.embedder import Picture, Vectors, in_equal_batches, over_windows
from clipsonic_metrics.embedders.microworld.files import SHIPPED, WeightsFolder
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.listening import Listening, agreed
from clipsonic_metrics.sound import Sound

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer
    from torch import Tensor

VERSION: Final = 1
_ROWS: Final = 32
_CLIP: Final = "clip/open_clip_model.safetensors"
LISTENING: Final = Listening(rate_hz=16_000, window=32_768, tail="half", short="repeat")


class MicroworldClap:
    """Sounds and texts in one space, by the small CLAP."""

    def __init__(self, weights: WeightsFolder, listening: Listening) -> None:
        from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText

        arguments = weights.arguments("clap", ("vocabulary", "context", "dim"))
        self._tokenizer = _tokenizer(weights, arguments["context"], arguments["vocabulary"])
        network = ContrastiveSoundText(arguments["vocabulary"], arguments["context"], arguments["dim"])
        weights.load_state("clap", network)
        self._sound, self._text = network.sound, network.text
        self.listening = listening
        self.protocol = _sound_protocol("clap", listening, weights)
        self.space = f"microworld-clap/sha256:{weights.digest('clap.safetensors')[:12]}"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, dim) array of unit vectors per sound."""
        return over_windows(self._sound, self.listening, sounds, _ROWS)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim); texts beyond the context are cut, as CLIP does."""
        return in_equal_batches(self._text, self._tokenizer(list(texts)), _ROWS)


class MicroworldClip:
    """Images and texts in one space, by the small CLIP (open_clip's own class)."""

    def __init__(self, weights: WeightsFolder) -> None:
        import open_clip

        for name in (_CLIP, "clip/open_clip_config.json"):
            folder = weights.path(name).parent
        self._network, _, self._preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self._network.eval().requires_grad_(False)
        self._tokenizer = _tokenizer(weights, self._network.context_length, self._network.vocab_size)
        self.protocol = f"microworld-clip@{VERSION}/open_clip-preprocess/sha256:{weights.digest(_CLIP)[:12]}"
        self.space = _clip_space(weights)

    def embed_images(self, images: Sequence[Picture]) -> Vectors:
        """Unit vectors, (images, dim), of RGB pictures (height, width, 3)."""
        import torch
        from PIL import Image

        pictures = torch.stack([self._preprocess(Image.fromarray(image)) for image in images])
        return in_equal_batches(lambda batch: self._network.encode_image(batch, normalize=True), pictures, _ROWS)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim); texts beyond the context are cut, as CLIP does."""
        tokens = self._tokenizer(list(texts))
        return in_equal_batches(lambda batch: self._network.encode_text(batch, normalize=True), tokens, _ROWS)


class MicroworldWav2clip:
    """Sounds in the space of the small CLIP's images, as Wav2CLIP (Wu et al. 2022) does for CLIP."""

    def __init__(self, weights: WeightsFolder, listening: Listening) -> None:
        from clipsonic_metrics.embedders.microworld.networks import SoundEncoder

        self._network = SoundEncoder(weights.arguments("wav2clip", ("dim",))["dim"])
        weights.load_state("wav2clip", self._network)
        self.listening = listening
        self.protocol = _sound_protocol("wav2clip", listening, weights)
        self.space = _clip_space(weights)

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, dim) array of unit vectors per sound."""
        return over_windows(self._network, self.listening, sounds, _ROWS)


class MicroworldProbe:
    """The factors of a sound: kind, size, count, material and background."""

    def __init__(self, weights: WeightsFolder, listening: Listening) -> None:
        from clipsonic_metrics.embedders.microworld.networks import FactorProbe

        levels = weights.arguments("probe", ("levels",))["levels"]
        self.factors = {name: tuple(str(level) for level in of_factor) for name, of_factor in levels.items()}
        self._network = FactorProbe({name: len(of_factor) for name, of_factor in self.factors.items()})
        weights.load_state("probe", self._network)
        self.listening = listening
        self.protocol = _sound_protocol("probe", listening, weights)
        self.space = f"microworld-probe/sha256:{weights.digest('probe.safetensors')[:12]}"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """Logits of all factors side by side, (windows, levels of all factors), per sound."""
        import torch

        def logits(samples: Tensor) -> Tensor:
            found = self._network(samples)
            return torch.cat([found[name] for name in self.factors], dim=1)

        return over_windows(logits, self.listening, sounds, _ROWS)


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


def _sound_protocol(name: str, listening: Listening, weights: WeightsFolder) -> str:
    sha256 = weights.digest(f"{name}.safetensors")
    return f"microworld-{name}@{VERSION}/{listening.describe()}/sha256:{sha256[:12]}"


def _clip_space(weights: WeightsFolder) -> str:
    return f"microworld-clip/sha256:{weights.digest(_CLIP)[:12]}"


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
