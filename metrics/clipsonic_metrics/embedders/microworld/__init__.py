"""The micro-world's encoders as embedders: `microworld-clap`, `-clip`, `-wav2clip` and `-probe`.

They hear 2.048 s windows of 16 kHz mono (windows.py has the rule for other lengths) and have never seen real media:
numbers on real sounds are comparable with each other, and say little about how these sound.

Every forward pass has the same number of rows, the last one filled up, so that the arithmetic of an item is the same
whatever it is embedded with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.embedder import Picture, Vectors
from clipsonic_metrics.embedders.microworld.files import SHIPPED, WeightsFolder
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sound import Sound
from clipsonic_metrics.windows import RULE, split_windows

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer
    from torch import Tensor

VERSION: Final = 1
_ROWS: Final = 32
_CLIP: Final = "clip/open_clip_model.safetensors"


class MicroworldClap:
    """Sounds and texts in one space, by the small CLAP."""

    def __init__(self, weights: WeightsFolder) -> None:
        from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText

        arguments = weights.arguments("clap", ("vocabulary", "context", "dim"))
        self._tokenizer = _tokenizer(weights, arguments["context"], arguments["vocabulary"])
        network = ContrastiveSoundText(arguments["vocabulary"], arguments["context"], arguments["dim"])
        weights.load_state("clap", network)
        self._sound, self._text = network.sound, network.text
        self.protocol = _sound_protocol("clap", weights)
        self.space = f"microworld-clap/sha256:{weights.digest('clap.safetensors')[:12]}"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, dim) array of unit vectors per sound."""
        return _over_windows(self._sound, sounds)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim); texts beyond the context are cut, as CLIP does."""
        return _in_equal_batches(self._text, self._tokenizer(list(texts)))


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
        return _in_equal_batches(lambda batch: self._network.encode_image(batch, normalize=True), pictures)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim); texts beyond the context are cut, as CLIP does."""
        tokens = self._tokenizer(list(texts))
        return _in_equal_batches(lambda batch: self._network.encode_text(batch, normalize=True), tokens)


class MicroworldWav2clip:
    """Sounds in the space of the small CLIP's images, as Wav2CLIP (Wu et al. 2022) does for CLIP."""

    def __init__(self, weights: WeightsFolder) -> None:
        from clipsonic_metrics.embedders.microworld.networks import SoundEncoder

        self._network = SoundEncoder(weights.arguments("wav2clip", ("dim",))["dim"])
        weights.load_state("wav2clip", self._network)
        self.protocol = _sound_protocol("wav2clip", weights)
        self.space = _clip_space(weights)

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, dim) array of unit vectors per sound."""
        return _over_windows(self._network, sounds)


class MicroworldProbe:
    """The factors of a sound: kind, size, count, material and background."""

    def __init__(self, weights: WeightsFolder) -> None:
        from clipsonic_metrics.embedders.microworld.networks import FactorProbe

        levels = weights.arguments("probe", ("levels",))["levels"]
        self.factors = {name: tuple(str(level) for level in of_factor) for name, of_factor in levels.items()}
        self._network = FactorProbe({name: len(of_factor) for name, of_factor in self.factors.items()})
        weights.load_state("probe", self._network)
        self.protocol = _sound_protocol("probe", weights)
        self.space = f"microworld-probe/sha256:{weights.digest('probe.safetensors')[:12]}"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """Logits of all factors side by side, (windows, levels of all factors), per sound."""
        import torch

        def logits(samples: Tensor) -> Tensor:
            found = self._network(samples)
            return torch.cat([found[name] for name in self.factors], dim=1)

        return _over_windows(logits, sounds)


def load_clap(weights: Path | None = None) -> MicroworldClap:
    """Load `microworld-clap` from a folder of weights; None is the one that ships."""
    return MicroworldClap(WeightsFolder(weights or SHIPPED))


def load_clip(weights: Path | None = None) -> MicroworldClip:
    """Load `microworld-clip` from a folder of weights; None is the one that ships."""
    return MicroworldClip(WeightsFolder(weights or SHIPPED))


def load_wav2clip(weights: Path | None = None) -> MicroworldWav2clip:
    """Load `microworld-wav2clip` from a folder of weights; None is the one that ships."""
    return MicroworldWav2clip(WeightsFolder(weights or SHIPPED))


def load_probe(weights: Path | None = None) -> MicroworldProbe:
    """Load `microworld-probe` from a folder of weights; None is the one that ships."""
    return MicroworldProbe(WeightsFolder(weights or SHIPPED))


def _sound_protocol(name: str, weights: WeightsFolder) -> str:
    from clipsonic_metrics.embedders.microworld.networks import RATE_HZ, SAMPLES

    window, sha256 = f"{SAMPLES / RATE_HZ:g}s", weights.digest(f"{name}.safetensors")
    hearing = f"{RATE_HZ}Hz/{window}-hop{window}/{RULE}/mono-mean/soxr-hq"
    return f"microworld-{name}@{VERSION}/{hearing}/sha256:{sha256[:12]}"


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


def _over_windows(encode: Callable[[Tensor], Tensor], sounds: Sequence[Sound]) -> list[Vectors]:
    import torch

    from clipsonic_metrics.embedders.microworld.networks import RATE_HZ, SAMPLES

    windows = [split_windows(sound.resampled(RATE_HZ), SAMPLES) for sound in sounds]
    if not windows:
        return []
    rows = _in_equal_batches(encode, torch.from_numpy(np.concatenate(windows)))
    return np.split(rows, np.cumsum([len(each) for each in windows])[:-1])


def _in_equal_batches(encode: Callable[[Tensor], Tensor], rows: Tensor) -> NDArray[np.float32]:
    import torch

    found = []
    with torch.inference_mode():
        for batch in torch.split(rows, _ROWS):
            filled = torch.cat([batch, batch[:1].expand(_ROWS - len(batch), *batch.shape[1:])])
            found.append(encode(filled)[: len(batch)].float().numpy())
    return np.concatenate(found)
