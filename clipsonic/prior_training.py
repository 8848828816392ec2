"""Train a diffusion prior on (text, image) vectors: the objective for `training.loop.fit`, and how good it became.

The prior learns to undo noise on an image vector, given the text vector of its pair (Ramesh et al. 2022, sec. 2.2). It
predicts the clean vector, standardised, by squared error; with a fixed probability the text is dropped, which is the
zero vector, for classifier-free guidance. Pairs, noise and dropped texts of step s are a function of (seed, s).

Some videos (files), or pictures, are held out with all their pairs, so that nothing of them is trained on. What is
drawn for a text of each is compared with the true image vector, with the text, and with a text of another (LAION's
sanity numbers for ViT-L/14: 0.75 or more; as the true pairs, about 0.3; below 0.1).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import DDPMScheduler, PriorTransformer
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.pairs import Pairs, Rows, Vectors
from clipsonic.prior import build_prior, sample_image_embedding
from clipsonic.prior_folder import PriorRecord, save_prior
from clipsonic.prior_preset import PriorPreset
from clipsonic.sounds import replace_text
from clipsonic.training.objective import Batch

HELD_OUT_SHARE: Final = 0.05
MOST_HELD_OUT: Final = 1000
_TIMESTEPS: Final = 1000
_AT_ONCE: Final = 4096


@dataclass(frozen=True)
class MeanCosine:
    """A mean over pairs with its 95 % interval (normal approximation; None for fewer than 4 pairs)."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, cosines: NDArray[np.float64]) -> MeanCosine:
        mean = float(cosines.mean())
        if len(cosines) < 4:
            return cls(mean, None, None)
        half = 1.96 * float(cosines.std(ddof=1)) / math.sqrt(len(cosines))
        return cls(mean, mean - half, mean + half)


class PriorObjective:
    """What `fit` needs to train a prior: `clipsonic.training.objective.Objective`."""

    def __init__(self, preset: PriorPreset, pairs: Pairs, seed: int, device: str = "cpu") -> None:
        """Hold out some videos or pictures, of which `held_out` has one pair each: means over them are of independent
        pairs. The one with most pairs is trained on. `device` is where the finished prior is tried on the others.

        Raises:
            ValueError: fewer than 2 pairs, or all of one video or picture.
        """
        if len(pairs) < 2:
            raise ValueError(f"{len(pairs)} pair is too few to train a prior and try it on another; give at least 2")
        self._preset, self._pairs, self._seed, self._device = preset, pairs, seed, device
        groups = pairs.groups
        if (known := int(groups.max()) + 1) < 2:
            raise ValueError(
                f"all {len(pairs)} pairs are of one video or picture: a prior is tried on another than it is trained on"
            )
        order = np.random.default_rng(seed).permutation(known)
        self._is_grouped = known < len(pairs)
        if self._is_grouped:
            order = order[order != np.bincount(groups).argmax()]
        held = order[: min(MOST_HELD_OUT, max(1, round(HELD_OUT_SHARE * known)))]
        _, firsts = np.unique(groups, return_index=True)
        self.held_out, self._rows = np.sort(firsts[held]), np.flatnonzero(~np.isin(groups, held))
        self._noising = DDPMScheduler(
            num_train_timesteps=_TIMESTEPS, beta_schedule="squaredcos_cap_v2", prediction_type="sample"
        )

    @cached_property
    def _moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation of the image vectors, mean of the text vectors, each (dim,), over the training pairs."""
        total, squares, texts = (np.zeros(self._pairs.dim) for _ in range(3))
        for start in range(0, len(self._rows), _AT_ONCE):
            rows = self._rows[start : start + _AT_ONCE]
            image = self._pairs.images(rows, np.full(len(rows), 0.5)).astype(np.float64)
            total += image.sum(0)
            squares += (image**2).sum(0)
            texts += self._pairs.texts(rows).astype(np.float64).sum(0)
        count = len(self._rows)
        mean = total / count
        return mean, np.sqrt(np.maximum(squares / count - mean**2, 1e-8)), texts / count

    def build(self) -> PriorTransformer:
        how = self._preset.network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            prior = build_prior(self._pairs.dim, how.heads, how.head_dim, how.layers)
        for parameter, values in zip((prior.clip_mean, prior.clip_std), self._standard, strict=True):
            parameter.requires_grad_(False)
            parameter.copy_(values)
        return prior.train()

    @cached_property
    def _standard(self) -> tuple[Tensor, Tensor]:
        """What image vectors are centred with and divided by, (1, dim) each."""
        mean, deviation, _ = self._moments
        if not self._preset.training.standardise:
            mean, deviation = np.zeros(len(mean)), np.full(len(mean), 1 / math.sqrt(len(mean)))
        return torch.from_numpy(mean).float()[None], torch.from_numpy(deviation).float()[None]

    def _picked(self, step: int) -> tuple[np.random.Generator, Rows]:
        rng = np.random.default_rng((self._seed, step))
        return rng, self._rows[rng.integers(len(self._rows), size=self._preset.training.batch)]

    def draw(self, step: int, part: slice) -> Batch:
        rng, rows = self._picked(step)
        size, dim = len(rows), self._pairs.dim
        choices = rng.random(size)
        timesteps = ((np.arange(size) + rng.random(size)) / size * _TIMESTEPS).astype(np.int64)
        kept = rng.random((size, 1)) >= self._preset.training.condition_dropout
        noise = torch.randn(size, dim, generator=torch.Generator().manual_seed(self._seed * 1_000_003 + step))
        mean, deviation = self._standard
        return {
            "clean": (torch.from_numpy(self._pairs.images(rows[part], choices[part])) - mean) / deviation,
            "text": torch.from_numpy(self._pairs.texts(rows[part]) * kept[part].astype(np.float32)),
            "noise": noise[part],
            "timesteps": torch.from_numpy(timesteps)[part],
        }

    def items(self, step: int, part: slice) -> list[str]:
        return [self._pairs.name(int(row)) for row in self._picked(step)[1][part]]

    def loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        noisy = self._noising.add_noise(batch["clean"], batch["noise"], batch["timesteps"])
        guess = module(noisy, batch["timesteps"], batch["text"]).predicted_image_embedding
        return torch.nn.functional.mse_loss(guess.float(), batch["clean"])

    def plan(self) -> dict[str, str]:
        return {
            "network": json.dumps(asdict(self._preset.network)),
            "recipe": json.dumps(self._preset.training.decisive()),
            "seed": str(self._seed),
            "training set": self._pairs.digest,
            **({"held-out pairs": "by video or picture"} if self._is_grouped else {}),
        }

    def render(self, module: torch.nn.Module, run: Path, seen: int) -> None:
        """Write the held-out scores so far to `scores/SEEN.json`."""
        (run / "scores").mkdir(exist_ok=True)
        record = {"schema": 1, "seen": seen, "scores": self.scores(module)}
        replace_text(run / "scores" / f"{seen:010d}.json", json.dumps(record, indent=1) + "\n")

    def finish(self, module: torch.nn.Module, run: Path) -> None:
        """Write the prior folder `run/prior`."""
        scores = self.scores(module.to(self._device))
        assert isinstance(module, PriorTransformer)
        mean, _, text_mean = self._moments
        record = PriorRecord(
            clip=self._pairs.clip,
            clip_sha256=self._pairs.clip_sha256,
            dim=self._pairs.dim,
            pairs=len(self._rows),
            **asdict(self._preset.sampling),
            image_mean=tuple(float(x) for x in mean),
            text_mean=tuple(float(x) for x in text_mean),
            scores=scores,
        )
        save_prior(module.cpu(), record, run / "prior")

    def scores(self, module: torch.nn.Module) -> dict[str, object]:
        """Mean cosines over the held-out pairs, see `MeanCosine`, and their number.

        `predicted_image`: of what is drawn and the true image vector. `predicted_text`: and its text.
        `predicted_unrelated`: and the text of another pair. `image_text`, `image_unrelated`: the same of true images.
        """
        how, rows = self._preset.sampling, self.held_out
        image = self._pairs.images(rows, np.full(len(rows), 0.5))
        text = self._pairs.texts(rows)
        names = [self._pairs.name(int(row)) for row in rows]
        device = next(module.parameters()).device
        parts = [
            sample_image_embedding(
                module,
                torch.from_numpy(text[start : start + _AT_ONCE]).to(device),
                names[start : start + _AT_ONCE],
                self._seed,
                how.guidance_scale,
                how.steps,
                how.samples,
            )
            for start in range(0, len(rows), _AT_ONCE)
        ]
        return held_out_scores(torch.cat(parts).cpu().numpy(), image, text, self._unrelated(text))

    def _unrelated(self, text: Vectors) -> Vectors:
        """For each held-out pair the text of the next pair whose text is another; labels repeat."""
        others = self._pairs.texts(np.concatenate([self.held_out, self._rows[:_AT_ONCE]]))
        found = []
        for place, own in enumerate(text):
            order = np.roll(np.arange(len(others)), -place - 1)
            differs = (others @ own)[order] < 1 - 1e-4
            found.append(order[int(differs.argmax())])
        return np.asarray(others[found])


def held_out_scores(drawn: Vectors, image: Vectors, text: Vectors, unrelated: Vectors) -> dict[str, object]:
    """The sanity numbers of a prior from unit vectors, (pairs, dim) each."""

    def cosine(x: Vectors, y: Vectors) -> dict[str, float | None]:
        return asdict(MeanCosine.of((x.astype(np.float64) * y.astype(np.float64)).sum(1)))

    return {
        "pairs": len(drawn),
        "predicted_image": cosine(drawn, image),
        "predicted_text": cosine(drawn, text),
        "image_text": cosine(image, text),
        "predicted_unrelated": cosine(drawn, unrelated),
        "image_unrelated": cosine(image, unrelated),
    }
