"""Captions that under-specify: a caption always names the kind, and each other factor only sometimes.

The chance that a factor is named is `MENTIONED`; whatever is not named must be guessed by whoever generates sound from
text, and is visible to whoever generates sound from the frame. This is the information imbalance between image and
caption that real image-caption data have.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from clipsonic_benchmarks.microworld.factors import Factors

MENTIONED: Final = {"size": 0.5, "count": 0.6, "material": 0.4, "background": 0.45}

_KIND_WORDS: Final = {
    "bell": (("bell", "bells"), ("chime", "chimes"), ("gong", "gongs")),
    "drum": (("drum", "drums"), ("tom", "toms"), ("bongo", "bongos")),
    "siren": (("siren", "sirens"), ("alarm", "alarms"), ("warning light", "warning lights")),
    "water": (("drop of water", "drops of water"), ("water drop", "water drops"), ("raindrop", "raindrops")),
    "dog": (("dog", "dogs"), ("puppy", "puppies"), ("hound", "hounds")),
    "bird": (("bird", "birds"), ("songbird", "songbirds"), ("sparrow", "sparrows")),
    "engine": (("engine", "engines"), ("motor", "motors"), ("machine", "machines")),
    "clock": (("clock", "clocks"), ("timepiece", "timepieces"), ("watch", "watches")),
    "flute": (("flute", "flutes"), ("whistle", "whistles"), ("recorder", "recorders")),
    "fire": (("fire", "fires"), ("flame", "flames"), ("campfire", "campfires")),
}
_SIZE_WORDS: Final = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "ordinary", "average"),
    "large": ("large", "big", "huge"),
}
_COUNT_WORDS: Final = {
    1: ("one", "a single", "a lone"),
    2: ("two", "a pair of", "a couple of"),
    3: ("three", "a trio of", "several"),
}
_MATERIAL_WORDS: Final = {"metal": ("metal", "steel", "iron"), "wood": ("wooden", "oak", "timber")}
_BACKGROUND_WORDS: Final = {
    "studio": ("in a studio", "in a quiet room", "against a plain wall"),
    "hall": ("in a hall", "in a cathedral", "under a high vault"),
    "street": ("in a street", "beside a road", "in heavy traffic"),
    "wind": ("in the wind", "on a windy hill", "outside in a breeze"),
}
_OPENINGS: Final = ("", "", "a photo of ", "a picture of ")


def vocabulary() -> tuple[str, ...]:
    """Every word a caption can contain, sorted."""
    phrases: list[str] = [word for forms in _KIND_WORDS.values() for pair in forms for word in pair]
    for table in (_SIZE_WORDS, _COUNT_WORDS, _MATERIAL_WORDS, _BACKGROUND_WORDS):
        phrases += [phrase for words in table.values() for phrase in words]
    phrases += [*_OPENINGS, "a", "some"]
    return tuple(sorted({word for phrase in phrases for word in phrase.split()}))


def caption(factors: Factors, rng: np.random.Generator) -> str:
    """Write one caption of an item; `rng` chooses what is named, and among synonyms."""
    named = {name: bool(rng.random() < chance) for name, chance in MENTIONED.items()}

    def pick(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    forms = _KIND_WORDS[factors.kind][int(rng.integers(3))]
    noun = forms[0] if named["count"] and factors.count == 1 else forms[1]
    words = [pick(_COUNT_WORDS[factors.count])] if named["count"] else ["some"]
    if named["size"]:
        words.append(pick(_SIZE_WORDS[factors.size]))
    if named["material"]:
        words.append(pick(_MATERIAL_WORDS[factors.material]))
    words.append(noun)
    if named["background"]:
        words.append(pick(_BACKGROUND_WORDS[factors.background]))
    return pick(_OPENINGS) + " ".join(words)
