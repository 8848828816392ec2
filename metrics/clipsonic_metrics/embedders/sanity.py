"""Is a checkpoint alive? What every loader of a published network asks before it hands the embedder out.

Some checkpoints in circulation load without a complaint and embed nonsense: a text tower that gives every caption the
same vector, a tokenizer without words. Their scores look like scores. So eight unrelated captions and five unlike
sounds are embedded first: if all pairs of captions, or of sounds, have cosines above 0.99, the checkpoint is refused,
and the cosines are said. Random weights pass if their spread is real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clipsonic_metrics.embedder import Vectors
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sound import Sound

COLLAPSED: Final = 0.99
CAPTIONS: Final = (
    "a dog barks twice in the distance",
    "heavy rain on a tin roof",
    "a woman is speaking calmly",
    "an electric guitar solo over drums",
    "a car engine starts and idles",
    "church bells ring on a square",
    "glass shatters",
    "a crowd cheers in a stadium",
)
_RATE_HZ: Final = 48_000


def check_texts(embed_texts: Callable[[Sequence[str]], NDArray[np.float32]], of: str) -> None:
    """Refuse text weights that cannot tell captions apart; `of` names them in the error.

    Raises:
        MetricsError: a vector is not finite, or all cosines between the captions are above 0.99.
    """
    _check(embed_texts(CAPTIONS), of, f"{len(CAPTIONS)} unrelated captions", "text")


def check_sounds(embed_sounds: Callable[[Sequence[Sound]], list[Vectors]], of: str) -> None:
    """Refuse sound weights that cannot tell two tones, a sweep, clicks and noise apart; `of` names them in the error.

    Raises:
        MetricsError: a vector is not finite, or all cosines between the sounds are above 0.99.
    """
    sounds = unlike_sounds()
    vectors = np.stack([frames.mean(axis=0) for frames in embed_sounds(sounds)])
    _check(vectors, of, f"{len(sounds)} unlike sounds", "sound")


def check_vocabulary(found: int, expected: int, of: str) -> None:
    """Refuse a tokenizer that has not one token for each row of the text encoder's table.

    Raises:
        MetricsError: the numbers differ: the tokenizer is empty, or another network's.
    """
    if found != expected:
        fault = "it is empty" if found < 10 else "it is another network's"
        remedy = "put its vocab.json and merges.txt beside the weights"
        raise MetricsError(f"the tokenizer of {of} has {found} tokens, the text encoder {expected}: {fault}; {remedy}")


def unlike_sounds() -> list[Sound]:
    """Two tones, a sweep, clicks and noise, one second each, at 48 kHz."""
    time = np.arange(_RATE_HZ) / _RATE_HZ
    clicks = np.zeros(_RATE_HZ)
    clicks[::4800] = 0.9
    shapes = {
        "low tone": 0.3 * np.sin(2 * np.pi * 220 * time),
        "high tone": 0.3 * np.sin(2 * np.pi * 5000 * time),
        "sweep": 0.3 * np.sin(2 * np.pi * (100 * time + 2000 * time**2)),
        "clicks": clicks,
        "noise": np.random.default_rng(0).normal(0, 0.2, _RATE_HZ).clip(-1, 1),
    }
    return [Sound.of(name, samples.astype(np.float32), _RATE_HZ) for name, samples in shapes.items()]


def _check(vectors: NDArray[np.float32], of: str, what: str, tower: str) -> None:
    rows = vectors.astype(np.float64)
    if not np.isfinite(rows).all():
        raise MetricsError(f"{of} gives NaN or infinity for {what}; its {tower} weights are broken, get others")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not norms.all():
        raise MetricsError(f"{of} gives zero for {what}; its {tower} weights are broken, get others")
    unit = rows / norms
    cosines = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    if cosines.min() > COLLAPSED:
        seen = f"{what} have cosines from {cosines.min():.4f} to {cosines.max():.4f}"
        raise MetricsError(f"the {tower} weights of {of} have collapsed: {seen}; get others")
