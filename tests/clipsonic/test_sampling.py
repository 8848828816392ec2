"""Guidance is exact algebra, and a sampler that draws noise on its way draws each item's own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clipsonic.diffusion import SAMPLERS
from clipsonic.network import POSITIONS
from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic.sampling import guided

IDS = [f"item-{k}" for k in range(5)]
Vectors = NDArray[np.float32]


class Linear(torch.nn.Module):
    """A network that is known: 2 x + t / 1000 + the sum of its condition."""

    passes = 0

    def forward(self, x: torch.Tensor, t: torch.Tensor, _: None, class_labels: torch.Tensor) -> SimpleNamespace:
        self.passes += 1
        inputs = x[:, :-POSITIONS]
        return SimpleNamespace(sample=2 * inputs + t / 1000 + class_labels.sum(1)[:, None, None, None])


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    drawn = np.random.default_rng(0).normal(size=(5, 8))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0, 3.5, -1.0])
def test_guidance_in_closed_form(scale: float) -> None:
    """free + scale (told - free): 0 is the free network, 1 the told one, and every point of the line between."""
    network = Linear()
    noisy = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    asked = torch.tensor([[1.0, 2.0], [0.0, -1.0], [0.5, 0.5]]).double()
    found = guided(network, noisy, torch.tensor(250), asked, scale)
    torch.testing.assert_close(found, 2 * noisy + 0.25 + scale * asked.sum(1)[:, None, None, None])
    assert network.passes == 1


def test_guidance_ends_are_exact(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    free = complete.generate(None, IDS, steps=2).log_mel
    np.testing.assert_allclose(complete.generate(vectors, IDS, steps=2, guidance_scale=0.0).log_mel, free, atol=1e-5)
    told = complete.generate(vectors, IDS, steps=2, guidance_scale=1.0).log_mel
    near = complete.generate(vectors, IDS, steps=2, guidance_scale=1.0 + 1e-6).log_mel
    np.testing.assert_allclose(near, told, atol=1e-4)  # by two branches of the code
    assert np.abs(told - free).max() > 1e-3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_makes_sounds_that_ignore_their_company(
    complete: CLIPSonicPipeline, vectors: Vectors, sampler: str
) -> None:
    together = complete.generate(vectors, IDS, steps=3, sampler=sampler, seed=4)
    assert np.isfinite(together.log_mel).all() and together.samples.std() > 0
    alone = complete.generate(vectors[3:4], IDS[3:4], steps=3, sampler=sampler, seed=4)
    np.testing.assert_array_equal(alone.samples[0], together.samples[3])
    small = complete.generate(vectors, IDS, steps=3, sampler=sampler, seed=4, batch_size=2)
    np.testing.assert_allclose(small.log_mel, together.log_mel, atol=1e-3)


def test_the_default_is_the_sampler_of_the_folder(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    default = complete.generate(vectors, IDS, steps=3).samples
    np.testing.assert_array_equal(complete.generate(vectors, IDS, steps=3, sampler="dpm-solver++").samples, default)
    assert np.abs(complete.generate(vectors, IDS, steps=3, sampler="ddim").samples - default).max() > 1e-4


def test_noise_drawn_on_the_way_has_an_address(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    before = torch.get_rng_state()
    first = complete.generate(vectors[:2], ["a", "b"], steps=4, sampler="ddpm", seed=0).log_mel
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(
        complete.generate(vectors[:2], ["a", "b"], steps=4, sampler="ddpm", seed=0).log_mel, first
    )
    same_query = complete.generate(vectors[[0, 0]], ["a", "b"], steps=4, sampler="ddpm", seed=0).log_mel
    assert np.abs(same_query[1] - same_query[0]).max() > 0.1


def test_many_small_steps_lead_where_other_methods_lead(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    """Deterministic samplers solve one equation: with enough steps they agree, from the same noise level."""
    mels = {
        name: complete.generate(vectors[:1], ["a"], steps=60, sampler=name, guidance_scale=1.0, batch_size=1).log_mel
        for name in ("dpm-solver++", "unipc", "ddim", "heun", "edm")
    }
    assert np.abs(mels["unipc"] - mels["dpm-solver++"]).mean() < 0.02
    assert np.abs(mels["ddim"] - mels["dpm-solver++"]).mean() < 0.2
    assert np.abs(mels["heun"] - mels["edm"]).mean() < 0.02


def test_bfloat16_is_near_float32(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    exact = complete.generate(vectors, IDS, steps=3).log_mel
    near = complete.generate(vectors, IDS, steps=3, precision="bfloat16").log_mel
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).mean() < 0.1


def test_what_a_sampler_cannot_do_is_refused_before_sampling(
    complete: CLIPSonicPipeline, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("sampled")

    monkeypatch.setattr(complete.unet, "forward", never)
    for message, asked in (
        ("1001 steps: DPMSolverMultistepScheduler takes 1 to 999 here", {"steps": 1001}),
        ("HeunDiscreteScheduler does not work with 1 steps", {"steps": 1, "sampler": "heun"}),
        ("sampler 'euler' does not exist; .*Samplers: dpm-solver", {"sampler": "euler"}),
    ):
        with pytest.raises(ValueError, match=message):
            complete.generate(vectors, IDS, **asked)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_makes_the_same_sounds(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    here = complete.generate(vectors, IDS, steps=3, seed=1)
    try:
        there = complete.to("cuda").generate(vectors, IDS, steps=3, seed=1)
    finally:
        complete.to("cpu")
    np.testing.assert_allclose(there.log_mel, here.log_mel, atol=1e-2)
