"""What an embedder is: anything that turns sounds, texts or images into vectors, and says exactly how.

`protocol` names everything that decides the vectors: embedder and version, rate, window and hop, padding, channels,
resampler, digest of the weights. Two arrays are comparable only if their protocols are equal strings. `space` names the
vector space: a sound and an image may be compared by cosine if their embedders share it.

The result may not depend on batch size, on the other items of the batch, or on their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.sound import Sound

Vectors = NDArray[np.float32]
Picture = NDArray[np.uint8]


@runtime_checkable
class SoundEmbedder(Protocol):
    """Sounds to vectors."""

    protocol: str
    space: str

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, dim) array of unit vectors per sound."""
        ...


@runtime_checkable
class TextEmbedder(Protocol):
    """Texts to vectors."""

    protocol: str
    space: str

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim)."""
        ...


@runtime_checkable
class ImageEmbedder(Protocol):
    """Images to vectors."""

    protocol: str
    space: str

    def embed_images(self, images: Sequence[Picture]) -> Vectors:
        """Unit vectors, (images, dim), of RGB pictures (height, width, 3)."""
        ...


@runtime_checkable
class SoundProbe(SoundEmbedder, Protocol):
    """Sounds to factors. Its "vectors" are the logits of all factors side by side, in the order of `factors`."""

    factors: Mapping[str, tuple[str, ...]]
