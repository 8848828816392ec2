"""Put trained weights where they ship: half precision, safetensors, digests of every file in the record."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from clipsonic import CLIPSonicPipeline

RECORD = Path(__file__).parents[1] / "record.json"


def package_folder(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    found = find_spec(package)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def weight_folders() -> dict[str, Path]:
    """The folders that hold shipped weights, by package."""
    return {
        "clipsonic": package_folder("clipsonic") / "weights",
        "clipsonic_metrics": package_folder("clipsonic_metrics") / "weights" / "microworld",
    }


def save_half(model: torch.nn.Module, path: Path, config: dict[str, Any]) -> None:
    """Weights as float16 `path`.safetensors, what builds the network as `path`.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    halved = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in model.state_dict().items()}
    save_file(halved, path.with_suffix(".safetensors"))
    path.with_suffix(".json").write_text(json.dumps({"schema": 1, **config}, indent=1) + "\n")


def save_model_folder(model: CLIPSonicPipeline, out: Path) -> None:
    """A model folder with float16 weights, replaced whole."""
    partial = out.with_name(f".{out.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    for part in (model.unet, model.prior_pd, model.prior_sd):
        if part is not None:
            part.half()
    model.save_pretrained(str(partial), safe_serialization=True)
    for part in (model.unet, model.prior_pd, model.prior_sd):
        if part is not None:
            part.float()
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)


def digests() -> dict[str, str]:
    """SHA-256 of every shipped weights file, by package and path below its weights folder."""
    found = {}
    for package, folder in weight_folders().items():
        for path in sorted(folder.rglob("*.safetensors")):
            found[f"{package}/{path.relative_to(folder).as_posix()}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def write_record(record: dict[str, Any]) -> None:
    """Write the record that ships beside the weights, digests included."""
    partial = RECORD.with_name(f".{RECORD.name}.part")
    partial.write_text(json.dumps({"schema": 1, **record, "sha256": digests()}, indent=1) + "\n")
    os.replace(partial, RECORD)
