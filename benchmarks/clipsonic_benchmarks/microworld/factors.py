"""What an item of the micro-world is made of: five factors, and the generator of randomness that belongs to one item.

Conventions: an item is addressed by (seed, split, index). Everything random about it comes from generators seeded by
that address and by what they are for (factors, frames, sound, caption), so an item never depends on its neighbours,
on how many workers made the corpus, or on how much randomness another part of it consumed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

KINDS: Final = ("bell", "drum", "siren", "water", "dog", "bird", "engine", "clock", "flute", "fire")
SIZES: Final = ("small", "medium", "large")
COUNTS: Final = (1, 2, 3)
MATERIALS: Final = ("metal", "wood")
BACKGROUNDS: Final = ("studio", "hall", "street", "wind")

LEVELS: Final[dict[str, tuple[str | int, ...]]] = {
    "kind": KINDS,
    "size": SIZES,
    "count": COUNTS,
    "material": MATERIALS,
    "background": BACKGROUNDS,
}
"""Every factor with its levels, in the order the factor probe predicts them."""

SPLITS: Final = ("captioned", "train", "evaluators", "validation", "test", "reference")
"""`captioned`: (frame, caption) pairs without sound, for CLIP and the pretrained prior. `train`: videos of the
generators. `evaluators`: videos of the evaluation encoders, which so never hear a training sound of a generator.
`validation`: where recipes are chosen. `test` and `reference`: what is reported, and what FAD compares with."""

_PURPOSES: Final = {"factors": 0, "frames": 1, "sound": 2, "caption": 3}


@dataclass(frozen=True)
class Factors:
    """The factors of one item, each one of its `LEVELS`."""

    kind: str
    size: str
    count: int
    material: str
    background: str

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)

    def indices(self) -> tuple[int, ...]:
        """Index of each factor among its levels, in the order of `LEVELS`."""
        return tuple(levels.index(getattr(self, name)) for name, levels in LEVELS.items())


def generator(seed: int, split: str, index: int, purpose: str) -> np.random.Generator:
    """The generator of one purpose of one item.

    Raises:
        ValueError: for a split that does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} does not exist; choose one of {', '.join(SPLITS)}")
    key = (SPLITS.index(split), index, _PURPOSES[purpose])
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def draw_factors(seed: int, split: str, index: int) -> Factors:
    """Draw the factors of an item, each uniformly and independently of the others."""
    rng = generator(seed, split, index, "factors")
    kind, size, count, material, background = (int(rng.integers(len(levels))) for levels in LEVELS.values())
    return Factors(KINDS[kind], SIZES[size], COUNTS[count], MATERIALS[material], BACKGROUNDS[background])


def item_id(split: str, index: int) -> str:
    return f"{split}-{index:06d}"
