"""Folders that the benchmarks exported, and what else calls itself study.json."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from clipsonic_listening_test import ListeningTestError
from clipsonic_listening_test.prepare.build import Inputs, find_inputs
from clipsonic_listening_test.prepare.exported import is_exported, read_exported


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    """A folder of two systems, a reference and one prompt, as it would be exported; returns its study.json."""
    sounds = []
    for folder in ("sounds", "images"):
        (tmp_path / folder).mkdir()
    for system in ("ours", "theirs", "reference"):
        digest = hashlib.sha256(system.encode()).hexdigest()
        (tmp_path / "sounds" / f"{digest}.wav").write_bytes(system.encode())
        file = f"sounds/{digest}.wav"
        sounds.append({"system": system, "prompt": "item 1", "file": file, "sha256": digest, "origin": f"{system}/x"})
    (tmp_path / "images" / "a.png").write_bytes(b"")
    return {
        "schema": 1,
        "kind": "samples",
        "made_by": "clipsonic 0.1.0",
        "systems": [
            {"id": name, "label": f"the {name}", "role": "reference" if name == "reference" else "system"}
            for name in ("ours", "theirs", "reference")
        ],
        "prompts": {"item 1": {"text": "a bird", "lang": "en", "image": "images/a.png"}},
        "sounds": sounds,
    }


def write(folder: Path, record: Any) -> Path:
    (folder / "study.json").write_text(json.dumps(record))
    return folder


def test_it_is_read(tmp_path: Path, record: dict[str, Any]) -> None:
    assert not is_exported(tmp_path)
    samples = read_exported(write(tmp_path, record))
    assert is_exported(tmp_path)
    assert samples.systems == ("ours", "theirs") and list(samples.prompts) == ["item-1"]
    prompt = samples.prompts["item-1"]
    assert prompt.text == "a bird" and prompt.image == tmp_path / "images/a.png"
    assert samples.references["item-1"].read_bytes() == b"reference"
    assert samples.origin(samples.sounds["ours", "item-1"]) == "ours/x"
    assert "exported by clipsonic 0.1.0: ours (the ours)" in samples.notes[0]


def test_prompts_of_a_table_take_the_place_of_the_exported_ones(tmp_path: Path, record: dict[str, Any]) -> None:
    write(tmp_path, record)
    (tmp_path / "p.csv").write_text("id,caption\nitem 1,another caption\n")
    samples = find_inputs(Inputs(tmp_path, tmp_path / "p.csv"))
    assert samples.prompts["item-1"].text == "another caption"
    with pytest.raises(ListeningTestError, match="--reference goes with a plain folder"):
        find_inputs(Inputs(tmp_path, reference="ours"))


def test_other_study_json_are_refused(tmp_path: Path, record: dict[str, Any]) -> None:
    for changed, said in (
        (record | {"kind": "study"}, "has kind 'study' and schema 1; expected 'samples'"),
        (record | {"schema": 2}, "schema 2"),
        ({"kind": "samples"}, "is not what clipsonic-bench export-study writes"),
        ([], "is not what clipsonic-bench export-study writes"),
        (record | {"prompts": {"item 1": None}}, "is not what"),
    ):
        with pytest.raises(ListeningTestError, match=said):
            read_exported(write(tmp_path, changed))
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ListeningTestError, match="export it again"):
        read_exported(tmp_path)


@pytest.mark.parametrize(
    "name", ["../secret.wav", "/etc/passwd", "sounds/../../x.wav", "sounds/a/b.wav", "other/a.wav"]
)
def test_files_elsewhere_are_refused(tmp_path: Path, record: dict[str, Any], name: str) -> None:
    record["sounds"][0]["file"] = name
    with pytest.raises(ListeningTestError, match="expected a file in sounds/ or images/"):
        read_exported(write(tmp_path, record))


def test_changed_and_absent_files_are_refused(tmp_path: Path, record: dict[str, Any]) -> None:
    path = tmp_path / record["sounds"][0]["file"]
    path.write_bytes(b"another")
    with pytest.raises(ListeningTestError, match="is not the file that was exported"):
        read_exported(write(tmp_path, record))
    path.unlink()
    with pytest.raises(ListeningTestError, match="is absent; export the folder again"):
        read_exported(tmp_path)
