"""Train the diffusion priors: PD on image-caption pairs without sound, SD on the captions of the training videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, PriorTransformer
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.prior import build_prior
from clipsonic_benchmarks.microworld.recipes.loop import Schedule, fit
from clipsonic_benchmarks.microworld.recipes.recipe import Effort

_DROP_TEXT = 0.1


def train_prior(image: Tensor, text: Tensor, effort: Effort, seed: int, run: Path) -> tuple[PriorTransformer, float]:
    """Learn to undo noise on image vectors given text vectors; both unit, (pairs, dim). Returns the prior and seconds.

    Diffusion runs on standardised image vectors (Karlo's `clip_mean`, `clip_std`); the text is dropped, which is the
    zero vector, in one case of ten.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = build_prior(image.shape[1])
    with torch.no_grad():
        prior.clip_mean.copy_(image.mean(0, keepdim=True))
        prior.clip_std.copy_(image.std(0, keepdim=True))
    prior.clip_mean.requires_grad_(False)
    prior.clip_std.requires_grad_(False)
    clean_all = (image - prior.clip_mean.detach()) / prior.clip_std.detach()
    noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="sample")

    def loss(rows: NDArray[np.int64], generator: torch.Generator) -> Tensor:
        picked = torch.from_numpy(rows)
        clean = clean_all[picked]
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(1000, (len(clean),), generator=generator)
        kept = torch.rand(len(clean), 1, generator=generator) >= _DROP_TEXT
        noisy = noising.add_noise(clean, noise, timesteps)
        guess = prior(noisy, timesteps, text[picked] * kept).predicted_image_embedding
        return torch.nn.functional.mse_loss(guess, clean)

    schedule = Schedule(len(image), effort.steps, effort.batch, effort.learning_rate, seed, weight_decay=0.0)
    return prior, fit(prior, loss, schedule, run)
