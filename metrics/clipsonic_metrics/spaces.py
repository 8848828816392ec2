"""Which embedders share a space, so that the cosine of their vectors means something.

Two share one where their `space` is the same: the digest of the same weights. An embedder may also have been trained to
land in the space of weights that others published, as Wav2CLIP in that of OpenAI's ViT-B/32 (`made_for`). Its file does
not say which; that it fits is known only where the weights of both are the published ones (sources.py). Files given by
--weights, or left in the hub cache by other programs, may be them as well, so they are not refused, but nothing here
vouches for them: their scores say "unverified-pair" in the protocol, and are not compared with those of the published
pair.
"""

from __future__ import annotations

from typing import Any

UNVERIFIED = "unverified-pair"


def share_a_space(first: Any, second: Any) -> bool:
    """Whether vectors of two embedders may be compared: they have one space, or one is given as what the other was made
    for."""
    return bool(first.space == second.space) or _made_for(first, second) or _made_for(second, first)


def pair_protocol(first: Any, second: Any) -> str:
    """Protocol of what is made of vectors of two embedders that share a space."""
    both = f"{first.protocol}+{second.protocol}"
    return both if is_verified(first, second) else f"{both}/{UNVERIFIED}"


def is_verified(first: Any, second: Any) -> bool:
    """Whether it is known that two embedders share a space, and not only said."""
    return bool(first.space == second.space) or (_is_published(first) and _is_published(second))


def _is_published(one: Any) -> bool:
    return bool(getattr(one, "is_published", False))


def _made_for(one: Any, other: Any) -> bool:
    wanted = getattr(one, "made_for", "")
    return bool(wanted) and wanted == getattr(other, "given_as", "")
