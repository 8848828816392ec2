"""The gate before anything ships: asked by images it was not trained on, is the generator good?

Measured on the validation split as decoded from its videos: the first items are generated from their middle frame,
and the rest are the reference. A generator passes when the probe hears the right kind often enough, and when its FAD
is no more than a few times that of the same sounds only passed through the mel spectrogram and the vocoder.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic_benchmarks.microworld.factors import LEVELS
from clipsonic_benchmarks.microworld.recipes.held_out import Scores, hear, probe_scores
from clipsonic_benchmarks.microworld.recipes.material import Heard
from clipsonic_metrics import fad
from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText, FactorProbe

ASKED: Final = 300


def generator_scores(
    model: CLIPSonicPipeline,
    frames: NDArray[np.float32],
    data: Heard,
    clap: ContrastiveSoundText,
    probe: FactorProbe,
) -> Scores:
    """Kind accuracy, FAD, and the FAD of resynthesis, by image queries. frames: (items, dim) of the items of `data`."""
    asked = min(ASKED, len(data.ids) // 2)
    real = data.part(0, asked)
    made = model.generate(frames[:asked], real.ids, seed=0)
    generated = real.with_samples(made.samples)
    again = real.with_samples(model.vocode(model.log_mel(real.samples.astype(np.float32))))
    reference = _embedded(clap, data.part(asked, len(data.ids)))
    return {
        "items": asked,
        "kind": probe_scores(probe, generated)[next(iter(LEVELS))],
        "fad": fad(reference, _embedded(clap, generated)).value,
        "fad_resynthesis": fad(reference, _embedded(clap, again)).value,
    }


def check_generator(name: str, scores: Scores, kind: float, fad_ratio: float) -> None:
    """Refuse a generator that is not good enough to ship.

    Raises:
        ValueError: its kind accuracy is below `kind`, or its FAD above `fad_ratio` times that of resynthesis.
    """
    if scores["kind"] < kind:
        raise ValueError(f"{name}: the kind is heard in {scores['kind']:.3f} of sounds, {kind} needed; train longer")
    if scores["fad"] > fad_ratio * scores["fad_resynthesis"]:
        raise ValueError(
            f"{name}: FAD {scores['fad']:.3f} is more than {fad_ratio:g} times that of resynthesis, "
            f"{scores['fad_resynthesis']:.3f}; train longer"
        )


def _embedded(clap: ContrastiveSoundText, data: Heard) -> NDArray[np.float32]:
    return np.asarray(torch.cat(hear(clap.sound, data)).numpy())
