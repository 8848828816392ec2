"""Copy what was trained into the packages, and write the record of how it was made."""

from __future__ import annotations

import platform
import shutil
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from clipsonic_benchmarks.microworld.recipes import export
from clipsonic_benchmarks.microworld.recipes.everything import Workshop, generator_names
from clipsonic_benchmarks.microworld.recipes.shipped import measure_shipped
from clipsonic_metrics.embedders.microworld.files import write_digests

_SHIPPED_SEEDS = (0,)
"""Generator seeds whose weights ship: the first, named before any was trained. The record reports all of them."""


def ship_everything(shop: Workshop, reports: dict[str, Any]) -> None:
    """Replace the weights in the packages by those of `shop`, all stages done, and write `record.json`."""
    folders = export.weight_folders()
    for target in (folders["clipsonic"] / "clip", folders["clipsonic_metrics"] / "clip"):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(shop.work / "clip", target)
    for name in ("clap", "wav2clip", "probe"):
        for suffix in (".safetensors", ".json"):
            shutil.copyfile(
                shop.work / "evaluators" / f"{name}{suffix}", folders["clipsonic_metrics"] / f"{name}{suffix}"
            )
    write_digests(folders["clipsonic_metrics"])
    for name, seed in generator_names(shop.recipe).items():
        if name.startswith("micro-") and seed not in _SHIPPED_SEEDS:
            continue
        shipped = name if name.startswith("micro-") else f"micro-{name}"
        export.save_model_folder(shop.finished_model(name), folders["clipsonic"] / shipped)
    versions = {name: version(name) for name in ("torch", "diffusers", "open_clip_torch", "av", "numpy")}
    export.write_record(
        {
            "command": "clipsonic-bench microworld train --work WORK --ship",
            "recipe": asdict(shop.recipe),
            "preset": asdict(shop.preset),
            "encoder_seed": shop.seed,
            "stages": reports,
            "shipped": measure_shipped(),
            "environment": {"python": platform.python_version(), "machine": platform.machine(), **versions},
        }
    )
