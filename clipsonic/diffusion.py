"""The diffusion process and the samplers that undo it, all of diffusers' schedulers, configured for log-mels.

A clean sample x and noise e make alpha_t x + sigma_t e at timestep t, with alpha_t^2 + sigma_t^2 = 1 and alpha_t given
by `schedule`. The network is trained to say, by `prediction`, the velocity v = alpha_t e - sigma_t x (Salimans & Ho
2022) or the noise e itself (Ho et al. 2020). What the paper used is not known; both are one key of a preset.

Samplers, by the names users type:

* `dpm-solver++`  second-order multistep (Lu et al. 2022); the default
* `ddpm`          ancestral sampling (Ho et al. 2020), the only one that draws noise on its way
* `ddim`          first order, deterministic (Song et al. 2021)
* `unipc`         second-order predictor and corrector (Zhao et al. 2023)
* `heun`          Heun's method between timesteps of equal distance, two evaluations a step
* `edm`           Heun's method between the noise levels of Karras et al. 2022 (rho = 7), two evaluations a step
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import torch
from diffusers import (
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from torch import Tensor

Schedule = Literal["squaredcos_cap_v2", "linear"]
Prediction = Literal["v_prediction", "epsilon"]

LEAST_LOG_SIGNAL: Final = -5.1
"""log(alpha / sigma) above which a clean sample can be told from predicted noise (Lu et al. 2022, appendix)."""


@dataclass(frozen=True)
class Diffusion:
    """Noise levels and what the network predicts, in diffusers' names.

    schedule: `squaredcos_cap_v2` (Nichol & Dhariwal 2021) or `linear` from 1e-4 to 0.02 (Ho et al. 2020).
    """

    timesteps: int = 1000
    schedule: Schedule = "squaredcos_cap_v2"
    prediction: Prediction = "v_prediction"

    def __post_init__(self) -> None:
        if self.timesteps < 2:
            raise ValueError(f"diffusion: {self.timesteps} timesteps, expected at least 2")
        for key, value, known in (
            ("schedule", self.schedule, get_args(Schedule)),
            ("prediction", self.prediction, get_args(Prediction)),
        ):
            if value not in known:
                raise ValueError(f"diffusion: {key} {value!r} does not exist; choose one of {', '.join(known)}")

    def noising(self) -> DDPMScheduler:
        """diffusers' scheduler for training: `add_noise(clean, noise, timesteps)`."""
        return _noising(self)

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network should say for `noising().add_noise(clean, noise, timesteps)`; same shape as `clean`."""
        if self.prediction == "epsilon":
            return noise
        return torch.as_tensor(_noising(self).get_velocity(clean, noise, timesteps))

    def signal_to_noise(self, timesteps: Tensor) -> Tensor:
        """alpha_t^2 / sigma_t^2, float32, the shape of `timesteps`."""
        kept = _noising(self).alphas_cumprod.to(timesteps.device)[timesteps]
        return torch.as_tensor(kept / (1 - kept))

    def scheduler_config(self) -> dict[str, Any]:
        """The noise levels and the prediction as arguments of any diffusers scheduler."""
        return {
            "num_train_timesteps": self.timesteps,
            "beta_schedule": self.schedule,
            "beta_start": 1e-4,  # said here: schedulers differ in their defaults
            "beta_end": 0.02,
            "prediction_type": self.prediction,
        }


@cache
def _noising(diffusion: Diffusion) -> DDPMScheduler:
    return DDPMScheduler(**diffusion.scheduler_config())


@dataclass(frozen=True)
class Sampler:
    """A scheduler and the options under which it samples log-mels, which go beyond [-1, 1].

    near_signal: skip timesteps without signal for any prediction. Solvers over sigma / alpha, which is 20 000 at the
        end of the cosine schedule, would spend most of their steps there.
    """

    scheduler: type
    options: Mapping[str, Any]
    near_signal: bool = False


SAMPLERS: Final[Mapping[str, Sampler]] = MappingProxyType(
    {
        "dpm-solver++": Sampler(DPMSolverMultistepScheduler, {}),
        "ddpm": Sampler(DDPMScheduler, {"clip_sample": False, "timestep_spacing": "linspace"}),
        # DDIM is first-order DPM-Solver++ (Lu et al. 2022); diffusers' DDIMScheduler is wrong where steps do not divide
        # the timesteps
        "ddim": Sampler(DPMSolverMultistepScheduler, {"solver_order": 1}),
        "unipc": Sampler(UniPCMultistepScheduler, {"final_sigmas_type": "zero"}),
        "heun": Sampler(HeunDiscreteScheduler, {}, near_signal=True),
        "edm": Sampler(HeunDiscreteScheduler, {"use_karras_sigmas": True}, near_signal=True),
    }
)
DEFAULT_SAMPLER: Final = "dpm-solver++"


def make_sampler(name: str, diffusion: Diffusion) -> SchedulerMixin:
    """The diffusers scheduler of a name in `SAMPLERS` for this process.

    Predicted noise says nothing about the clean sample where there is no signal, so for `epsilon` every sampler starts
    at the last timestep that has some: `LEAST_LOG_SIGNAL`.

    Raises:
        ValueError: naming the nearest sampler, and all.
    """
    if name not in SAMPLERS:
        near = difflib.get_close_matches(name, SAMPLERS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"sampler {name!r} does not exist; {hint}Samplers: {', '.join(SAMPLERS)}")
    sampler, config = SAMPLERS[name], diffusion.scheduler_config()
    if diffusion.prediction == "epsilon" or sampler.near_signal:
        levels = _levels_with_signal(diffusion)
        if levels < diffusion.timesteps:  # the first of all timesteps: their numbers, which the network knows, stay
            betas = [float(beta) for beta in _noising(diffusion).betas[:levels]]
            config |= {"num_train_timesteps": levels, "trained_betas": betas}
    return sampler.scheduler(**config, **sampler.options)


def sampler_name(scheduler: SchedulerMixin, diffusion: Diffusion) -> str:
    """The name in `SAMPLERS` that makes this very scheduler, or else its class."""
    for name in SAMPLERS:
        made = make_sampler(name, diffusion)
        if type(made) is type(scheduler) and _said(made) == _said(scheduler):
            return name
    return type(scheduler).__name__


def _said(scheduler: SchedulerMixin) -> dict[str, Any]:
    return {key: value for key, value in scheduler.config.items() if not key.startswith("_")}


def _levels_with_signal(diffusion: Diffusion) -> int:
    log_signal = diffusion.signal_to_noise(torch.arange(diffusion.timesteps)).double().log() / 2
    return int((log_signal >= LEAST_LOG_SIGNAL).sum())


def set_steps(scheduler: SchedulerMixin, steps: int) -> None:
    """`scheduler.set_timesteps(steps)`, and a look at what came of it.

    Raises:
        ValueError: if there are too few noise levels, the first is not near pure noise (one step of a spacing that ends
            at timestep 0), or one does not exist (diffusers rounds "trailing" spacing to -1 for 61, 103, … steps).
    """
    name, config = type(scheduler).__name__, scheduler.config
    levels = config.num_train_timesteps
    # multistep solvers space steps + 1 timesteps evenly; one that comes twice would have a second order divide by zero
    spaces_one_more = config.get("solver_order", 1) > 1 and config.timestep_spacing == "linspace"
    most = levels - 1 if spaces_one_more else levels
    if not 1 <= steps <= most:
        raise ValueError(f"{steps} steps: {name} takes 1 to {most} here")
    scheduler.set_timesteps(steps)
    found = scheduler.timesteps
    if float(found[0]) < levels / 2 or float(found.min()) < 0:
        raise ValueError(f"{name} does not work with {steps} steps: choose another number")


def check_scheduler(scheduler: SchedulerMixin, diffusion: Diffusion) -> None:
    """Refuse a scheduler that does not undo this process.

    Raises:
        ValueError: if it clips, or has other noise levels or another prediction than the network was trained for.
    """
    name, config = type(scheduler).__name__, scheduler.config
    if getattr(config, "clip_sample", False):  # DDIM's and DDPM's default: FAD 0.95 instead of 0.08
        raise ValueError(
            f"this {name} clips predictions to [-1, 1], and log-mels go beyond: make it with clip_sample=False"
        )
    if config.prediction_type != diffusion.prediction:
        raise ValueError(
            f"this {name} expects {config.prediction_type}, the network was trained for {diffusion.prediction}: "
            f"make it with prediction_type={diffusion.prediction!r}"
        )
    levels = getattr(scheduler, "alphas_cumprod", None)
    known = _noising(diffusion).alphas_cumprod.cpu()
    if levels is None or len(levels) > len(known) or not torch.allclose(levels.cpu(), known[: len(levels)], atol=1e-6):
        raise ValueError(
            f"this {name} has other noise levels than the {diffusion.timesteps} of {diffusion.schedule!r} that the "
            "network was trained for: make it with clipsonic.diffusion.make_sampler"
        )
