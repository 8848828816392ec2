"""What the tests of the acoustic embedders share: sounds of odd lengths, and what must hold for every one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from clipsonic_metrics import Sound
from clipsonic_metrics.embedder import Vectors, WindowedEmbedder


def noises(rate_hz: int, *seconds: float, channels: int = 1, seed: int = 0) -> list[Sound]:
    """Sounds of filtered noise with a tone each, one per length."""
    rng = np.random.default_rng(seed)
    found = []
    for index, length in enumerate(seconds):
        time = np.arange(round(length * rate_hz)) / rate_hz
        tone = 0.2 * np.sin(2 * np.pi * 220 * (index + 1) * time + rng.uniform(size=(channels, 1)))
        found.append(Sound.of(f"noise-{index}", tone + 0.05 * rng.normal(size=(channels, len(time))), rate_hz))
    return found


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """A network's state in half precision: as good for a comparison, and half as large on disk."""
    return {name: part.half() if part.is_floating_point() else part for name, part in network.state_dict().items()}


def save(state: dict[str, Tensor], path: Path) -> Path:
    torch.save(state, path)
    return path


def by_threads(threads: int, embedder: WindowedEmbedder, sounds: list[Sound]) -> list[Vectors]:
    """The embeddings where torch has so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return embedder.embed_sounds(sounds)
    finally:
        assert torch.get_num_threads() == threads, "the caller's threads are left as they were"
        torch.set_num_threads(before)


def assert_sounds_do_not_feel_their_neighbours(embedder: WindowedEmbedder, sounds: list[Sound]) -> None:
    """Bit for bit: together, backwards, each alone, once more, by other numbers of threads, and beside din."""
    together = embedder.embed_sounds(sounds)
    assert [each.ndim for each in together] == [2] * len(sounds) and {each.shape[1] for each in together} == {
        embedder.dim
    }
    assert all(np.isfinite(each).all() and each.dtype == np.float32 for each in together)
    assert np.abs(together[0][0] - together[-1][0]).max() > 1e-5, "they are not all the same"
    for again in (
        embedder.embed_sounds(sounds),
        embedder.embed_sounds(sounds[::-1])[::-1],
        [embedder.embed_sounds([sound])[0] for sound in sounds],
        *(by_threads(threads, embedder, sounds) for threads in (1, 2, 3)),
    ):
        for a, b in zip(together, again, strict=True):
            np.testing.assert_array_equal(a, b)
    din = Sound.of("din", 0.9 * np.ones_like(sounds[0].channels), sounds[0].rate_hz)
    beside = embedder.embed_sounds([din, sounds[-1]])[1]
    np.testing.assert_array_equal(beside, together[-1])
    assert embedder.embed_sounds([]) == []
