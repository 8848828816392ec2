"""Sampling: sounds a second for each size of model, what each measure of speed is worth, and what sampler steps buy.

All compared in one run, so read ratios and shares, not seconds. A clip is one sound of the preset's length with
guidance: 2 x 20 evaluations of the network, then the vocoder. Model FLOPs utilisation is what the network's arithmetic
(counted by torch) takes at the rate of one large matrix product of the same precision, measured here, over the time
taken. Weights are random: times do not depend on them. Run with

    uv run pytest benchmarks/speed/test_sampling.py -s                            # the micro model, seconds
    uv run pytest benchmarks/speed/test_sampling.py -s -m "large or not large"    # small and base: minutes on a CPU

On a CPU the larger models take two sampler steps, and the time of twenty is by the step. The GPU part says so where
there is none; it reports bfloat16 with torch.compile against float32 as PyTorch comes, and seconds a clip.
"""

from __future__ import annotations

import contextlib
import io
import math
import shutil
import time
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from clipsonic import CLIPSonicPipeline, load_model
from clipsonic.diffusion import make_sampler, set_steps
from clipsonic.network import build_network, measure_network, predict
from clipsonic.noise import addressed_generators, addressed_noise
from clipsonic.preset import condition_dim, load_preset
from clipsonic.sampling import guided, sample_patches
from clipsonic.settings import Conditioning, Settings
from clipsonic.weights import model_folder
from clipsonic_benchmarks.microworld.corpus import world_item
from clipsonic_metrics import EmbeddingStats, frechet_distance
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.sound import Sound

ITEMS = 128
SEED = 1
STEPS = 20
SIZES = ["micro", *(pytest.param(name, marks=pytest.mark.large) for name in ("small", "base"))]
Fastest = Callable[..., tuple[float, Any]]

BIGVGAN_24KHZ: dict[str, Any] = {  # the shape of the public checkpoint, 112 M parameters
    "num_mels": 100, "upsample_initial_channel": 1536, "upsample_rates": [4, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4], "resblock": "1", "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3, "activation": "snakebeta", "snake_logscale": True,
    "use_tanh_at_final": False, "use_bias_at_final": False,
}  # fmt: skip


@cache
def _model(name: str, device: str = "cpu") -> CLIPSonicPipeline:
    """A preset's model with random weights, asked by vectors, heard through Griffin-Lim."""
    preset, dim = load_preset(name), condition_dim(load_preset(name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(preset.mel, dim, preset.network).eval().requires_grad_(False)
    settings = Settings(preset.mel, Conditioning(dim, math.sqrt(dim)), None, diffusion=preset.diffusion)
    return CLIPSonicPipeline(network, make_sampler("dpm-solver++", preset.diffusion), settings=settings.as_dict()).to(
        device
    )


def _asked(model: CLIPSonicPipeline, items: int) -> tuple[np.ndarray, list[str]]:
    vectors = np.random.default_rng(0).normal(size=(items, model.what.conditioning.dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), [str(k) for k in range(items)]


def _inputs(model: CLIPSonicPipeline, items: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    mel, (vectors, ids) = model.what.mel, _asked(model, items)
    noise = addressed_noise(0, ids, "mel", (mel.channels, *mel.grid)).to(model.device)
    return noise, torch.tensor(500), model.standardise(vectors, items).to(model.device)


def _flops(name: str) -> int:
    preset = load_preset(name)
    return measure_network(preset.mel, condition_dim(preset), preset.network).flops


def _ceiling(fastest: Fastest, device: str, dtype: torch.dtype) -> float:
    """Operations a second of one large matrix product."""
    size = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()

    return 2 * size**3 / float(fastest(product, rounds=10)[0])


def _two_passes(network: torch.nn.Module, noisy: torch.Tensor, t: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    free = predict(network, noisy, t, torch.zeros_like(asked))
    return free + 2.0 * (predict(network, noisy, t, asked) - free)


# The network alone


@pytest.mark.filterwarnings("ignore")  # of torch.compile's own parts
@pytest.mark.parametrize("name", SIZES)
@torch.no_grad()
def test_network(benchmark: BenchmarkFixture, fastest: Fastest, name: str) -> None:
    """One guided evaluation on the CPU: layout, compilation, and guidance in one pass against two."""
    torch.set_num_threads(1)
    model, rounds = _model(name), 7 if name == "micro" else 2
    inputs, network = _inputs(model, 1), model.unet
    network.to(memory_format=torch.contiguous_format)
    two_passes, expected = fastest(_two_passes, network, *inputs, rounds=rounds)
    plain, _ = fastest(guided, network, *inputs, 2.0, rounds=rounds)
    network.to(memory_format=torch.channels_last)
    value = benchmark.pedantic(guided, (network, *inputs, 2.0), rounds=rounds, warmup_rounds=1)
    seconds = benchmark.stats.stats.min
    torch.testing.assert_close(value, expected, atol=1e-3, rtol=1e-3)
    used = 2 * _flops(name) / seconds / _ceiling(fastest, "cpu", torch.float32)
    told = {"channels_last": plain / seconds, "one_pass": two_passes / plain, "utilisation": used}
    if shutil.which("g++"):
        torch.compiler.reset()  # torch compiles eight graphs of diffusers' networks in a process, and then none
        compiled = torch.compile(network, dynamic=False)
        guided(compiled, *inputs, 2.0)
        told["compiled"] = seconds / fastest(guided, compiled, *inputs, 2.0, rounds=rounds)[0]
    else:
        print("\nno g++ here: torch.compile was not measured")
    benchmark.extra_info.update(told)
    ratios = ", ".join(f"{key} {value:.2f}" for key, value in told.items() if key != "utilisation")
    print(f"\n{name}: a guided evaluation {seconds * 1e3:.1f} ms, utilisation {used:.0%}; times faster: {ratios}")


@pytest.mark.parametrize("name", SIZES)
def test_sounds_a_second(benchmark: BenchmarkFixture, fastest: Fastest, name: str) -> None:
    torch.set_num_threads(1)
    model = _model(name)
    model.unet.to(memory_format=torch.channels_last)
    steps = STEPS if name == "micro" else 2
    asked = _asked(model, 1)
    made = benchmark.pedantic(
        model.generate, asked, {"steps": steps, "guidance_scale": 2.0, "batch_size": 1}, rounds=1, warmup_rounds=0
    )
    taken = benchmark.stats.stats.min
    vocoder, _ = fastest(model.vocode, made.log_mel, rounds=2)
    clip = (taken - vocoder) / steps * STEPS + vocoder
    used = 2 * STEPS * _flops(name) / (clip - vocoder) / _ceiling(fastest, "cpu", torch.float32)
    long = made.samples.shape[1] / made.rate_hz
    benchmark.extra_info.update(clips_per_second=1 / clip, utilisation=used, audio_seconds=long)
    print(
        f"\n{name}: {1 / clip:.3g} clips of {long:.2f} s a second on one core at {STEPS} steps with guidance"
        f"{'' if steps == STEPS else f' (by the step, from {steps})'}; utilisation {used:.0%};"
        f" of {clip:.2f} s a clip the vocoder takes {vocoder:.2f} s"
    )


# A GPU


def _random_bigvgan() -> torch.nn.Module | None:
    """BigVGAN v2 in its public shape with random weights; None without the extra `vocoder`."""
    try:
        from bigvgan.bigvgan import AttrDict, BigVGAN
    except ImportError:
        return None
    from clipsonic.vocoders.bigvgan import BigVGANVocoder

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", FutureWarning)
        network = BigVGAN(AttrDict(BIGVGAN_24KHZ))
        network.remove_weight_norm()
    return BigVGANVocoder(network).eval().requires_grad_(False)


@pytest.mark.filterwarnings("ignore")  # of torch.compile's own parts
@pytest.mark.large
@pytest.mark.parametrize("name", ["small", "base"])
def test_on_a_gpu(fastest: Fastest, name: str) -> None:
    """bfloat16 and torch.compile against float32 as PyTorch comes (its convolutions in TF32), at batches 1 and 16."""
    if not torch.cuda.is_available():
        print(f"\n{name}: no GPU here, nothing measured")
        pytest.skip("no CUDA device")
    model = _model(name, "cuda")
    if name == "base" and (vocoder := _random_bigvgan()) is not None:
        model.vocoder = vocoder
    print(f"\n{torch.cuda.get_device_name()}, vocoder {type(model.vocoder).__name__}")
    flops, ceiling = _flops(name), _ceiling(fastest, "cuda", torch.bfloat16)
    print(f"matrix ceiling: bfloat16 {ceiling / 1e12:.0f} TFLOP/s")
    taken: dict[tuple[str, int], float] = {}
    for how in ("float32 eager", "bfloat16 compiled"):
        if how == "bfloat16 compiled":
            torch.compiler.reset()
            model.unet.compile(dynamic=False)
        for batch in (1, 16):
            vectors, ids = _asked(model, batch)
            given = {
                "steps": STEPS, "guidance_scale": 2.0, "batch_size": batch,
                "precision": "float32" if how == "float32 eager" else "bfloat16",
            }  # fmt: skip

            def generate(vectors: Any = vectors, ids: Any = ids, given: Any = given) -> Any:
                return model.generate(vectors, ids, **given)

            torch.cuda.reset_peak_memory_stats()
            made = generate()
            seconds, _ = fastest(generate, rounds=3)
            vocoded, _ = fastest(model.vocode, made.log_mel, rounds=3)
            taken[how, batch] = seconds - vocoded
            used = 2 * STEPS * batch * flops / (seconds - vocoded) / ceiling
            long = made.samples.shape[1] / made.rate_hz
            print(
                f"{name}, {how}, batch {batch}: {seconds / batch:.3f} s a clip of {long:.2f} s"
                f" ({batch / seconds:.1f} clips/s), the vocoder {vocoded / batch:.3f} s of it; utilisation {used:.0%};"
                f" peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
            )
    for batch in (1, 16):
        ratio = taken["float32 eager", batch] / taken["bfloat16 compiled", batch]
        print(f"{name}, batch {batch}: bfloat16 compiled is {ratio:.2f} times as fast as float32 eager (asked: 2)")


# What sampler steps buy


@cache
def _queries() -> tuple[CLIPSonicPipeline, np.ndarray, list[str], EmbeddingStats]:
    torch.set_num_threads(1)
    model = load_model(model_folder("micro"))
    items = [world_item(SEED, "validation", k) for k in range(ITEMS)]
    real = [world_item(SEED, "validation", k) for k in range(ITEMS, 4 * ITEMS)]
    images = model.encode_image(np.stack([item.frames()[4] for item in items]))
    heard = load_embedder("microworld-clap").embed_sounds([Sound.of(i.id, i.sound(), 16_000) for i in real])
    return model, images, [item.id for item in items], EmbeddingStats.of(np.concatenate(heard))


@cache
def _sampled(sampler: str, steps: int) -> tuple[float, float, list[np.ndarray]]:
    """Seconds a sound without and with the vocoder, and the embeddings of each sound."""
    model, images, ids, _ = _queries()
    mel, scheduler, asked = (
        model.what.mel,
        make_sampler(sampler, model.what.diffusion),
        model.standardise(images, ITEMS),
    )
    noise = addressed_noise(0, ids, "mel", (mel.channels, *mel.grid))
    started = time.perf_counter()
    with torch.no_grad():
        for start in range(0, ITEMS, 32):
            part = slice(start, start + 32)
            set_steps(scheduler, steps)
            generators = addressed_generators(0, ids[part], "sampler")
            sample_patches(
                model.unet, scheduler, noise[part], asked[part], guidance_scale=model.what.guidance_scale,
                generators=generators,
            )  # fmt: skip
    seconds = (time.perf_counter() - started) / ITEMS
    started = time.perf_counter()
    made = model.generate(images, ids, sampler=sampler, steps=steps, batch_size=32)
    whole = (time.perf_counter() - started) / ITEMS
    sounds = [Sound.of(name, each, made.rate_hz) for name, each in zip(ids, made.samples, strict=True)]
    return seconds, whole, list(load_embedder("microworld-clap").embed_sounds(sounds))


def _fad(heard: list[np.ndarray], rows: np.ndarray) -> float:
    return float(frechet_distance(_queries()[3], EmbeddingStats.of(np.concatenate([heard[row] for row in rows]))))


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        ("dpm-solver++", 10),
        ("dpm-solver++", 20),
        ("dpm-solver++", 50),
        ("unipc", 20),
        ("edm", 20),
        pytest.param("ddim", 250, marks=pytest.mark.large),
        pytest.param("ddpm", 250, marks=pytest.mark.large),
    ],
)
def test_sampler(sampler: str, steps: int) -> None:
    seconds, whole, heard = _sampled(sampler, steps)
    fad = _fad(heard, np.arange(ITEMS))
    print(
        f"\n{sampler:>13} {steps:>3} steps: {whole * 1e3:7.1f} ms a sound, {seconds * 1e3:.1f} sampling; FAD {fad:.4f}"
    )
    assert fad < 0.2  # real sounds have 0.02; DDIM clipping its predictions, as it does by default, had 0.95


@pytest.mark.large
@pytest.mark.parametrize(
    ("sampler", "steps", "worse"), [("dpm-solver++", STEPS, 0.03), ("dpm-solver++", 50, 0.01), ("unipc", STEPS, 0.01)]
)
def test_few_steps_for_two_hundred_and_fifty(sampler: str, steps: int, worse: float) -> None:
    """Few steps of a second-order sampler against DDIM at 250, as models of 2023 were sampled: same queries and noise.

    Their Fréchet distances to real sounds are compared by a bootstrap over the same items for both.
    """
    few, many = _sampled(sampler, steps), _sampled("ddim", 250)
    draws = np.random.default_rng(0).integers(ITEMS, size=(300, ITEMS))
    gaps = [_fad(few[2], rows) - _fad(many[2], rows) for rows in draws]
    gap = _fad(few[2], np.arange(ITEMS)) - _fad(many[2], np.arange(ITEMS))
    low, high = np.quantile(gaps, [0.025, 0.975])
    print(
        f"\n{sampler} at {steps} steps: {many[0] / few[0]:.1f} times as fast as DDIM at 250 ({many[1] / few[1]:.1f}"
        f" with the vocoder); FAD {gap:+.4f} (95 % interval {low:+.4f} to {high:+.4f})"
    )
    assert high < worse
