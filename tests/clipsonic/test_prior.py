"""Sampling a prior: unit vectors, addressed noise, guidance, and the exact answer of a prior that knows it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import PriorTransformer

from clipsonic.prior import build_prior, sample_image_embedding
from clipsonic.prior_preset import PriorSampling

DIM = 8
IDS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def prior() -> PriorTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = build_prior(DIM, heads=2, head_dim=8, layers=1).eval()
    built.clip_std.data.fill_(1.0)
    return built


@pytest.fixture(scope="module")
def text() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(3, DIM, generator=torch.Generator().manual_seed(1)), dim=-1)


def test_unit_vectors_that_repeat(prior: PriorTransformer, text: torch.Tensor) -> None:
    drawn = sample_image_embedding(prior, text, IDS, 0, 2.0, 5)
    assert drawn.shape == (3, DIM) and not drawn.requires_grad
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(3))
    assert torch.equal(drawn, sample_image_embedding(prior, text, IDS, 0, 2.0, 5))


def test_company_and_order_are_invisible(prior: PriorTransformer, text: torch.Tensor) -> None:
    together = sample_image_embedding(prior, text, IDS, 0, 2.0, 5)
    for position, name in enumerate(IDS):
        alone = sample_image_embedding(prior, text[position : position + 1], [name], 0, 2.0, 5)[0]
        torch.testing.assert_close(alone, together[position], atol=1e-5, rtol=0)


def test_seed_id_and_text_matter(prior: PriorTransformer, text: torch.Tensor) -> None:
    base = sample_image_embedding(prior, text[:1], ["a"], 0, 2.0, 5)
    for other in (
        sample_image_embedding(prior, text[:1], ["a"], 1, 2.0, 5),
        sample_image_embedding(prior, text[:1], ["b"], 0, 2.0, 5),
        sample_image_embedding(prior, text[1:2], ["a"], 0, 2.0, 5),
    ):
        assert not torch.allclose(base, other, atol=1e-4)


def test_without_guidance_the_text_is_not_heard(prior: PriorTransformer, text: torch.Tensor) -> None:
    deaf = sample_image_embedding(prior, text, IDS, 0, 0.0, 5)
    torch.testing.assert_close(deaf, sample_image_embedding(prior, text.flip(0), IDS, 0, 0.0, 5))


class Oracle:
    """A prior that always knows the clean embedding, in its own standardised space."""

    def __init__(self, clean: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        self.clean, self.mean, self.deviation = (clean - mean) / deviation, mean, deviation

    def __call__(self, noisy: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(predicted_image_embedding=torch.cat([self.clean, self.clean]))

    def post_process_latents(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.deviation + self.mean


@pytest.mark.parametrize("steps", [1, 4, 25])
def test_a_prior_that_knows_the_answer_gives_it(text: torch.Tensor, steps: int) -> None:
    clean = torch.nn.functional.normalize(torch.randn(3, DIM, generator=torch.Generator().manual_seed(2)), dim=-1)
    oracle = Oracle(clean, torch.full((1, DIM), 0.2), torch.linspace(0.1, 0.4, DIM)[None])
    found = sample_image_embedding(oracle, text, IDS, 0, 3.0, steps)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.numpy(), clean.numpy(), atol=1e-4)


def test_the_most_steps_give_finite_vectors(prior: PriorTransformer, text: torch.Tensor) -> None:
    """Old mistake: 1000 steps drew NaN, and 2000 ended in an IndexError."""
    most = PriorSampling.most_steps
    PriorSampling(2.0, most, 1)
    assert torch.isfinite(sample_image_embedding(prior, text[:1], IDS[:1], 0, 2.0, most)).all()
    for steps in (most + 1, most + 2, 2000):
        with pytest.raises(ValueError, match=f"sampling: {steps} steps of a prior, expected 1 to 999"):
            PriorSampling(2.0, steps, 1)
        with pytest.raises(ValueError, match=f"{steps} steps: DPMSolverMultistepScheduler takes 1 to 999 here"):
            sample_image_embedding(prior, text, IDS, 0, 2.0, steps)


def test_the_global_generator_is_left_alone(prior: PriorTransformer, text: torch.Tensor) -> None:
    before = torch.get_rng_state()
    sample_image_embedding(prior, text, IDS, 0, 2.0, 2)
    assert torch.equal(torch.get_rng_state(), before)
