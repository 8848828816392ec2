"""The diffusion prior: a text embedding in, an image embedding out, in one CLIP space (Ramesh et al. 2022, sec. 2.2).

The network is diffusers' `PriorTransformer`, so Karlo's weights have the same class. As there, diffusion runs on
(embedding - clip_mean) / clip_std, the network predicts the clean embedding, and guidance subtracts the prediction for
an empty text (here: the zero vector).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DPMSolverMultistepScheduler, PriorTransformer
from torch import Tensor

from clipsonic.diffusion import set_steps
from clipsonic.noise import addressed_noise


def build_prior(dim: int, heads: int = 4, head_dim: int = 24, layers: int = 3) -> PriorTransformer:
    """A small prior with random weights for `dim`-dimensional embeddings, conditioned on the text vector alone."""
    return PriorTransformer(
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        num_layers=layers,
        embedding_dim=dim,
        num_embeddings=0,
        additional_embeddings=4,  # text vector, time, noisy vector, and the position that answers
        encoder_hid_proj_type=None,  # no sequence of text tokens beside the text vector
    )


def prior_scheduler() -> DPMSolverMultistepScheduler:
    """Cosine schedule of 1000 steps, clean-sample prediction, solved by DPM-Solver++: deterministic given its start."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="sample"
    )


@torch.no_grad()
def sample_image_embedding(
    prior: PriorTransformer,
    text: Tensor,
    ids: Sequence[str],
    seed: int,
    guidance_scale: float,
    steps: int,
    samples: int = 1,
) -> Tensor:
    """Draw one image embedding for each text embedding.

    Args:
        text: unit vectors, (items, dim), on the prior's device.
        ids: addresses of the noise, one per item.
        guidance_scale: 1 samples the prior as trained; larger values keep closer to the text.
        samples: how many are drawn for each, of which the one nearest to the text is kept (DALL-E 2 draws 2).

    Returns:
        Unit vectors, (items, dim).

    Raises:
        ValueError: fewer steps than 1, or more than 999 (`clipsonic.diffusion.set_steps`).
    """
    purposes = ["prior", *(f"prior {number}" for number in range(1, samples))]
    drawn = [_draw(prior, text, ids, seed, guidance_scale, steps, purpose) for purpose in purposes]
    return nearest_to_text(torch.stack(drawn), text)


def _draw(
    prior: PriorTransformer,
    text: Tensor,
    ids: Sequence[str],
    seed: int,
    guidance_scale: float,
    steps: int,
    purpose: str,
) -> Tensor:
    scheduler = prior_scheduler()
    set_steps(scheduler, steps)
    sample = addressed_noise(seed, ids, purpose, (text.shape[1],)).to(text.device) * scheduler.init_noise_sigma
    both = torch.cat([torch.zeros_like(text), text])
    for timestep, there in zip(scheduler.timesteps, scheduler.timesteps.to(text.device), strict=True):
        empty, told = prior(torch.cat([sample, sample]), there, both).predicted_image_embedding.chunk(2)
        sample = scheduler.step(empty + guidance_scale * (told - empty), timestep, sample).prev_sample
    return torch.nn.functional.normalize(prior.post_process_latents(sample), dim=-1)


def nearest_to_text(drawn: Tensor, text: Tensor) -> Tensor:
    """Of several draws the one with the highest cosine to the text (Ramesh et al. 2022, sec. 2.2).

    Args:
        drawn: unit vectors (draws, items, dim). text: (items, dim), of any length.

    Returns:
        Unit vectors, (items, dim).
    """
    best = (drawn * torch.nn.functional.normalize(text, dim=-1)).sum(-1).argmax(0)
    return drawn[best, torch.arange(drawn.shape[1], device=drawn.device)]
