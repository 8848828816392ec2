"""The parity table: our FAD in each peer's profile, and the peer's own where it can be run, on the same sounds.

    uv run pytest benchmarks/parity -s

Weights are random and the same on both sides: the numbers mean nothing but their agreement. Sounds are the first six
and the last six of `../shared/media/sounds`, or generated ones where those are absent, each played twice: the clips of
av-benchmark last 8 s. The peer is run as it is, with our network in the place of the one it would fetch. Peers that are
not run need another Python, TensorFlow or packages that exist in git alone: their profile gives our number only.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clipsonic_metrics import MetricsError, load_embedder
from clipsonic_metrics.peers import KINDS, parity
from clipsonic_metrics.profiles import PROFILES
from clipsonic_metrics.random_weights import NETWORKS, write_random_weights
from clipsonic_metrics.scoring import score_folder
from clipsonic_metrics.ways import Inputs
from clipsonic_metrics.workspace import Options, Workspace

MEDIA = Path(__file__).parents[2] / ".." / "shared" / "media" / "sounds"
PEER = "frechet-audio-distance"
AGREES = {"vggish": 1e-4, "vggish-relu": 1e-4}
"""Relative difference to the peer where its statistic is the right one: with fewer frames than dimensions its square
root keeps half of the digits. Its PANN score is another statistic (see its notes)."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("sounds")
    sounds = sorted(MEDIA.glob("*.wav")) if MEDIA.is_dir() else generated(root / "all")
    for name, part in (("reference", sounds[:6]), ("generated", sounds[6:12])):
        (root / name).mkdir()
        for path in part:
            samples, rate_hz = soundfile.read(path)
            soundfile.write(root / name / path.name, np.concatenate([samples, samples]), rate_hz)
    return root / "reference", root / "generated"


def generated(folder: Path) -> list[Path]:
    folder.mkdir()
    for index in range(12):
        rng = np.random.default_rng(index)
        clock = np.arange(5 * 44_100) / 44_100
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(80, 4000) * clock) + 0.05 * rng.normal(size=len(clock))
        soundfile.write(folder / f"{index:02d}.wav", tone, 44_100)
    return sorted(folder.iterdir())


def test_parity(folders: tuple[Path, Path], tmp_path: Path) -> None:
    rows, faults = [], []
    for profile in PROFILES.values():
        for name in profile.listenings:
            source = "vggish" if name == "vggish-relu" else name
            if source not in NETWORKS:
                continue
            path = tmp_path / f"{source}.safetensors"
            if not path.exists():
                write_random_weights(source, path, seed=0)
            options = Options(weights={name: path}, listening=profile.listening)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                report = score_folder(Inputs(folders[1], folders[0]), ["fad"], Workspace(options), embedders=[name])
                assert report is not None
                ours, theirs, apart = report.scored[0].score.value, "not run", ""
                if profile.name == PEER and name in KINDS:
                    try:
                        found = parity(*folders, name, load_embedder(name, path, profile.listening(name)))
                    except MetricsError:  # it swallowed an error of its own
                        theirs = "-1"
                    else:
                        theirs, apart = f"{found.theirs:.9g}", f"{found.relative:.0e}"
                        if name in AGREES and found.relative > AGREES[name]:
                            faults.append(f"{name}: ours {found.ours:.12g}, theirs {found.theirs:.12g}")
            rows.append((profile.name, name, f"{ours:.9g}", theirs, apart))
    header = ("profile", "embedder", "ours", "the peer's", "apart")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    print()
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    assert not faults, "; ".join(faults)
