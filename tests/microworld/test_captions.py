"""Captions always name the kind, name other factors as often as stated, and never say what is not so."""

from __future__ import annotations

import re

import numpy as np
import pytest

from clipsonic_benchmarks.microworld import captions
from clipsonic_benchmarks.microworld.corpus import WorldItem, world_item

PHRASES: dict[str, dict[str | int, tuple[str, ...]]] = {
    "kind": {kind: tuple(w for pair in forms for w in pair) for kind, forms in captions._KIND_WORDS.items()},
    "size": dict(captions._SIZE_WORDS),
    "count": dict(captions._COUNT_WORDS),
    "material": dict(captions._MATERIAL_WORDS),
    "background": dict(captions._BACKGROUND_WORDS),
}


def named(text: str, factor: str) -> set[str | int]:
    """Levels of a factor whose words stand in a caption."""
    return {
        level
        for level, phrases in PHRASES[factor].items()
        if any(re.search(rf"\b{re.escape(phrase)}\b", text) for phrase in phrases)
    }


@pytest.fixture(scope="module")
def items() -> list[WorldItem]:
    return [world_item(0, "captioned", index) for index in range(600)]


def test_no_phrase_names_two_levels() -> None:
    for factor, levels in PHRASES.items():
        for level, phrases in levels.items():
            assert all(named(phrase, factor) == {level} for phrase in phrases)


def test_captions_name_the_kind_and_only_true_levels(items: list[WorldItem]) -> None:
    for item in items:
        assert named(item.caption, "kind") == {item.factors.kind}, item.caption
        for factor in ("size", "count", "material", "background"):
            assert named(item.caption, factor) <= {getattr(item.factors, factor)}, item.caption


def test_factors_are_named_as_often_as_stated(items: list[WorldItem]) -> None:
    told = np.array([[bool(named(item.caption, factor)) for factor in captions.MENTIONED] for item in items])
    for column, chance in enumerate(captions.MENTIONED.values()):
        assert abs(told[:, column].mean() - chance) < 5 * np.sqrt(chance * (1 - chance) / len(items))
    assert 0 < told.all(1).mean() < 0.3  # few captions say all: the rest must be guessed
    assert np.abs(np.corrcoef(told.T)[np.triu_indices(4, 1)]).max() < 5 / np.sqrt(len(items))


def test_number_and_noun_agree(items: list[WorldItem]) -> None:
    for item in items:
        singular, plural = zip(*captions._KIND_WORDS[item.factors.kind], strict=True)
        one = named(item.caption, "count") == {1}
        expected = singular if one else plural
        assert any(re.search(rf"\b{noun}\b", item.caption) for noun in expected), item.caption
        assert ("some " in item.caption) == (not named(item.caption, "count"))


def test_every_word_is_in_the_vocabulary_and_used(items: list[WorldItem]) -> None:
    told = [item.caption for item in items]
    told += [captions.caption(item.factors, np.random.default_rng(k)) for item in items[:100] for k in range(20)]
    assert {word for text in told for word in text.split()} == set(captions.vocabulary())


def test_one_item_can_be_told_in_many_ways(items: list[WorldItem]) -> None:
    factors = items[0].factors
    told = {captions.caption(factors, np.random.default_rng(k)) for k in range(50)}
    assert len(told) > 30
