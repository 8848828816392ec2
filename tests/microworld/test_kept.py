"""Results that are kept with the world: compact, without a machine's paths, of whole suites only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clipsonic_benchmarks.microworld.recipes import kept
from clipsonic_benchmarks.microworld.recipes.export import RECORD
from clipsonic_benchmarks.suite import load_suite


def a_record(folder: Path, whole: bool = True) -> Path:
    def system(label: str) -> dict[str, Any]:
        clip = str(folder / "ablation/matched/clip") if "matched" in label else None if label == "noise" else "micro"
        score = {"metric": "fad", "value": 0.2, "low": 0.1, "high": 0.3}
        return {
            "label": label,
            "system": {"name": label.partition(":")[0], "identity": {"model": "ab12", "clip": clip}},
            "protocol": {"seeds": [0]},
            "scores": [score],
            "items": {"expected": 8, "evaluated": 8, "failed": []},
        }

    labels = [f"clipsonic-iq:{folder}/models/micro-0", f"clipsonic-iq:{folder}/ablation/matched/model", "noise"]
    record = {
        "schema": 1,
        "kind": "benchmark-record",
        "suite": {"name": "quickstart", "version": 2, "n": 8, "whole": whole},
        "protocol": {"n": 8},
        "systems": [system(label) for label in labels],
        "comparisons": [
            {"a": labels[0], "b": "noise", "metric": "fad", "value": -1.0, "low": -2.0, "high": -0.5, "level": 0.95}
            | {"verdict": "better"}
        ],
        "claims": [
            {"says": "IQ beats noise", "model": str(folder / "models/micro-0"), "because": f"{labels[0]} - noise = -1"}
        ],
        "checks": [],
        "gap": [],
    }
    path = folder / "record-seeds.json"
    path.write_text(json.dumps(record))
    return path


def test_paths_of_the_machine_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    found = json.loads(kept.keep(a_record(tmp_path), "replicates").read_text())
    assert list(found["systems"]) == ["clipsonic-iq:micro-0", "clipsonic-iq:matched", "noise"]
    assert [one["identity"]["clip"] for one in found["systems"].values()] == ["micro", "matched", None]
    assert found["systems"]["noise"]["scores"] == {"fad": [0.2, 0.1, 0.3]}
    assert found["claims"][0]["because"] == "clipsonic-iq:micro-0 - noise = -1"
    assert found["claims"][0]["model"] == "micro-0"
    assert str(tmp_path) not in json.dumps(found)


def test_a_part_of_a_suite_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="8 items, fewer than its suite"):
        kept.keep(a_record(tmp_path, whole=False), "replicates")
    with pytest.raises(ValueError, match="no result 'best'; results that are kept: replicates, ablation"):
        kept.keep(a_record(tmp_path), "best")


def test_several_trainings_are_reported() -> None:
    found = json.loads((kept.FOLDER / "replicates.json").read_text())
    models = {label.partition(":")[2] for label in found["systems"] if label.startswith("clipsonic-iq:")}
    assert models == {"micro-0", "micro-1", "micro-2"}
    assert {one["outcome"] for one in found["checks"]} <= {"holds", "not made"}


def test_the_cells_of_the_ablation_are_reported() -> None:
    found = json.loads((kept.FOLDER / "ablation.json").read_text())
    cells = {
        label.partition(":")[2]: one for label, one in found["systems"].items() if label.startswith("clipsonic-zs")
    }
    assert set(cells) == {"matched", "temperature", "unstandardised"}
    clips = {name: one["identity"]["clip_sha256"] for name, one in cells.items()}
    assert clips["matched"] == clips["unstandardised"] != clips["temperature"]


@pytest.mark.parametrize("name", kept.NAMES)
def test_what_is_kept_is_of_the_weights_that_ship(name: str) -> None:
    """Several trainings include the shipped one; every cell's evaluators are the shipped ones."""
    found = json.loads((kept.FOLDER / f"{name}.json").read_text())
    assert found["suite"]["whole"] and found["suite"]["sha256"] == load_suite("quickstart").digest
    shipped = json.loads(RECORD.read_text())["sha256"]
    for encoder in ("sound_text", "sound_image", "image", "probe"):
        assert found["protocol"]["encoders"][encoder]
    clap = shipped["clipsonic_metrics/clap.safetensors"]
    assert clap[:12] in found["protocol"]["encoders"]["sound_text"]
