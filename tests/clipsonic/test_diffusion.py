"""The noise levels in closed form, and every sampler against the exact answer for Gaussian data.

Where data are N(mu, s^2), the best network is known, and the probability-flow equation from noise to data has the
solution mu + s (x_T - alpha_T mu) / sqrt(alpha_T^2 s^2 + sigma_T^2). A sampler is right if its error falls with the
order of its method; a wrong noise level, spacing or last step leaves an error that stays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EDMEulerScheduler, HeunDiscreteScheduler, SchedulerMixin
from numpy.typing import NDArray

from clipsonic.diffusion import DEFAULT_SAMPLER, SAMPLERS, Diffusion, check_scheduler, make_sampler, set_steps
from clipsonic.noise import addressed_generators
from clipsonic.settings import Settings
from clipsonic.weights import model_folder

COSINE = Diffusion()
COSINE_NOISE = Diffusion(prediction="epsilon")
LINEAR = Diffusion(schedule="linear")
LINEAR_NOISE = Diffusion(schedule="linear", prediction="epsilon")
PROCESSES = [COSINE, COSINE_NOISE, LINEAR, LINEAR_NOISE]
ORDERS = {"ddim": (0.9, 1.1), "dpm-solver++": (1.55, 2.3), "unipc": (1.55, 2.3), "heun": (2.0, 3.0), "edm": (2.0, 3.0)}
"""What slope each must show. The first and last steps of the multistep methods are of first order: short of 2 here."""
MEAN = 0.7
DEVIATIONS = torch.tensor([0.2, 0.5, 1.0, 2.0])[:, None]
NOISE = torch.linspace(-2.0, 2.0, 9)[None, :].expand(4, 9)
STEPS = (10, 20, 40, 80)


def kept(diffusion: Diffusion) -> NDArray[np.float64]:
    """alpha_t^2 by the papers' own formulas, in float64."""
    steps = diffusion.timesteps
    if diffusion.schedule == "linear":  # Ho et al. 2020, sec. 4
        return np.cumprod(1 - np.linspace(1e-4, 0.02, steps))
    u = np.arange(steps + 1) / steps
    f = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2  # Nichol & Dhariwal 2021, eq. 17
    return np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999))


def best(diffusion: Diffusion, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """What a perfect network says of N(MEAN, DEVIATIONS^2) at a timestep, between timesteps by log sigma / alpha."""
    levels = kept(diffusion)
    ratio = np.exp(np.interp(float(timestep), np.arange(len(levels)), np.log((1 - levels) / levels) / 2))
    alpha, sigma = 1 / np.sqrt(1 + ratio**2), ratio / np.sqrt(1 + ratio**2)
    variance, given = DEVIATIONS.double() ** 2, x.double()
    clean = MEAN + alpha * variance / (alpha**2 * variance + sigma**2) * (given - alpha * MEAN)
    noise = (given - alpha * clean) / sigma
    return (noise if diffusion.prediction == "epsilon" else alpha * noise - sigma * clean).float()


def sample(scheduler: SchedulerMixin, diffusion: Diffusion, noise: torch.Tensor, steps: int) -> torch.Tensor:
    set_steps(scheduler, steps)
    x = noise * scheduler.init_noise_sigma
    draws = {}
    if isinstance(scheduler, DDPMScheduler):
        draws = {"generator": addressed_generators(0, [str(k) for k in range(len(noise))], "test")}
    for timestep in scheduler.timesteps:
        said = best(diffusion, scheduler.scale_model_input(x, timestep), timestep)
        x = scheduler.step(said, timestep, x, **draws).prev_sample
    return x


def exact(scheduler: SchedulerMixin, diffusion: Diffusion) -> torch.Tensor:
    """Where the equation leads from NOISE at the last level that the scheduler knows."""
    level = float(kept(diffusion)[len(scheduler.alphas_cumprod) - 1])
    alpha, variance = level**0.5, DEVIATIONS.double() ** 2
    start = float(scheduler.init_noise_sigma)  # x_T / alpha_T where the scheduler runs over sigma / alpha
    x = NOISE.double() * (1.0 if start == 1.0 else start * alpha)
    return MEAN + DEVIATIONS * (x - alpha * MEAN) / (alpha**2 * variance + 1 - level).sqrt()


def order(errors: Sequence[float]) -> float:
    """Slope of log error over log steps."""
    return float(-np.polyfit(np.log(STEPS), np.log(errors), 1)[0])


def error_of(scheduler: SchedulerMixin, name: str, diffusion: Diffusion, steps: int) -> float:
    gap = sample(scheduler, diffusion, NOISE, steps).double() - exact(make_sampler(name, diffusion), diffusion)
    return float(gap.square().mean().sqrt())


def errors_of(name: str, diffusion: Diffusion) -> list[float]:
    return [error_of(make_sampler(name, diffusion), name, diffusion, steps) for steps in STEPS]


# The process


@pytest.mark.parametrize("diffusion", PROCESSES)
def test_noise_levels_are_the_papers(diffusion: Diffusion) -> None:
    np.testing.assert_allclose(diffusion.noising().alphas_cumprod.numpy(), kept(diffusion), atol=2e-6)
    timesteps = torch.tensor([0, 10, 500, 990])
    expected = kept(diffusion)[timesteps] / (1 - kept(diffusion)[timesteps])
    np.testing.assert_allclose(diffusion.signal_to_noise(timesteps).numpy(), expected, rtol=2e-3)


@pytest.mark.parametrize("diffusion", PROCESSES)
def test_a_target_and_its_noisy_sample_give_back_clean_and_noise(diffusion: Diffusion) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 6, 3, 4, 5, generator=generator).double()
    timesteps = torch.tensor([0, 30, 300, 600, 900, 990])
    noisy = diffusion.noising().add_noise(clean, noise, timesteps)
    said = diffusion.target(clean, noise, timesteps)
    alpha = torch.from_numpy(kept(diffusion)[timesteps]).sqrt()[:, None, None, None]
    sigma = (1 - alpha**2).sqrt()
    torch.testing.assert_close(noisy, alpha * clean + sigma * noise, atol=1e-4, rtol=0)
    if diffusion.prediction == "epsilon":
        assert torch.equal(said, noise)
    else:
        torch.testing.assert_close(alpha * noisy - sigma * said, clean, atol=1e-4, rtol=0)
        torch.testing.assert_close(sigma * noisy + alpha * said, noise, atol=1e-4, rtol=0)


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="schedule 'cosine' does not exist; choose one of squaredcos_cap_v2, linear"):
        Diffusion(schedule="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prediction 'sample' does not exist; choose one of v_prediction, epsilon"):
        Diffusion(prediction="sample")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 timesteps, expected at least 2"):
        Diffusion(timesteps=1)
    with pytest.raises(ValueError, match=r"sampler 'dpm-solver' does not exist; did you mean 'dpm-solver\+\+'\? Sam"):
        make_sampler("dpm-solver", COSINE)


# Samplers against the closed form


@pytest.mark.parametrize("diffusion", PROCESSES)
@pytest.mark.parametrize("name", ORDERS)
def test_the_error_falls_with_the_order_of_the_method(name: str, diffusion: Diffusion) -> None:
    found, (least, most) = errors_of(name, diffusion), ORDERS[name]
    assert least < order(found) < most, (found, order(found))
    assert found[-1] < (0.04 if name == "ddim" else 0.007)


def test_a_scheduler_as_it_comes_would_not_converge() -> None:
    """DDIM that starts at pure noise as if it were timestep 950 ("leading", diffusers' default), on other steps than
    divide 1000: an error that more steps do not remove."""
    steps = (30, 60, 120, 240)
    theirs = [DDIMScheduler(**COSINE.scheduler_config(), clip_sample=False) for _ in steps]
    errors = [error_of(scheduler, "ddim", COSINE, n) for scheduler, n in zip(theirs, steps, strict=True)]
    first, *_, last = (error_of(make_sampler("ddim", COSINE), "ddim", COSINE, n) for n in steps)
    assert last < first / 6 and errors[-1] > 2 * last


def test_ddim_is_diffusers_ddim_on_the_same_timesteps() -> None:
    theirs = DDIMScheduler(**COSINE.scheduler_config(), clip_sample=False, timestep_spacing="trailing")
    ours = make_sampler("ddim", COSINE)
    ours.register_to_config(timestep_spacing="trailing")
    for steps in (10, 50, 250):
        torch.testing.assert_close(
            sample(ours, COSINE, NOISE, steps), sample(theirs, COSINE, NOISE, steps), atol=2e-4, rtol=0
        )


@pytest.mark.parametrize("diffusion", PROCESSES)
def test_ddpm_has_the_mean_and_deviation_that_its_own_recursion_gives(diffusion: Diffusion) -> None:
    """Ancestral sampling of a Gaussian is linear, so both are known at every step (Ho et al. 2020, eq. 6 and 7)."""
    steps, items = 50, 4000
    scheduler = make_sampler("ddpm", diffusion)
    set_steps(scheduler, steps)
    levels = kept(diffusion)
    deviations = DEVIATIONS.double().numpy()
    mean, variance = np.zeros_like(deviations), np.ones_like(deviations)
    timesteps = scheduler.timesteps.tolist()
    for now, then in zip(timesteps, [*timesteps[1:], None], strict=True):
        a, b = levels[now], 1.0 if then is None else levels[then]
        gain = np.sqrt(a) * deviations**2 / (a * deviations**2 + 1 - a)  # of the clean sample over x
        on_clean, on_x = np.sqrt(b) * (1 - a / b) / (1 - a), np.sqrt(a / b) * (1 - b) / (1 - a)
        slope, offset = on_clean * gain + on_x, on_clean * MEAN * (1 - np.sqrt(a) * gain)
        added = 0.0 if then is None else (1 - b) / (1 - a) * (1 - a / b)
        mean, variance = slope * mean + offset, slope**2 * variance + added
    noise = torch.randn(4, items, generator=torch.Generator().manual_seed(0))
    found = sample(scheduler, diffusion, noise, steps).double().numpy()
    standard_error = np.sqrt(variance[:, 0] / items)
    assert np.all(np.abs(found.mean(1) - mean[:, 0]) < 4 * standard_error)
    np.testing.assert_allclose(found.var(1) / variance[:, 0], 1, atol=4 * np.sqrt(2 / items))
    np.testing.assert_allclose(mean, MEAN, atol=0.02)
    np.testing.assert_allclose(np.sqrt(variance), deviations, rtol=0.25)


def test_ddpm_nears_the_data_with_more_steps() -> None:
    noise = torch.randn(4, 4000, generator=torch.Generator().manual_seed(0))
    few, many = (sample(make_sampler("ddpm", COSINE), COSINE, noise, n).std(1) - DEVIATIONS[:, 0] for n in (20, 300))
    assert (many.abs()[:3] < few.abs()[:3] / 2).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_velocity_and_noise_are_one_denoiser(name: str) -> None:
    """On the noise levels that both have, the samples agree to rounding, which predicted noise amplifies."""
    told = [sample(make_sampler(name, process), process, NOISE, 25) for process in (LINEAR, LINEAR_NOISE)]
    torch.testing.assert_close(told[0], told[1], atol=2e-3, rtol=0)


def test_predicted_noise_is_not_asked_where_there_is_no_signal() -> None:
    """At the end of the cosine schedule an error of 0.01 in the noise is one of 200 in the clean sample."""
    assert kept(COSINE)[-1] < 1e-8
    for name in SAMPLERS:
        first = float(make_sampler(name, COSINE_NOISE).alphas_cumprod[-1])
        assert np.log(first / (1 - first)) / 2 > -5.2
        np.testing.assert_allclose(
            make_sampler(name, COSINE_NOISE).alphas_cumprod.numpy(), kept(COSINE)[:996], atol=2e-6
        )
        assert len(make_sampler(name, LINEAR_NOISE).alphas_cumprod) == 1000


# Configuration


@pytest.mark.parametrize("name", ["micro", "micro-clip-tta", "micro-clap-tta"])
def test_the_shipped_scheduler_is_the_default_sampler(name: str) -> None:
    folder = model_folder(name)
    shipped = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    settings = Settings.from_dict(json.loads((folder / "model_index.json").read_text())["settings"])
    made = json.loads(make_sampler(DEFAULT_SAMPLER, settings.diffusion).to_json_string())
    assert made == {**shipped, "_diffusers_version": made["_diffusers_version"]}
    assert settings.diffusion == COSINE and settings.vocoder == "griffin-lim"


@pytest.mark.parametrize("diffusion", PROCESSES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_number_of_steps_has_timesteps_that_exist(name: str, diffusion: Diffusion) -> None:
    scheduler = make_sampler(name, diffusion)
    levels = len(scheduler.alphas_cumprod)
    for steps in (2, 3, 7, 27, 61, 103, 121, 250, 900):
        set_steps(scheduler, steps)
        assert len(scheduler.timesteps) == (2 * steps - 1 if name in ("heun", "edm") else steps)
        assert levels / 2 <= float(scheduler.timesteps[0]) <= levels - 1 and float(scheduler.timesteps.min()) >= 0


MOST_STEPS = {"dpm-solver++": 999, "ddpm": 1000, "ddim": 1000, "unipc": 999, "heun": 996, "edm": 996}
MOST_STEPS_OF_NOISE = {name: most - 4 if most > 996 else most for name, most in MOST_STEPS.items()}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    ("diffusion", "most"),
    [
        (COSINE, MOST_STEPS),
        (COSINE_NOISE, MOST_STEPS_OF_NOISE),
        (LINEAR, {**MOST_STEPS, "heun": 1000, "edm": 1000}),
        (replace(COSINE, timesteps=8), {"dpm-solver++": 7, "ddpm": 8, "ddim": 8, "unipc": 7, "heun": 8, "edm": 8}),
    ],
)
def test_the_most_steps_give_a_finite_sample(name: str, diffusion: Diffusion, most: dict[str, int]) -> None:
    """Old mistake: as many steps as noise levels made the solvers of second order take one level twice, and divide by
    zero: NaN, after all of them."""
    scheduler = make_sampler(name, diffusion)
    for steps in (most[name] + 1, most[name] + 2, 10 * most[name]):
        with pytest.raises(ValueError, match=f"{steps} steps: {type(scheduler).__name__} takes 1 to {most[name]} here"):
            set_steps(scheduler, steps)
    set_steps(scheduler, most[name])
    noise = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    first, second = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(1))  # a tiny network
    draws = {"generator": addressed_generators(0, ["a", "b"], "test")} if name == "ddpm" else {}
    x = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        said = torch.tanh(scheduler.scale_model_input(x, timestep) @ first) @ second
        x = scheduler.step(said, timestep, x, **draws).prev_sample
    assert torch.isfinite(x).all()


def test_one_timestep_more_than_steps_is_a_matter_of_the_spacing() -> None:
    """A multistep solver whose spacing ends before timestep 0 has all levels to take."""
    scheduler = make_sampler("dpm-solver++", COSINE)
    scheduler.register_to_config(timestep_spacing="trailing")
    set_steps(scheduler, 1000)
    assert len(scheduler.timesteps.unique()) == 1000


def test_timesteps_that_do_not_exist_are_refused() -> None:
    """diffusers' "trailing" spacing counts 62 timesteps for 61 steps, the last of them -1: pure noise once more."""
    scheduler = DDPMScheduler(**COSINE.scheduler_config(), clip_sample=False, timestep_spacing="trailing")
    set_steps(scheduler, 60)
    with pytest.raises(ValueError, match="DDPMScheduler does not work with 61 steps"):
        set_steps(scheduler, 61)
    with pytest.raises(ValueError, match="HeunDiscreteScheduler does not work with 1 steps"):
        set_steps(make_sampler("heun", COSINE), 1)


@pytest.mark.parametrize("diffusion", PROCESSES)
def test_all_samplers_undo_their_process(diffusion: Diffusion) -> None:
    for name in SAMPLERS:
        check_scheduler(make_sampler(name, diffusion), diffusion)


def test_a_scheduler_of_another_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="this DDPMScheduler clips predictions"):
        check_scheduler(COSINE.noising(), COSINE)
    with pytest.raises(ValueError, match="expects epsilon, the network was trained for v_prediction"):
        check_scheduler(make_sampler("ddim", COSINE_NOISE), COSINE)
    with pytest.raises(ValueError, match="has other noise levels than the 1000 of 'squaredcos_cap_v2'"):
        check_scheduler(make_sampler("ddim", LINEAR), COSINE)
    with pytest.raises(ValueError, match="has other noise levels"):  # Heun's defaults are those of latent diffusion
        check_scheduler(HeunDiscreteScheduler(beta_schedule="linear", prediction_type="v_prediction"), LINEAR)
    with pytest.raises(ValueError, match="has other noise levels"):
        check_scheduler(EDMEulerScheduler(prediction_type="v_prediction"), COSINE)
    with pytest.raises(ValueError, match="has other noise levels"):
        check_scheduler(make_sampler("ddim", COSINE), replace(COSINE, timesteps=500))


def test_a_process_survives_json() -> None:
    assert Diffusion(**json.loads(json.dumps(asdict(LINEAR_NOISE)))) == LINEAR_NOISE
