"""Train the generators: CLIPSonic on frames, CLIP-TTA and CLAP-TTA on captions, with one network and budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from diffusers import PriorTransformer
from numpy.typing import NDArray

from clipsonic import CLIPSonicPipeline
from clipsonic.preset import Preset
from clipsonic.training.clipsonic import train
from clipsonic.training.dataset import TrainingSet
from clipsonic.training.log import Listener

Vectors = NDArray[np.float32]


def train_generator(
    preset: Preset, data: TrainingSet, seed: int, run: Path, report: Listener | None = None
) -> CLIPSonicPipeline:
    """Train on the CPU, whatever is at hand, so that the record can be made again anywhere."""
    return train(preset, data, run, seed=seed, report=report, accelerator="cpu")


def with_priors(
    model: CLIPSonicPipeline, pd: PriorTransformer, sd: PriorTransformer, image: Vectors, text: Vectors
) -> CLIPSonicPipeline:
    """Put the priors and the means of the mean-shift route (of image-caption pairs) into a trained CLIPSonic."""
    image_mean, text_mean = (tuple(float(x) for x in v.astype(np.float64).mean(0)) for v in (image, text))
    known = replace(model.what.conditioning, image_mean=image_mean, text_mean=text_mean)
    settings = replace(model.what, conditioning=known)
    return CLIPSonicPipeline(model.unet, model.scheduler, pd, sd, settings.as_dict())
