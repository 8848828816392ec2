"""The batch of a step, addressed: clips, frames, noise and dropped conditions are a function of (seed, step) alone.

Every process draws the rows and the noise of the whole batch and keeps its part, so that any number of processes sees
the same batch. Rows cost nothing; noise does: a batch of 256 clips of 936 frames x 100 bands is 24 million normal
numbers, 96 MB and about a fifth of a second of one core in every process and step, spent in a thread while the
accelerator works on the step before. Log-mels and conditions are read for the own part only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.diffusion import Diffusion
from clipsonic.mel import MelConfig, normalise, to_patches
from clipsonic.settings import Conditioning
from clipsonic.training.dataset import Rows, TrainingSet


@dataclass(frozen=True)
class Draw:
    """Draws batches of `size` items from a training set."""

    data: TrainingSet
    mel: MelConfig
    diffusion: Diffusion
    conditioning: Conditioning
    condition_dropout: float
    size: int
    seed: int

    def rows(self, step: int) -> Rows:
        """The rows of a step, drawn with replacement, (size,)."""
        return self._generator(step).integers(len(self.data.ids), size=self.size)

    def batch(self, step: int, part: slice) -> dict[str, Tensor]:
        """The items `part` of the batch of a step.

        Returns:
            clean, noise: (items, channels, rows, columns), patches of normalised log-mels. timesteps: (items,), spread
            evenly over the batch (stratified). condition: (items, dim), zero where it is dropped.
        """
        size = self.size
        rng = self._generator(step)
        rows = rng.integers(len(self.data.ids), size=size)
        choices = rng.random(size)
        shape, generator = (size, self.mel.channels, *self.mel.grid), torch.Generator()
        noise = torch.randn(shape, generator=generator.manual_seed(self.seed * 1_000_003 + step))
        levels = (np.arange(size) + rng.random(size)) / size * self.diffusion.timesteps
        dropped = torch.from_numpy(rng.random(size) < self.condition_dropout)
        clean = to_patches(normalise(self.data.log_mels(rows[part]), self.mel), self.mel)
        vectors = self._vectors(rows[part], choices[part])
        return {
            "clean": clean,
            "noise": noise[part],
            "timesteps": torch.from_numpy(levels.astype(np.int64))[part],
            "condition": torch.where(dropped[part, None], 0.0, vectors),
        }

    def _vectors(self, rows: Rows, choices: NDArray[np.float64]) -> Tensor:
        found = self.data.conditions(rows)
        picked = [vectors[int(choice * len(vectors))] for vectors, choice in zip(found, choices, strict=True)]
        known = self.conditioning
        mean = torch.tensor(known.mean) if known.mean else torch.zeros(known.dim)
        return (torch.from_numpy(np.stack(picked)) - mean) * known.scale

    def _generator(self, step: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, step))
