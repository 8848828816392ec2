"""Noise has an address and nothing else."""

from __future__ import annotations

import numpy as np
import torch

from clipsonic.noise import addressed_noise

IDS = ["a", "b", "c/d", "é"]


def test_noise_of_an_item_does_not_depend_on_its_batch_or_place() -> None:
    together = addressed_noise(3, IDS, "mel", (2, 5))
    assert together.shape == (4, 2, 5) and together.dtype == torch.float32
    for position, name in enumerate(IDS):
        assert torch.equal(addressed_noise(3, [name], "mel", (2, 5))[0], together[position])
    assert torch.equal(addressed_noise(3, IDS[::-1], "mel", (2, 5)), together.flip(0))


def test_noise_streamed_from_one_generator_would_depend_on_it() -> None:
    def streamed(ids: list[str]) -> torch.Tensor:
        generator = torch.Generator().manual_seed(3)
        return torch.stack([torch.randn(2, 5, generator=generator) for _ in ids])

    assert not torch.equal(streamed(IDS)[1], streamed(IDS[1:])[0])


def test_every_part_of_the_address_matters() -> None:
    base = addressed_noise(0, ["x"], "mel", (8,))
    for other in (addressed_noise(1, ["x"], "mel", (8,)), addressed_noise(0, ["y"], "mel", (8,))):
        assert not torch.equal(base, other)
    assert not torch.equal(base, addressed_noise(0, ["x"], "prior", (8,)))
    assert not torch.equal(addressed_noise(1, ["2x"], "mel", (8,)), addressed_noise(12, ["x"], "mel", (8,)))


def test_it_is_standard_normal() -> None:
    drawn = addressed_noise(0, [str(k) for k in range(200)], "mel", (500,)).double().numpy()
    assert abs(drawn.mean()) < 5 / np.sqrt(drawn.size)
    assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / drawn.size)
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.3  # neighbours of an item
    assert np.abs(np.corrcoef(drawn[:20])[np.triu_indices(20, 1)]).max() < 0.25  # and items


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    addressed_noise(0, IDS, "mel", (4,))
    assert torch.equal(torch.get_rng_state(), before)
