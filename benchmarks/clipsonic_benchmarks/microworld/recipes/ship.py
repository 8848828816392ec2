"""Copy what was trained into the packages, and write the record of how it was made."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from clipsonic_benchmarks.files import write_bytes
from clipsonic_benchmarks.microworld.recipes import export
from clipsonic_benchmarks.microworld.recipes.everything import Workshop, encoder_stages, generator_names
from clipsonic_benchmarks.microworld.recipes.shipped import measure_shipped
from clipsonic_metrics.embedders.microworld.files import write_digests

_SHIPPED_SEEDS = (0,)
"""Generator seeds whose weights ship: the first, named before any was trained. Other seeds of
the recipe appear in the record if they were trained in the same working folder."""


def _ships(name: str) -> bool:
    return not name.startswith("micro-") or int(name.removeprefix("micro-")) in _SHIPPED_SEEDS


def finish_models(shop: Workshop) -> dict[str, Path]:
    """Write every generator that is trained, with its priors, as a model folder below `work`/models."""
    folders = {}
    for name in generator_names(shop.recipe):
        if (shop.work / "done" / f"{name}.json").exists():
            folders[name] = shop.work / "models" / (name if name.startswith("micro-") else f"micro-{name}")
            export.save_model_folder(shop.finished_model(name), folders[name])
    return folders


def ship_everything(shop: Workshop, models: Mapping[str, Path]) -> None:
    """Replace the weights in the packages by those of `shop` and its `models`, and write `record.json`.

    Raises:
        ValueError: naming the stages that are not done.
    """
    reports = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((shop.work / "done").glob("*.json"))
    }
    ships = [name for name in generator_names(shop.recipe) if _ships(name)]
    needed = [*encoder_stages(shop), *ships, *(f"gate-{name}" for name in ships if name.startswith("micro-"))]
    if missing := [name for name in needed if name not in reports]:
        raise ValueError(f"nothing shipped: stages {', '.join(missing)} are not done in {shop.work}")
    folders = export.weight_folders()
    for target in (folders["clipsonic"] / "clip", folders["clipsonic_metrics"] / "clip"):
        for file in sorted((shop.work / "clip").iterdir()):
            write_bytes(target / file.name, file.read_bytes())
    for name in ("clap", "wav2clip", "probe"):
        for suffix in (".safetensors", ".json"):
            trained = shop.work / "evaluators" / f"{name}{suffix}"
            write_bytes(folders["clipsonic_metrics"] / trained.name, trained.read_bytes())
    write_digests(folders["clipsonic_metrics"])
    for name, model in models.items():
        if _ships(name):
            for file in sorted(path for path in model.rglob("*") if path.is_file()):
                write_bytes(folders["clipsonic"] / model.name / file.relative_to(model), file.read_bytes())
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
