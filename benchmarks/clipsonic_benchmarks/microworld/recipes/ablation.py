"""The ablation: one change at a time against a matched cell, all with the same data, seeds and (short) training.

`matched` is the recipe itself at `STEPS` generator steps; `temperature` trains its CLIP, and all that hangs on it, at
another fixed temperature; `unstandardised` shows the network the CLIP vectors as they are. Every cell ends as a model
folder that the runner takes (`clipsonic-bench run quickstart --model A --model B …`), so cells are compared with the
same evaluators, items and noise. They are not shipped: they answer a question, `microworld/ablation.json` keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from clipsonic_benchmarks.microworld.recipes.everything import Workshop, new_workshop, train_everything
from clipsonic_benchmarks.microworld.recipes.export import save_model_folder

STEPS: Final = 3000
_OTHER_LOGIT_SCALE: Final = 50.0
_MATERIAL: Final = ("corpora", "captioned-*", "sounds-*", "merges.txt.gz")
_OF_CLIP: Final = ("clip", "prior-pd", "prior-sd", "prepared", "done/clip.json", "done/prior-*.json", "done/gate.json")


@dataclass(frozen=True)
class Cell:
    """One cell: 1 / temperature of its CLIP (None: the recipe's), and whether conditions are standardised."""

    logit_scale: float | None = None
    standardise: bool = True


CELLS: Final = {
    "matched": Cell(),
    "temperature": Cell(logit_scale=_OTHER_LOGIT_SCALE),
    "unstandardised": Cell(standardise=False),
}


def train_cell(shop: Workshop, name: str, steps: int = STEPS) -> Path:
    """Train one cell below `shop.work`/ablation, resuming what is there; return its model folder.

    Raises:
        ValueError: no such cell, or the encoders of `shop` are not done.
    """
    if name not in CELLS:
        raise ValueError(f"no cell {name!r}; cells: {', '.join(CELLS)}")
    cell = CELLS[name]
    work = shop.work / "ablation" / name
    if not (shop.work / "done" / "gate.json").exists():
        raise ValueError(f"{shop.work}: train the encoders and the priors first")
    _share(shop.work, work, _MATERIAL if cell.logit_scale is not None else (*_MATERIAL, *_OF_CLIP))
    # The gate guards what ships. A cell may have a CLIP that it would refuse: that is what is asked here.
    recipe = replace(shop.recipe, generator_seeds=(0,), clip_replicates=(), gate_kind=0.0, gate_lead=-1.0)
    if cell.logit_scale is not None:
        recipe = replace(recipe, logit_scale=cell.logit_scale)
    training = replace(shop.preset.training, steps=steps, standardise=cell.standardise)
    preset = replace(shop.preset, training=training)
    of_cell = new_workshop(
        work, recipe, seed=shop.seed, workers=shop.workers, say=_named(shop.say, name), preset=preset
    )
    train_everything(of_cell, ("clip", "prior-pd", "prior-sd", "gate", "micro-0"))
    out = work / "model"
    if not out.exists():
        own_clip = "micro" if cell.logit_scale is None else str((work / "clip").absolute())
        save_model_folder(of_cell.finished_model("micro-0", own_clip), out)
    return out


def _share(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    """Link files of one working folder into another, so that nothing is made twice."""
    for pattern in patterns:
        for found in sorted(source.glob(pattern)):
            files = [found] if found.is_file() else [path for path in found.rglob("*") if path.is_file()]
            for path in files:
                link = target / path.relative_to(source)
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    os.link(path, link)


def _named(say: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda line: say(f"{name}: {line}")
