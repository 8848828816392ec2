"""Measure the shipped weights on a few validation items: what the record states, a test measures again.

The items are made in memory (no codec), so the figures differ a little from the held-out scores of the stages, which
are over the whole validation split as decoded from video files.
"""

from __future__ import annotations

import numpy as np

from clipsonic.pipeline import load_model
from clipsonic.weights import model_folder, model_names
from clipsonic_benchmarks.microworld.corpus import WorldItem, world_item
from clipsonic_benchmarks.microworld.factors import KINDS
from clipsonic_benchmarks.microworld.recipes.held_out import Scores, Vectors, contrastive_scores
from clipsonic_benchmarks.microworld.sounds import RATE_HZ
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.sound import Sound

_ITEMS = 100
_GENERATED = 30
_SEED = 1


def measure_shipped() -> dict[str, Scores]:
    """Scores of every shipped encoder and generator, by name."""
    items = [world_item(_SEED, "validation", index) for index in range(_ITEMS)]
    clap, clip = load_embedder("microworld-clap"), load_embedder("microworld-clip")
    wav2clip, probe = load_embedder("microworld-wav2clip"), load_embedder("microworld-probe")
    sounds = [Sound.of(item.id, item.sound(), RATE_HZ) for item in items]
    captions = [item.caption for item in items]
    images = np.asarray(clip.embed_images([item.frames()[4] for item in items]))
    heard = np.concatenate(clap.embed_sounds(sounds))
    scores = {
        "clip": contrastive_scores(images, clip.embed_texts(captions)),
        "clap": contrastive_scores(heard, clap.embed_texts(captions)),
        "wav2clip": contrastive_scores(np.concatenate(wav2clip.embed_sounds(sounds)), images),
        "probe": {"kind": _kind_accuracy(np.concatenate(probe.embed_sounds(sounds)), items)},
    }
    for name in model_names():
        model = load_model(model_folder(name))
        asked = items[:_GENERATED]
        queries = {"micro-clip-tta": clip.embed_texts, "micro-clap-tta": clap.embed_texts}
        condition = queries[name](captions[:_GENERATED]) if name in queries else images[:_GENERATED]
        made = model.generate(condition, [item.id for item in asked], seed=0, steps=10)
        logits = probe.embed_sounds([Sound.of(i.id, s, made.rate_hz) for i, s in zip(asked, made.samples, strict=True)])
        scores[name] = {"kind": _kind_accuracy(np.concatenate(logits), asked)}
    return scores


def _kind_accuracy(logits: Vectors, items: list[WorldItem]) -> float:
    """The kind is the probe's first factor."""
    heard = logits[:, : len(KINDS)].argmax(1)
    return float(np.mean([KINDS[k] == item.factors.kind for k, item in zip(heard, items, strict=True)]))
