"""A tiny world of eight items, systems and encoders that need no weights, and a runner that spawns nothing.

The fake sound of an item is a tone whose pitch tells the item's kind, so that the fake encoders can hear it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clipsonic_benchmarks import registry
from clipsonic_benchmarks.split import RATE_HZ, Item, Material, Split, read_split, write_split
from clipsonic_metrics import Score
from clipsonic_metrics.sound import Sound

KINDS = 4
DIM = 6


def tone(kind: int, rng: np.random.Generator, blur: float) -> np.ndarray:
    time = np.arange(4000) / RATE_HZ
    wave = 0.5 * np.sin(2 * np.pi * 400 * (kind + 1) * time) + blur * rng.normal(size=len(time))
    return (wave / np.abs(wave).max() * 0.8).astype(np.float32)


def write_world(folder: Path, n: int, seed: int = 0) -> Split:
    """`n` items with frame, caption, sound and one factor."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(n) % KINDS
    materials = (
        Material(
            f"item-{index:03d}",
            f"a thing of kind {kind}",
            np.full((8, 8, 3), 40 * kind + index % 7, np.uint8),
            tone(int(kind), rng, 0.02),
            {"kind": int(kind), "size": index % 2},
        )
        for index, kind in enumerate(kinds)
    )
    write_split(folder, materials, {"world": "fake", "n": n, "seed": seed})
    return read_split(folder)


def hear(samples: np.ndarray) -> np.ndarray:
    """Share of energy at each kind's pitch: (KINDS + 2,) with noise floor and level."""
    spectrum = np.abs(np.fft.rfft(samples, 8000)) ** 2
    bins = [round(400 * (kind + 1) * 8000 / RATE_HZ) for kind in range(KINDS)]
    peaks = np.array([spectrum[b - 3 : b + 4].sum() for b in bins])
    share = peaks / spectrum.sum()
    return np.concatenate([share, [0.05 + 0.1 * (1 - share.sum()), 0.1 * float(np.abs(samples).mean())]])


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


class FakeEncoder:
    """Sound, caption and frame of one kind share a direction."""

    space = "fake"

    def __init__(self, name: str) -> None:
        self.protocol = f"{name}@1/fake"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
        return [unit(hear(sound.samples)[None]) for sound in sounds]

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return unit(np.stack([np.eye(DIM)[int(text[-1])] + 0.05 for text in texts]))

    def embed_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return unit(np.stack([np.eye(DIM)[int(image.min()) // 40] + 0.03 for image in images]))


class FakeProbe(FakeEncoder):
    """Logits of kind and size, side by side."""

    factors: Mapping[str, tuple[str, ...]] = {"kind": ("a", "b", "c", "d"), "size": ("small", "large")}

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
        heard = [hear(sound.samples).astype(np.float32) for sound in sounds]
        return [np.concatenate([one[:KINDS], one[:2]])[None] for one in heard]


class FakeSystem:
    """Makes the tone of the item's kind, the wrong one at a rate that depends on its name, blurred."""

    WRONG: Mapping[str, float] = {"clipsonic-iq": 0.0, "clipsonic-pd": 0.1, "clipsonic-sd": 0.1, "clipsonic-zs": 0.6}

    @staticmethod
    def check(name: str, argument: str | None, model: str) -> None:
        pass

    def __init__(self, name: str, argument: str | None, context: Any) -> None:
        self.name, self.argument = name, argument

    def identity(self) -> Mapping[str, str | int | float | None]:
        return {"weights_sha256": f"{self.name}-{self.argument}", "steps": 7}

    def unanswered(self, items: Sequence[Item]) -> Mapping[str, str]:
        return {}

    def generate(self, items: Sequence[Item], seed: int) -> list[Sound]:
        from clipsonic_benchmarks.system import item_generator

        sounds = []
        for item in items:
            rng = item_generator(seed, item.id, "fake")
            assert item.factors is not None
            wrong = rng.random() < self.WRONG.get(self.name, 0.3)
            sounds.append(Sound.of(item.id, tone((item.factors["kind"] + wrong) % KINDS, rng, 0.1), RATE_HZ))
        return sounds


class Inline(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def fake_gaps(task: Any) -> list[Any]:
    from clipsonic_benchmarks.gap import RouteGap

    score = Score("gap/rmg", 1, 0.4, 0.3, 0.5, 0.95, 8, "ratio", "lower", "fake", "fake")
    names = ("centroid-distance", "rmg", "separability", "paired-cosine")
    routes = ("clipsonic-iq", "clipsonic-zs")
    return [
        RouteGap(name, tuple(Score(**{**score.record(), "metric": f"gap/{one}"}) for one in names)) for name in routes
    ]


def fake_encoder(name: str) -> FakeEncoder:
    return FakeProbe(name) if "probe" in name else FakeEncoder(name)


def fake_world(cache: Path, what: Any, executor: Any, workers: int, progress: Any) -> Split:
    """Stands in for `prepare_world`."""
    folder = cache / f"{what.split}-{what.seed}-{what.n}"
    return read_split(folder) if folder.exists() else write_world(folder, min(what.n, 100), what.seed)


@contextmanager
def inline_processes(count: int) -> Iterator[Executor]:
    """Stands in for `worker_processes`."""
    yield Inline()


def install(set_attribute: Callable[[str, Any], None]) -> None:
    """Put the fakes in place of everything that needs a model, weights, videos or processes."""
    sys.modules["fake_systems"] = sys.modules[__name__]
    systems = dict(registry.SYSTEMS)
    for name, entry in systems.items():
        if entry.target.startswith("clipsonic_benchmarks.systems.clipsonic:"):
            systems[name] = replace(entry, target="fake_systems:FakeSystem")
    for module in ("registry", "cli", "run"):
        set_attribute(f"clipsonic_benchmarks.{module}.SYSTEMS", systems)
    set_attribute("clipsonic_benchmarks.run.prepare_world", fake_world)
    set_attribute("clipsonic_benchmarks.work.worker_processes", inline_processes)
    set_attribute("clipsonic_benchmarks.embed.encoder", fake_encoder)
    set_attribute("clipsonic_benchmarks.evaluate.measure", fake_gaps)
