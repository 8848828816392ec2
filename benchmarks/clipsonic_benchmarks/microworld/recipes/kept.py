"""Results that ship with the world: what runs over several trainings and over the ablation's cells have shown.

A run's record is large and names folders of its machine; what is kept of it is the suite, the identity of every system
(digests of its weights), its scores with intervals, the differences and the claims.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from clipsonic_benchmarks.files import write_json
from clipsonic_benchmarks.result import read_record

FOLDER: Final = Path(__file__).parents[1]
NAMES: Final = ("replicates", "ablation")
_SCORES: Final = ("fad", "kad", "clap-score", "clip-score", "factor-accuracy/kind")


def keep(record_file: Path, name: str) -> Path:
    """Write the compact form of a run's record as `microworld/NAME.json`; return that file.

    Raises:
        ValueError: unknown name, or a record of a run that is smaller than its suite.
    """
    if name not in NAMES:
        raise ValueError(f"no result {name!r}; results that are kept: {', '.join(NAMES)}")
    record = read_record(record_file)
    if not record["suite"]["whole"]:
        raise ValueError(f"{record_file} has {record['suite']['n']} items, fewer than its suite: run the suite whole")
    kept = {
        "schema": 1,
        "suite": record["suite"],
        "protocol": record["protocol"],
        "systems": {_label(one["label"]): _system(one) for one in record["systems"]},
        "differences": [_difference(one) for one in record["comparisons"]],
        "claims": [_relabelled(one) for one in record["claims"]],
        "checks": [_relabelled(one) for one in record["checks"]],
        "gap": {_label(one["system"]): _values(one["scores"]) for one in record["gap"]},
    }
    path = FOLDER / f"{name}.json"
    write_json(path, kept)
    return path


def _name(folder: str) -> str:
    """A model's name: its folder's, or for `…/ablation/CELL/model` the cell's."""
    path = Path(folder)
    return path.parent.name if path.name == "model" else path.name


def _label(text: str) -> str:
    """`system:folder/model` without the folder."""
    system, colon, argument = text.partition(":")
    return f"{system}:{_name(argument)}" if colon else text


def _relabelled(one: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with every folder shortened to the model's name."""
    found = json.loads(re.sub(r"[\w.-]+:/[^\s\"]+", lambda label: _label(label[0]), json.dumps(dict(one))))
    return {**found, "model": _name(found["model"])} if found.get("model") else dict(found)


def _system(one: Mapping[str, Any]) -> dict[str, Any]:
    scores = {metric: values for metric, values in _values(one["scores"]).items() if metric in _SCORES}
    identity = dict(one["system"]["identity"])
    if identity.get("clip"):  # a shipped CLIP by name, another by folder, of which the cell is kept; its digest tells
        clip = Path(identity["clip"])
        identity["clip"] = clip.parent.name if clip.is_absolute() else str(clip)
    return {"identity": identity, "seeds": one["protocol"]["seeds"], "scores": scores}


def _difference(one: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: one[key] for key in ("metric", "value", "low", "high", "verdict")}
    return {"a": _label(one["a"]), "b": _label(one["b"]), **kept}


def _values(scores: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Value, low and high by metric."""
    return {score["metric"]: [score["value"], score["low"], score["high"]] for score in scores}
