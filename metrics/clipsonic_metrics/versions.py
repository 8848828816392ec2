"""Versions of the packages whose arithmetic makes a number: recorded beside every score's protocol id, not in it.

The id says what was asked for: the same sounds under the same id give the same number, up to the last digits (about
1e-6 of an embedding) that another torch, numpy or processor rounds otherwise. That is far inside every interval, and
ids with versions would refuse to compare one system with itself on two machines. So reports carry the versions, where a
difference that should not be can be traced; and the cache, which promises the very same digits, is addressed by them.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

EMBEDDING = (
    "numpy",
    "torch",
    "torchaudio",
    "torchvision",
    "soxr",
    "resampy",
    "open_clip_torch",
    "timm",
    "transformers",
    "tokenizers",
    "ftfy",
    "regex",
    "laion_clap",
    "torchlibrosa",
    "librosa",
    "hear21passt",
    "pillow",
)
COMPUTING = ("scipy", "scikit-learn", "clipsonic")


@cache
def embedding_versions() -> dict[str, str]:
    """Versions of what turns samples, pictures and texts into embeddings, of those that are installed."""
    return _versions(EMBEDDING)


def all_versions() -> dict[str, str]:
    """Those, and versions of what turns embeddings into scores."""
    return embedding_versions() | _versions(COMPUTING)


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
