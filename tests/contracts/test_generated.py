"""What `clipsonic generate` writes, the metrics and the benchmark read; what the metrics embed, `clipsonic` reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from clipsonic.cli import run as run_clipsonic
from clipsonic.generation import write_sounds
from clipsonic.pipeline import GeneratedAudio
from clipsonic.queries import Texts
from clipsonic.vectors import read_vectors
from clipsonic_benchmarks.systems.folder import sound_files
from clipsonic_metrics.cli import run as run_metrics
from clipsonic_metrics.npz import save_embeddings
from clipsonic_metrics.sets import SetOfEmbeddings
from clipsonic_metrics.sound import find_sounds

TEXTS = Texts(["one", "more/two", "dot.three"], ["the dog", 'a "bell", far', "rain"])


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    def make(rows: object) -> GeneratedAudio:
        samples = 0.1 * np.random.default_rng(0).normal(size=(3, 16_000)).astype(np.float32)
        return GeneratedAudio(samples, samples[:, None], np.array([1.0, 0.5, 0.25], np.float32), 16_000)

    write_sounds(tmp_path / "sounds", TEXTS, {"seed": 0}, make, 3)
    return tmp_path / "sounds"


def test_both_find_the_sounds_by_id(sounds: Path) -> None:
    files = {name: sounds / f"{name}.wav" for name in TEXTS.ids}
    assert dict(sound_files(sounds)) == files
    assert find_sounds(sounds / "manifest.csv") == find_sounds(sounds) == dict(sorted(files.items()))


def test_the_manifest_is_a_list_of_prompts(sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For the metrics, and for `generate` itself: the same captions once more."""
    command = ["score", str(sounds), "--prompts", str(sounds / "manifest.csv"), "--metrics", "clap-score"]
    assert run_metrics([*command, "--no-cache", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["items"] == 3
    again = ["generate", "micro", "--prompts", str(sounds / "manifest.csv"), "--route", "text", "--steps", "1"]
    assert run_clipsonic([*again, "--out", str(tmp_path / "again")]) == 0
    both = []
    for folder in (sounds, tmp_path / "again"):
        with (folder / "manifest.csv").open(newline="") as file:
            both.append([(row["id"], row["file"], row["caption"]) for row in csv.DictReader(file)])
    assert both[0] == both[1]


def test_the_manifest_is_a_list_of_items(sounds: Path) -> None:
    from clipsonic_benchmarks.prepare import read_table

    rows = read_table(sounds / "manifest.csv")
    assert [(row["id"], row["caption"]) for row in rows] == list(zip(TEXTS.ids, TEXTS.texts, strict=True))


def test_what_the_metrics_embed_is_read_as_vectors(tmp_path: Path) -> None:
    vectors = {
        name: np.random.default_rng(k).normal(size=(k + 1, 4)).astype(np.float32) for k, name in enumerate("xyz")
    }
    save_embeddings(SetOfEmbeddings(vectors, "p", "s", "d", {}), tmp_path / "e.npz")
    found = read_vectors(tmp_path / "e.npz")
    assert found.ids == ["x", "y", "z"]
    for name, row in zip(found.ids, found.vectors, strict=True):
        unit = vectors[name] / np.linalg.norm(vectors[name], axis=1, keepdims=True)
        np.testing.assert_allclose(row, unit.mean(0) / np.linalg.norm(unit.mean(0)), atol=1e-6)
