"""Sampling time against sampler steps, with the Fréchet distance that each number of steps reaches.

DPM-Solver++ at 10, 20 and 50 steps, and DDIM at 250 as models of 2023 used it, on the same queries and the same
noise, in one run: compare ratios, not seconds. The floor is the network alone: `steps` evaluations, twice for
guidance. Run with

    uv run pytest benchmarks/speed/test_sampling.py -s

`-m large` runs the 250-step sampler instead, some minutes on a CPU.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from pytest_benchmark.fixture import BenchmarkFixture

from clipsonic import CLIPSonicPipeline, load_model
from clipsonic.weights import model_folder
from clipsonic_benchmarks.microworld.corpus import world_item
from clipsonic_metrics import EmbeddingStats, frechet_distance
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.sound import Sound

ITEMS = 128
SEED = 1


@cache
def _queries() -> tuple[CLIPSonicPipeline, np.ndarray, list[str], EmbeddingStats]:
    torch.set_num_threads(1)
    model = load_model(model_folder("micro"))
    items = [world_item(SEED, "validation", k) for k in range(ITEMS)]
    real = [world_item(SEED, "validation", k) for k in range(ITEMS, 4 * ITEMS)]
    images = model.encode_image(np.stack([item.frames()[4] for item in items]))
    heard = load_embedder("microworld-clap").embed_sounds([Sound.of(i.id, i.sound(), 16_000) for i in real])
    return model, images, [item.id for item in items], EmbeddingStats.of(np.concatenate(heard))


def _ddim(model: CLIPSonicPipeline) -> DDIMScheduler:
    """DDIM on the model's noise schedule. By default it clips each prediction to [-1, 1], and log-mels go beyond."""
    return DDIMScheduler.from_config(model.scheduler.config, clip_sample=False)


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        ("dpm-solver++", 10),
        ("dpm-solver++", 20),
        ("dpm-solver++", 50),
        pytest.param("ddim", 250, marks=pytest.mark.large),
    ],
)
def test_sampling(benchmark: BenchmarkFixture, sampler: str, steps: int) -> None:
    model, images, ids, reference = _queries()
    scheduler = model.scheduler if sampler == "dpm-solver++" else _ddim(model)
    chosen = CLIPSonicPipeline(model.unet, scheduler, settings=model.what.as_dict())
    made = benchmark.pedantic(chosen.generate, (images, ids), {"steps": steps}, rounds=1, iterations=1)
    heard = load_embedder("microworld-clap").embed_sounds(
        [Sound.of(name, samples, made.rate_hz) for name, samples in zip(ids, made.samples, strict=True)]
    )
    fad = frechet_distance(reference, EmbeddingStats.of(np.concatenate(heard)))
    seconds = benchmark.stats.stats.min
    started = time.perf_counter()
    chosen.vocode(made.log_mel[:32])
    vocoder = (time.perf_counter() - started) * ITEMS / 32
    benchmark.extra_info |= {"sampler": sampler, "steps": steps, "fad": fad, "vocoder_seconds": vocoder}
    each, vocoded = seconds / ITEMS * 1e3, vocoder / ITEMS * 1e3
    print(f"\n{sampler:>13} {steps:>3} steps: {each:7.1f} ms a sound, vocoder {vocoded:.1f} ms of it, FAD {fad:.4f}")
    assert fad < 0.2  # real sounds have 0.02; DDIM clipping its predictions, as it does by default, had 0.95
