"""Train the evaluation encoders on videos no generator is trained on: CLAP, audio-to-CLIP (Wav2CLIP), factor probe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipsonic_benchmarks.microworld.factors import LEVELS
from clipsonic_benchmarks.microworld.recipes.clip import contrastive_loss
from clipsonic_benchmarks.microworld.recipes.loop import Schedule, fit
from clipsonic_benchmarks.microworld.recipes.material import Heard
from clipsonic_benchmarks.microworld.recipes.recipe import Effort
from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText, FactorProbe, SoundEncoder

CONTEXT = 24
_SCALE = 20.0
"""1 / temperature of CLAP and Wav2CLIP, as large CLAPs learn it; their gap is not under study."""


def _schedule(data: Heard, effort: Effort, seed: int) -> Schedule:
    return Schedule(len(data.ids), effort.steps, effort.batch, effort.learning_rate, seed, weight_decay=0.02)


def _disturb(samples: Tensor, noise: torch.Generator) -> Tensor:
    """A random circular shift and gain of each sound, so that an encoder learns neither position nor level."""
    shifts = torch.randint(samples.shape[1], (len(samples),), generator=noise)
    gains = 10 ** (torch.empty(len(samples), 1).uniform_(-0.2, 0.2, generator=noise))
    return torch.stack([torch.roll(s, int(k)) for s, k in zip(samples, shifts, strict=True)]) * gains


def train_clap(
    data: Heard, tokens: Tensor, vocabulary: int, effort: Effort, seed: int, run: Path
) -> tuple[ContrastiveSoundText, float]:
    """Sound and caption of one video together, InfoNCE. tokens: (items, context)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ContrastiveSoundText(vocabulary, tokens.shape[1])

    def loss(rows: NDArray[np.int64], noise: torch.Generator) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            sound = model.sound(_disturb(data.batch(rows), noise))
            text = model.text(tokens[torch.from_numpy(rows)])
        return contrastive_loss(sound, text, _SCALE)

    return model, fit(model, loss, _schedule(data, effort, seed), run)


def train_wav2clip(
    data: Heard, frames: list[NDArray[np.float32]], effort: Effort, seed: int, run: Path
) -> tuple[SoundEncoder, float]:
    """Distil frozen CLIP image vectors of the video's frames into a sound encoder (Wu et al. 2022), InfoNCE."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SoundEncoder(frames[0].shape[1])
    means = torch.from_numpy(np.stack([f.mean(0) for f in frames]))
    targets = torch.nn.functional.normalize(means, dim=-1)

    def loss(rows: NDArray[np.int64], noise: torch.Generator) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            sound = model(_disturb(data.batch(rows), noise))
        wanted = targets[torch.from_numpy(rows)]
        closeness: Tensor = (sound.float() * wanted).sum(-1).mean()
        return contrastive_loss(sound, wanted, _SCALE) + 4.0 * (1 - closeness)

    return model, fit(model, loss, _schedule(data, effort, seed), run)


def train_probe(data: Heard, effort: Effort, seed: int, run: Path) -> tuple[FactorProbe, float]:
    """Which level of each factor: the sum of five cross-entropies."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FactorProbe({name: len(levels) for name, levels in LEVELS.items()})
    truth = torch.from_numpy(data.factors)

    def loss(rows: NDArray[np.int64], noise: torch.Generator) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(_disturb(data.batch(rows), noise))
        wanted = truth[torch.from_numpy(rows)]
        losses = [torch.nn.functional.cross_entropy(x.float(), wanted[:, k]) for k, x in enumerate(logits.values())]
        return torch.stack(losses).sum()

    return model, fit(model, loss, _schedule(data, effort, seed), run)
