"""The diffusion loss: the squared error of what the network says of noisy patches, weighted over noise levels.

`uniform` weighs the prediction's own error equally at all levels. `min-snr` (Hang et al. 2023, section 3.4) weighs the
clean sample's error by min(SNR, gamma), which in terms of the prediction is min(SNR, gamma) / (SNR + 1) for v and
min(SNR, gamma) / SNR for noise: levels with little noise, easy and many, no longer pull against the others.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipsonic.diffusion import Diffusion
from clipsonic.network import predict
from clipsonic.training.config import Weighting
from clipsonic.training.objective import Batch


def min_snr_weight(snr: Tensor, gamma: float, prediction: str) -> Tensor:
    """Weight of each item, (items,), from its signal-to-noise ratio."""
    clipped = torch.clamp(snr, max=gamma)
    return clipped / (snr + 1) if prediction == "v_prediction" else clipped / snr


def diffusion_loss(
    network: torch.nn.Module, batch: Batch, diffusion: Diffusion, weighting: Weighting, gamma: float
) -> Tensor:
    """Mean over items, channels and places, of a batch as `Draw.batch` gives it."""
    clean, noise, timesteps = batch["clean"], batch["noise"], batch["timesteps"]
    noisy = diffusion.noising().add_noise(clean, noise, timesteps)
    target = diffusion.target(clean, noise, timesteps)
    said = predict(network, noisy, timesteps, batch["condition"]).float()
    if weighting == "uniform":
        return torch.nn.functional.mse_loss(said, target)
    error = torch.nn.functional.mse_loss(said, target, reduction="none").flatten(1).mean(1)
    return (error * min_snr_weight(diffusion.signal_to_noise(timesteps), gamma, diffusion.prediction)).mean()
