"""Put trained weights where they ship: half precision, safetensors, digests of every file in the record."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save

from clipsonic import CLIPSonicPipeline
from clipsonic_benchmarks.files import write_bytes, write_json

_Network = TypeVar("_Network", bound=torch.nn.Module)
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
    halved = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in model.state_dict().items()}
    write_bytes(path.with_suffix(".safetensors"), save(halved))
    write_json(path.with_suffix(".json"), {"schema": 1, **config})


def load_half(model: _Network, path: Path) -> _Network:
    """Fill a network with what `save_half` wrote, in float32."""
    halved = load_file(path.with_suffix(".safetensors"))
    model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in halved.items()})
    return model.eval()


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
    for config in partial.glob("*/config.json"):
        known = json.loads(config.read_text(encoding="utf-8"))
        known.pop("_name_or_path", None)  # diffusers notes where a part was loaded from: a folder of this machine
        config.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
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
    write_json(RECORD, {"schema": 1, **record, "sha256": digests()})
