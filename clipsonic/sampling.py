"""Draw a sample: the network asked again and again by a diffusers scheduler, guided towards its condition."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from clipsonic.network import predict

Precision = Literal["float32", "bfloat16"]


def guided(network: torch.nn.Module, noisy: Tensor, timestep: Tensor, asked: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022): free + scale * (told - free), both in one pass of the network.

    Args:
        noisy: (items, channels, rows, columns). asked: standardised conditions (items, dim).
        scale: 1 is the network as trained, 0 the network without condition.
    """
    if scale == 1.0:
        return predict(network, noisy, timestep, asked)
    both = torch.cat([torch.zeros_like(asked), asked])
    free, told = predict(network, torch.cat([noisy, noisy]), timestep, both).chunk(2)
    return free + scale * (told - free)


def sample_patches(
    network: torch.nn.Module,
    scheduler: SchedulerMixin,
    noise: Tensor,
    asked: Tensor,
    *,
    guidance_scale: float,
    generators: Sequence[torch.Generator],
    precision: Precision = "float32",
) -> Tensor:
    """From noise to mel patches, on the device of `noise`. Schedulers carry state: set the steps anew for each call.

    Args:
        scheduler: undoes the process the network was trained for (`clipsonic.diffusion.check_scheduler`), and has
            its timesteps (`clipsonic.diffusion.set_steps`).
        noise: standard normal, (items, channels, rows, columns).
        generators: one CPU generator an item, for samplers that draw noise on their way.
        precision: `bfloat16` runs the network under autocast; the scheduler computes in float32 either way.
    """
    sample = noise * scheduler.init_noise_sigma
    draws = {"generator": list(generators)} if "generator" in inspect.signature(scheduler.step).parameters else {}
    there = scheduler.timesteps.to(noise.device)  # once: a copy in every evaluation would make the host wait for a GPU
    for timestep, told in zip(scheduler.timesteps, there, strict=True):
        inputs = scheduler.scale_model_input(sample, timestep)
        with _autocast(noise.device, precision):
            guess = guided(network, inputs, told, asked, guidance_scale)
        sample = scheduler.step(guess.float(), timestep, sample, **draws).prev_sample
    return torch.as_tensor(sample)


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
