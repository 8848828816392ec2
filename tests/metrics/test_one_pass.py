"""Metrics of embeddings and metrics of logits by one network: one pass over it, and the same numbers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from clipsonic_metrics.embedder import WindowedClassifier
from clipsonic_metrics.embedders import EMBEDDERS
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.scoring import score_folder
from clipsonic_metrics.ways import Inputs
from clipsonic_metrics.workspace import Options, Workspace

HALF_SECOND = Listening(rate_hz=8000, window=4000)
METRICS = ("fad", "kl-reference-generated")


class Network:
    """Counts its passes."""

    def __init__(self) -> None:
        self.rows = 0
        self._lock = threading.Lock()

    def both(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        with self._lock:  # passes run side by side
            self.rows += len(samples)
        bands = torch.fft.rfft(samples).abs()[:, :2000].reshape(len(samples), 4, -1).mean(dim=2)
        return bands, torch.log(bands + 1e-3)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    net = Network()
    embedder = WindowedClassifier(
        name="net", version=1, listening=HALF_SECOND, sha256="00" * 32, dim=4, rows=4, labels=tuple("abcd"),
        encode=lambda rows: net.both(rows)[0], classify=lambda rows: net.both(rows)[1], both=net.both,
    )  # fmt: skip
    module = ModuleType("networks_of_the_tests")
    module.load = lambda weights, listening: replace(embedder)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(EMBEDDERS, "net", f"{module.__name__}:load")
    return net


def scores(metrics: tuple[str, ...], reference: Path, generated: Path, cache: Path | None = None) -> dict[str, float]:
    work = Workspace(Options(cache=cache))
    report = score_folder(Inputs(generated, reference), metrics, work, embedders=["net"])
    assert report is not None
    return {each.score.metric: each.score.value for each in report.scored}


def test_fad_and_kl_take_one_pass_and_give_the_same_numbers(
    network: Network, sound_folder: Callable[..., Path], tmp_path: Path
) -> None:
    reference, generated = sound_folder("reference", pitch_hz=300), sound_folder("generated")
    alone: dict[str, float] = {}
    passes = []
    for metric in METRICS:
        network.rows = 0
        alone |= scores((metric,), reference, generated)
        passes.append(network.rows)
    network.rows = 0
    together = scores(METRICS, reference, generated)
    assert together == alone
    assert network.rows == passes[0] == passes[1] > 0  # and not both of them

    cache = tmp_path / "cache"
    scores(("fad",), reference, generated, cache)
    network.rows = 0
    assert scores(METRICS, reference, generated, cache) == alone  # embeddings are there, logits are not
    assert network.rows == passes[1]
    network.rows = 0
    assert scores(METRICS, reference, generated, cache) == alone and network.rows == 0
    assert np.isfinite(list(alone.values())).all()
