"""Train the small CLIP: open_clip's own class, a small ResNet and a small text transformer, one fixed temperature.

The temperature is low and never learned. A low one lets contrastive training succeed while the two modalities keep most
of the distance their random initialisation gave them (Liang et al. 2022), which is how the gap of a large CLIP comes
about; nothing is added to any embedding.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from clipsonic_benchmarks.files import write_bytes, write_json
from clipsonic_benchmarks.microworld.captions import vocabulary
from clipsonic_benchmarks.microworld.recipes.loop import Schedule, fit
from clipsonic_benchmarks.microworld.recipes.material import Captioned
from clipsonic_benchmarks.microworld.recipes.recipe import Recipe
from clipsonic_benchmarks.microworld.recipes.tokenizer import learn_merges, vocabulary_size, write_merges

CONTEXT = 20
_MEAN, _DEVIATION = 0.5, 0.25


def model_config(dim: int, vocabulary: int) -> dict[str, object]:
    """The `model_cfg` of open_clip's JSON."""
    return {
        "embed_dim": dim,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 16},
        "text_cfg": {"context_length": CONTEXT, "vocab_size": vocabulary, "width": 64, "heads": 2, "layers": 2},
    }


def pixels(frames: NDArray[np.uint8]) -> Tensor:
    """uint8 (items, 64, 64, 3) to what the image tower takes."""
    values = (torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255 - _MEAN) / _DEVIATION
    return values.contiguous(memory_format=torch.channels_last)


def contrastive_loss(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """InfoNCE over matched unit vectors, both ways (Radford et al. 2021, fig. 3); `scale` = 1 / temperature."""
    logits = scale * left.float() @ right.float().T
    matched = torch.arange(len(left))
    both = torch.nn.functional.cross_entropy(logits, matched) + torch.nn.functional.cross_entropy(logits.T, matched)
    return both / 2


def train_clip(data: Captioned, recipe: Recipe, seed: int, run: Path, out: Path) -> float:
    """Train and write an open_clip folder `out`; return seconds spent."""
    merges = learn_merges(vocabulary())
    run.mkdir(parents=True, exist_ok=True)
    write_merges(run / "merges.txt.gz", merges)
    tokens = open_clip.SimpleTokenizer(str(run / "merges.txt.gz"), context_length=CONTEXT)(data.captions)
    config = model_config(recipe.dim, vocabulary_size(merges))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config)
    model.visual.to(memory_format=torch.channels_last)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(recipe.logit_scale))
    model.logit_scale.requires_grad_(False)

    def loss(rows: NDArray[np.int64], noise: torch.Generator) -> Tensor:
        rows = np.sort(rows)
        with torch.autocast("cpu", torch.bfloat16):
            image, text = model.encode_image(pixels(data.frames[rows])), model.encode_text(tokens[rows])
        image, text = (torch.nn.functional.normalize(part.float(), dim=-1) for part in (image, text))
        return contrastive_loss(image, text, recipe.logit_scale)

    effort = recipe.clip
    schedule = Schedule(len(data.captions), effort.steps, effort.batch, effort.learning_rate, seed, weight_decay=0.05)
    seconds = fit(model, loss, schedule, run)
    write_clip_folder(out, model, config, run / "merges.txt.gz")
    return seconds


def write_clip_folder(out: Path, model: torch.nn.Module, config: dict[str, object], merges: Path) -> None:
    """Write a model in open_clip's own layout, half precision, with its merges beside it."""
    preprocess = {
        "size": 64,
        "mean": [_MEAN] * 3,
        "std": [_DEVIATION] * 3,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    written = {"schema": 1, "model_cfg": config, "preprocess_cfg": preprocess}
    halved = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in model.state_dict().items()}
    write_json(out / "open_clip_config.json", written)
    write_bytes(out / "merges.txt.gz", merges.read_bytes())
    write_bytes(out / "open_clip_model.safetensors", save(halved, metadata={"format": "pt"}))
