"""The controls, and the shared rules of all systems."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.split import read_item_sound
from clipsonic_benchmarks.suite import load_suite
from clipsonic_benchmarks.system import Context, item_generator
from clipsonic_benchmarks.systems.controls import Noise, Reference, deal


@given(st.integers(2, 60), st.integers(0, 1000))
def test_a_deal_gives_every_sound_once_and_nobody_their_own(count: int, seed: int) -> None:
    ids = [f"i{index}" for index in range(count)]
    dealt = deal(ids, seed)
    assert sorted(dealt.values()) == sorted(ids)
    assert all(item != other for item, other in dealt.items())


def test_a_deal_depends_on_the_seed_and_not_on_the_order() -> None:
    ids = [f"i{index}" for index in range(20)]
    assert deal(ids, 0) == deal(ids[::-1], 0) != deal(ids, 1)


def test_a_plain_shuffle_would_sometimes_keep_a_sound() -> None:
    """Why the deal is one cycle: a uniformly random permutation leaves an item with its own sound 63 % of the time."""
    kept = [np.any(np.random.default_rng(seed).permutation(20) == np.arange(20)) for seed in range(200)]
    assert 0.5 < np.mean(kept) < 0.75


def test_one_item_cannot_be_dealt() -> None:
    with pytest.raises(BenchmarkError, match="at least 2 items"):
        deal(["a"], 0)


@pytest.fixture
def context(fake: ModuleType, tmp_path: Path) -> Context:
    split = fake.write_world(tmp_path / "items", 6)
    reference = fake.write_world(tmp_path / "reference", 9, seed=4)
    return Context(split.folder, reference.folder, "micro", load_suite("quickstart").encoders)


def test_noise_has_the_level_of_the_reference_set(context: Context) -> None:
    from clipsonic_benchmarks.split import read_split

    assert context.reference is not None
    items = read_split(context.items).items
    made = Noise("noise", None, context).generate(items, 0)
    real = [read_item_sound(item).samples for item in read_split(context.reference).items]
    level = np.sqrt(np.mean([np.mean(samples.astype(float) ** 2) for samples in real]))
    for sound in made:
        assert np.sqrt(np.mean(sound.samples.astype(float) ** 2)) == pytest.approx(level, rel=0.02)
        spectrum = np.abs(np.fft.rfft(sound.samples)) ** 2
        assert spectrum[: len(spectrum) // 2].sum() / spectrum.sum() == pytest.approx(0.5, abs=0.03), "white"


def test_noise_is_addressed_by_seed_and_item(context: Context) -> None:
    from clipsonic_benchmarks.split import read_split

    items = read_split(context.items).items
    noise = Noise("noise", None, context)
    together, alone = noise.generate(items, 0), noise.generate(items[3:4], 0)
    assert np.array_equal(together[3].samples, alone[0].samples)
    assert not np.array_equal(together[3].samples, together[2].samples)
    assert not np.array_equal(alone[0].samples, noise.generate(items[3:4], 1)[0].samples)


def test_reference_plays_the_items_own_sound(context: Context) -> None:
    from clipsonic_benchmarks.split import read_split

    items = read_split(context.items).items
    for item, sound in zip(items, Reference("reference", None, context).generate(items, 0), strict=True):
        assert sound.id == item.id
        assert np.array_equal(sound.samples, read_item_sound(item).samples)


def test_item_generators_are_independent_of_each_other() -> None:
    first = item_generator(0, "a", "x").normal(size=2000)
    for other in (item_generator(1, "a", "x"), item_generator(0, "b", "x"), item_generator(0, "a", "y")):
        assert abs(np.corrcoef(first, other.normal(size=2000))[0, 1]) < 0.1
    assert np.array_equal(first, item_generator(0, "a", "x").normal(size=2000))
