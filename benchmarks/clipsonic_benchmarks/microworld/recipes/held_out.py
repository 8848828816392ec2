"""Held-out scores of what was trained, on the validation split: what the record states and a test measures again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipsonic_benchmarks.microworld.factors import LEVELS
from clipsonic_benchmarks.microworld.recipes.material import Heard
from clipsonic_metrics import retrieval
from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText, FactorProbe, SoundEncoder

Vectors = NDArray[np.float32]
Scores = dict[str, float]
_Output = TypeVar("_Output")


def recall_at(queries: Vectors, gallery: Vectors, k: int) -> float:
    """Share of queries whose own item (same row) is among the k nearest of the gallery by cosine, ties shared."""
    return retrieval(queries, gallery, k=(k,), protocol="held-out")[k].value


def contrastive_scores(left: Vectors, right: Vectors) -> Scores:
    """Recall of matched rows, and how far the two modalities lie apart (Liang et al. 2022)."""
    n = min(500, len(left))
    gap = np.linalg.norm(left.astype(np.float64).mean(0) - right.astype(np.float64).mean(0))
    return {
        f"recall_at_1_of_{n}": recall_at(left[:n], right[:n], 1),
        f"recall_at_10_of_{n}": recall_at(left[:n], right[:n], 10),
        "gap": float(gap),
        "paired_cosine": float((left * right).sum(1).mean()),
    }


@torch.no_grad()
def hear(model: Callable[[Tensor], _Output], data: Heard) -> list[_Output]:
    """Run a sound network over all sounds of a corpus, in batches."""
    rows = np.arange(len(data.ids))
    return [model(data.batch(rows[k : k + 100])) for k in range(0, len(rows), 100)]


@torch.no_grad()
def clap_scores(model: ContrastiveSoundText, tokens: Tensor, data: Heard) -> Scores:
    sound = torch.cat(hear(model.sound, data)).numpy()
    return contrastive_scores(sound, model.text(tokens).numpy())


def wav2clip_scores(model: SoundEncoder, frames: Sequence[Vectors], data: Heard) -> Scores:
    sound = torch.cat(hear(model, data)).numpy()
    return contrastive_scores(sound, np.stack([f[len(f) // 2] for f in frames]))


def probe_scores(model: FactorProbe, data: Heard) -> Scores:
    """Accuracy by factor."""
    outputs = hear(model, data)
    return {
        name: float((torch.cat([o[name] for o in outputs]).argmax(1).numpy() == data.factors[:, k]).mean())
        for k, name in enumerate(LEVELS)
    }
