"""What an embedder is: anything that turns sounds, texts or images into vectors, and says exactly how.

`protocol` names everything that decides the vectors: embedder and version, how it listens (listening.py), digest of
the weights. Two arrays are comparable only if their protocols are equal strings. `space` names the vector space by the
digest of the weights that span it, never by a word: a sound and an image may be compared by cosine if their embedders
share it, or if one was made for the other's (spaces.py, which is to be asked).

The result may not depend on batch size, on the other items of the batch, or on their order. `over_windows` and
`in_equal_batches` see to it: every forward pass has the same number of rows, the last one filled up, and one thread
(passes.py), so that the arithmetic of an item is the same whatever it is embedded with, and by however many threads. An
embedder of sounds is therefore no more than a network, a Listening and a loader, put together by `WindowedEmbedder` or
`WindowedClassifier`. `encode` is called by several threads at a time.

An embedder says what it is before it can do anything: protocol and space are read off the files of its weights, and the
network is built when it is first asked to embed, or by `build`. What is in the cache needs no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.listening import Listening
from clipsonic_metrics.passes import side_by_side
from clipsonic_metrics.sound import Samples, Sound

if TYPE_CHECKING:
    from torch import Tensor

Vectors = NDArray[np.float32]
Picture = NDArray[np.uint8]
Encode = Callable[["Tensor"], "Tensor"]


@runtime_checkable
class SoundEmbedder(Protocol):
    """Sounds to vectors."""

    @property
    def protocol(self) -> str: ...

    @property
    def space(self) -> str: ...

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (frames, dim) float32 array per sound: a window of it gives one frame, or several."""
        ...


@runtime_checkable
class SoundClassifier(Protocol):
    """Sounds to logits of named classes, for KL and the inception score."""

    @property
    def protocol(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    def classify_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, classes) float32 array of logits per sound: neither a softmax nor a sigmoid is in them."""
        ...


@runtime_checkable
class TextEmbedder(Protocol):
    """Texts to vectors."""

    @property
    def protocol(self) -> str: ...

    @property
    def space(self) -> str: ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim)."""
        ...


@runtime_checkable
class ImageEmbedder(Protocol):
    """Images to vectors."""

    @property
    def protocol(self) -> str: ...

    @property
    def space(self) -> str: ...

    def embed_images(self, images: Sequence[Picture]) -> Vectors:
        """Unit vectors, (images, dim), of RGB pictures (height, width, 3)."""
        ...


@runtime_checkable
class SoundProbe(SoundEmbedder, Protocol):
    """Sounds to factors. Its "vectors" are the logits of all factors side by side, in the order of `factors`."""

    @property
    def factors(self) -> Mapping[str, tuple[str, ...]]: ...


@runtime_checkable
class Built(Protocol):
    """What has a network that is built late."""

    def build(self) -> object:
        """Read the weights and build the network, once; embedding does so when it must.

        Raises:
            MetricsError: weights that do not fit or have collapsed.
        """
        ...


def _nothing_to_build() -> None:
    """`encode` is all there is."""


@dataclass(frozen=True, kw_only=True)
class WindowedEmbedder:
    """A network over windows.

    `encode` takes (rows, window), or (rows, 2, window) in stereo, and returns (rows, dim) or (rows, frames, dim), in
    evaluation mode, each row by itself. `build` makes what it needs, once; `encode` calls it too. `space` is the name
    with the weights' digest where none is given; `made_for` names the embedder in whose published weights' space it was
    trained to land, and `is_published` says whether its own weights are known to be the published ones (spaces.py).
    `one_frame` says whether a window gives one frame, so that a metric that needs several can be refused early.
    """

    name: str
    version: int
    listening: Listening
    sha256: str
    encode: Encode
    dim: int
    rows: int
    space: str = ""
    build: Callable[[], object] = _nothing_to_build
    made_for: str = ""
    is_published: bool = False
    one_frame: bool = True

    def __post_init__(self) -> None:
        if not self.space:
            object.__setattr__(self, "space", f"{self.name}/sha256:{self.sha256[:12]}")

    @property
    def protocol(self) -> str:
        """Name, version, how it listens, and what its weights are."""
        return f"{self.name}@{self.version}/{self.listening.describe()}/sha256:{self.sha256[:12]}"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (frames, dim) array per sound.

        Raises:
            MetricsError: a sound that its way of listening refuses.
        """
        return self._over_windows(self.encode, sounds)

    def _over_windows(self, encode: Encode, sounds: Sequence[Sound]) -> list[Vectors]:
        if sounds:
            self.build()  # before torch's inference mode begins, whose tensors are good for nothing outside of it
        return over_windows(encode, self.listening, sounds, self.rows)


@dataclass(frozen=True, kw_only=True)
class WindowedClassifier(WindowedEmbedder):
    """A network over windows that has classes too: `classify` takes what `encode` takes, to (rows, classes), and `both`
    gives (rows, dim) and (rows, classes), the very numbers of the two, in one pass."""

    classify: Encode
    both: Callable[[Tensor], tuple[Tensor, Tensor]]
    labels: tuple[str, ...]

    def classify_sounds(self, sounds: Sequence[Sound]) -> list[Vectors]:
        """One (windows, classes) array of logits per sound.

        Raises:
            MetricsError: a sound that its way of listening refuses.
        """
        return self._over_windows(self.classify, sounds)

    def embed_and_classify_sounds(self, sounds: Sequence[Sound]) -> tuple[list[Vectors], list[Vectors]]:
        """What `embed_sounds` and `classify_sounds` give, in one pass over the network.

        Raises:
            MetricsError: a sound that its way of listening refuses.
        """
        import torch

        beside = self._over_windows(lambda rows: torch.cat(self.both(rows), dim=1), sounds)
        # Copies: a view would keep the other half alive, and a cache or a metric may want this one alone.
        return [found[:, : self.dim].copy() for found in beside], [found[:, self.dim :].copy() for found in beside]


def over_windows(encode: Encode, listening: Listening, sounds: Sequence[Sound], rows: int) -> list[Vectors]:
    """Encode the windows of all sounds, `rows` at a time, and give each sound its frames: (frames, dim) per sound.

    Whole sounds (no window) differ in length and go one at a time.
    """
    import torch

    counts: list[int] = []

    def windows() -> Iterator[Samples]:
        for sound in sounds:
            found = listening.windows(sound)
            counts.append(len(found))
            yield from found

    waiting, size = windows(), rows if listening.window is not None else 1

    def batches() -> Iterator[Tensor]:
        while batch := list(islice(waiting, size)):
            yield torch.from_numpy(np.stack(batch))

    frames = [
        np.atleast_2d(of_row).astype(listening.kept).astype(np.float32, copy=False)
        for of_batch in side_by_side(lambda batch: _encoded(encode, batch, size), batches())
        for of_row in of_batch
    ]
    ends = np.cumsum(counts, dtype=int)
    return [np.concatenate(frames[end - count : end]) for end, count in zip(ends, counts, strict=True)]


def no_vectors(dim: int) -> Vectors:
    """What nothing is embedded as, (0, dim)."""
    return np.zeros((0, dim), dtype=np.float32)


def in_equal_batches(encode: Encode, items: Tensor, size: int) -> Vectors:
    """Encode items (items, ...), `size` at a time, the last batch filled up with its first; float32 (items, ...)."""
    import torch

    return np.concatenate(list(side_by_side(lambda batch: _encoded(encode, batch, size), torch.split(items, size))))


def _encoded(encode: Encode, batch: Tensor, size: int) -> Vectors:
    import torch

    with torch.inference_mode():
        filled = torch.cat([batch, batch[:1].expand(size - len(batch), *batch.shape[1:])])
        found: Vectors = encode(filled)[: len(batch)].float().numpy()
    return found
