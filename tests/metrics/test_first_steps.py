"""The README's way from two folders to scores, typed as it stands, on real sounds where they are there."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clipsonic_metrics.cli import run

from .conftest import tone

README = Path(__file__).parents[2] / "metrics" / "README.md"
MEDIA = Path(__file__).parents[2] / ".." / "shared" / "media" / "sounds"


def commands() -> list[list[str]]:
    section = README.read_text(encoding="utf-8").split("## From two folders to scores")[1]
    block = section.split("```sh\n")[1].split("```")[0].replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in block.splitlines() if line.strip()]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPSONIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPSONIC_WEIGHTS", str(tmp_path / "weights"))
    for name in ("reference", "generated"):
        (tmp_path / name).mkdir()
    real = sorted(MEDIA.glob("*.wav")) if MEDIA.is_dir() else []
    for index in range(12):
        samples, rate_hz = soundfile.read(real[index]) if real else (tone(150 * (1 + index), 3.0, index), 8000)
        soundfile.write(tmp_path / "reference" / f"{index:02d}.wav", samples, rate_hz)
        backwards = samples[::-1] + 0.01 * np.random.default_rng(index).normal(size=len(samples))
        soundfile.write(tmp_path / "generated" / f"{index:02d}.wav", backwards, rate_hz)
    return tmp_path


def test_the_readme_leads_from_two_folders_to_scores_by_three_embedders(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = commands()
    assert [words[0] for words in typed] == ["doctor", "weights", "weights", "weights", "audit", "score"]
    for words in typed:
        assert run(words) == 0, (words, capsys.readouterr())
    record = json.loads((folders / "scores.json").read_text())
    scored = {(each["metric"], each["embedder"]): each for each in record["scores"]}
    embedders = {"vggish", "panns-cnn14-16k", "wav2clip"}
    assert {embedder for _, embedder in scored} == embedders
    assert {metric for metric, _ in scored} == {"fad", "kad", "vendi", "coverage", "inception-score"}
    assert all(np.isfinite(each["value"]) and each["items"] == 12 for each in scored.values())
    assert [embedder for metric, embedder in scored if metric == "inception-score"] == ["panns-cnn14-16k"]
    assert len({each["protocol"] for each in scored.values()}) == len(scored)
    assert len((folders / "scores.md").read_text().splitlines()) == 2 + len(scored) + 1 + len(scored)
