"""Noise with an address: the same (seed, item, purpose) is always the same noise, in any batch, order or process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def addressed_noise(seed: int, ids: Sequence[str], purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise, (items, *shape), float32; item k depends on (seed, ids[k], purpose) and nothing else."""
    return torch.stack([torch.randn(shape, generator=each) for each in addressed_generators(seed, ids, purpose)])


def addressed_generators(seed: int, ids: Sequence[str], purpose: str) -> list[torch.Generator]:
    """One CPU generator per item, for schedulers that draw noise at every step; diffusers takes such a list."""
    return [_generator(seed, name, purpose) for name in ids]


def _generator(seed: int, name: str, purpose: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}\0{name}\0{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
