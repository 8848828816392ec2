"""Karlo's prior: our loop is diffusers' own, step by step, on a tiny random prior in a local folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UnCLIPPipeline
from safetensors.torch import load_file, save_file

from clipsonic.clip import FrozenClip
from clipsonic.karlo import Karlo, KarloSampling, is_karlo, load_karlo
from clipsonic.noise import addressed_generators

TEXTS = ["the dog", "a bell rings in the hall", "the the the"]
IDS = ["a", "b", "c"]
DIM = 8


@pytest.fixture(scope="module")
def karlo(karlo_folder: Path) -> Karlo:
    return load_karlo(str(karlo_folder))


class _Enough(Exception):
    """The prior stage is over."""


class _Parts:
    """What of UnCLIPPipeline's parts its prior stage touches, and a stop after it."""

    def __init__(self, karlo: Karlo) -> None:
        self.prior, self.prior_scheduler = karlo.prior, karlo.scheduler
        self.tokenizer, self.text_encoder = karlo.tokenizer, karlo.text_encoder
        self._execution_device = torch.device("cpu")
        self.given: torch.Tensor | None = None
        self.steps: list[torch.Tensor] = []

    prepare_latents = UnCLIPPipeline.prepare_latents
    _encode_prompt = UnCLIPPipeline._encode_prompt

    def progress_bar(self, steps: torch.Tensor) -> Iterator[Any]:
        return iter(steps)

    def text_proj(self, *, image_embeddings: torch.Tensor, **rest: object) -> None:
        self.given = image_embeddings
        raise _Enough


def peer(karlo: Karlo, texts: list[str], seed: int, guidance_scale: float, steps: int) -> tuple[torch.Tensor, Any]:
    """The prior stage of diffusers' UnCLIPPipeline: raw vectors, and the sample after each step."""
    parts, seen = _Parts(karlo), []
    step = karlo.scheduler.step

    def watched(*arguments: Any, **named: Any) -> Any:
        found = step(*arguments, **named)
        seen.append(found.prev_sample)
        return found

    parts.prior_scheduler = type(karlo.scheduler).from_config(karlo.scheduler.config)
    step = parts.prior_scheduler.step
    parts.prior_scheduler.step = watched
    generators = addressed_generators(seed, IDS[: len(texts)], "karlo 0")
    with pytest.raises(_Enough):
        UnCLIPPipeline.__call__(
            parts,
            texts,
            generator=generators,
            prior_num_inference_steps=steps,
            prior_guidance_scale=guidance_scale,
        )
    assert parts.given is not None
    return parts.given, seen


@pytest.mark.parametrize(("guidance_scale", "steps"), [(4.0, 25), (1.5, 2), (4.0, 7)])
def test_step_by_step_it_is_unclips_prior_stage(
    karlo: Karlo, monkeypatch: pytest.MonkeyPatch, guidance_scale: float, steps: int
) -> None:
    raw, theirs = peer(karlo, TEXTS, 3, guidance_scale, steps)
    ours: list[torch.Tensor] = []
    step = type(karlo.scheduler).step

    def watched(scheduler: Any, *arguments: Any, **named: Any) -> Any:
        found = step(scheduler, *arguments, **named)
        ours.append(found.prev_sample)
        return found

    monkeypatch.setattr(type(karlo.scheduler), "step", watched)
    drawn = karlo.image_embeddings(TEXTS, IDS, seed=3, guidance_scale=guidance_scale, steps=steps)
    assert len(ours) == len(theirs) == steps
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)
    assert raw.norm(dim=1).sub(1).abs().min() > 0.01  # raw vectors: they are not of unit length by themselves
    np.testing.assert_array_equal(drawn, torch.nn.functional.normalize(raw, dim=-1).numpy())


def test_the_clamp_is_of_the_schedulers_configuration(karlo: Karlo) -> None:
    """5 in the converted weights; without it the answers differ, so it must be what is used."""
    scheduler = type(karlo.scheduler).from_config(karlo.scheduler.config, clip_sample_range=1e-3)
    tight = Karlo(karlo.prior, scheduler, karlo.text_encoder, karlo.tokenizer, "tight")
    free = karlo.image_embeddings(TEXTS, IDS, seed=0)
    assert np.abs(tight.image_embeddings(TEXTS, IDS, seed=0) - free).max() > 0.05
    assert karlo.scheduler.config.clip_sample_range == 5.0


def test_the_text_goes_in_raw_and_the_empty_text_is_the_other_branch(
    karlo: Karlo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two old mistakes: unit text vectors, and a zero vector as the unconditional branch. Both change the answer."""
    right, _ = peer(karlo, TEXTS, 0, 4.0, 5)
    vectors = karlo.encode_text(TEXTS)[0]
    assert (vectors.norm(dim=1) - 1).abs().min() > 0.05

    def unit(found: torch.Tensor, texts: Any) -> torch.Tensor:
        return torch.nn.functional.normalize(found, dim=-1)

    def zero(found: torch.Tensor, texts: Any) -> torch.Tensor:
        return found * 0 if texts[0] == "" else found

    expected = torch.nn.functional.normalize(right, dim=-1).numpy()
    encode = Karlo.encode_text
    for change in (unit, zero):

        def changed(karlo: Karlo, texts: Any, change: Any = change) -> Any:
            found, states, mask = encode(karlo, texts)
            return change(found, texts), states, mask

        wrong = Karlo(karlo.prior, karlo.scheduler, karlo.text_encoder, karlo.tokenizer, "wrong")
        monkeypatch.setattr(Karlo, "encode_text", changed)
        assert np.abs(wrong.image_embeddings(TEXTS, IDS, seed=0, steps=5) - expected).max() > 1e-3


def test_company_order_and_batch_change_nothing(karlo: Karlo) -> None:
    together = karlo.image_embeddings(TEXTS, IDS, seed=0, steps=5)
    assert together.shape == (3, DIM) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        karlo.image_embeddings(TEXTS[::-1], IDS[::-1], seed=0, steps=5, batch_size=1)[::-1], together, atol=1e-5
    )
    other = karlo.image_embeddings(TEXTS, ["x", "b", "c"], seed=0, steps=5)
    assert np.abs(other[0] - together[0]).max() > 1e-3
    np.testing.assert_array_equal(other[1:], together[1:])
    assert np.abs(karlo.image_embeddings(TEXTS, IDS, seed=1, steps=5) - together).max() > 1e-3


def test_of_two_draws_the_nearer_to_the_text_is_kept(karlo: Karlo) -> None:
    encoded = karlo.encode_text(TEXTS)
    text = torch.nn.functional.normalize(encoded[0], dim=-1)
    draws = torch.stack([karlo._draw(encoded, IDS, 0, number, 4.0, 5) for number in range(2)])
    likeness = (draws * text).sum(-1)
    best = karlo.image_embeddings(TEXTS, IDS, seed=0, steps=5, samples=2)
    np.testing.assert_allclose((torch.from_numpy(best) * text).sum(-1), likeness.max(0).values, atol=1e-6)
    assert (likeness[0] - likeness[1]).abs().min() > 1e-3  # the two draws are two
    np.testing.assert_array_equal(karlo.image_embeddings(TEXTS, IDS, seed=0, steps=5), draws[0].numpy())


def test_its_space_is_that_of_its_text_encoder(karlo: Karlo, karlo_clip_folder: Path, clip_folder: Path) -> None:
    karlo.check_space(FrozenClip(str(karlo_clip_folder)))
    with pytest.raises(ValueError, match=r"is of another space than CLIP .*: their vectors of one text have cosine"):
        karlo.check_space(FrozenClip(str(clip_folder)))  # of the same dimension
    with pytest.raises(ValueError, match="draws vectors of 8 dimensions, CLIP micro has 64: it is of another space"):
        karlo.check_space(FrozenClip("micro"))


def test_an_empty_tokenizer_is_refused(karlo_folder: Path, tmp_path: Path) -> None:
    """transformers 5 makes one without a word where the files are missing."""
    folder = shutil.copytree(karlo_folder, tmp_path / "karlo")
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        (folder / "tokenizer" / name).unlink(missing_ok=True)
    with pytest.raises(
        ValueError, match="knows 2 tokens, the text encoder 516: its vocab.json and merges.txt are missing"
    ):
        load_karlo(str(folder))


@pytest.mark.parametrize(
    ("part", "file", "lost"),
    [
        ("prior", "diffusion_pytorch_model.safetensors", "transformer_blocks.0.attn1.to_q.weight"),
        ("text_encoder", "model.safetensors", "text_projection.weight"),
    ],
)
def test_weights_that_lack_a_tensor_are_refused(
    karlo_folder: Path, tmp_path: Path, part: str, file: str, lost: str
) -> None:
    """Old mistake: both libraries draw what is missing at random, with a log line at most."""
    place = shutil.copytree(karlo_folder, tmp_path / "karlo") / part / file
    state = load_file(place)
    save_file({name: value for name, value in state.items() if name != lost}, place, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"{part}: its weights lack {lost}"):
        load_karlo(str(tmp_path / "karlo"))


def test_what_is_missing_is_named(karlo_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(karlo_folder, tmp_path / "karlo")
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(ValueError, match=r"is no Karlo: text_encoder missing; expected the folders prior, "):
        load_karlo(str(folder))
    (folder / "text_encoder").mkdir()
    with pytest.raises(ValueError, match="cannot be read as Karlo"):
        load_karlo(str(folder))


def test_weights_that_are_not_here_are_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="of Karlo are not on this machine; type: clipsonic weights fetch karlo"):
        load_karlo()
    with pytest.raises(ValueError, match="someone/karlo is no folder, and no repository in the hub's cache"):
        load_karlo("someone/karlo")


def test_names(karlo_folder: Path, tmp_path: Path) -> None:
    assert is_karlo("karlo") and is_karlo(str(karlo_folder)) and is_karlo("someone/karlo")
    assert not is_karlo(str(tmp_path)) and not is_karlo("no/such/folder")


def test_too_few_and_too_many_steps_are_refused(karlo: Karlo) -> None:
    """Old mistake: beyond its noise levels Karlo took some of them twice, in silence."""
    for steps in (1, 1001, 5000):
        with pytest.raises(ValueError, match=f"Karlo takes 2 to 1000 steps and at least 1 sample; got {steps} steps"):
            karlo.image_embeddings(TEXTS, IDS, seed=0, steps=steps)
    assert np.isfinite(karlo.image_embeddings(TEXTS[:1], IDS[:1], seed=0, steps=1000)).all()
    assert KarloSampling.most_steps == karlo.scheduler.config.num_train_timesteps == 1000
    scheduler = type(karlo.scheduler).from_config(karlo.scheduler.config, num_train_timesteps=50)
    short = Karlo(karlo.prior, scheduler, karlo.text_encoder, karlo.tokenizer, "short")
    with pytest.raises(ValueError, match="Karlo takes 2 to 50 steps"):
        short.image_embeddings(TEXTS, IDS, seed=0, steps=51)
