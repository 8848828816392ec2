"""What the speed benchmarks measure against, and with."""

from __future__ import annotations

import contextlib
import io
import sys
import time
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.linalg


@pytest.fixture(scope="session")
def fastest() -> Callable[..., tuple[float, Any]]:
    """`fastest(function, *given, rounds)`: least time of so many calls in seconds, and what the last returned."""

    def measure(function: Callable[..., Any], *given: Any, rounds: int) -> tuple[float, Any]:
        times, value = [], None
        for _ in range(rounds):
            start = time.perf_counter()
            value = function(*given)
            times.append(time.perf_counter() - start)
        return min(times), value

    return measure


@pytest.fixture(scope="session")
def by_square_root() -> Callable[..., float]:
    """The path of the usual tools, from two means and covariances to the distance."""

    def distance(m1: np.ndarray, s1: np.ndarray, m2: np.ndarray, s2: np.ndarray) -> float:
        root = scipy.linalg.sqrtm(s1 @ s2)
        return float(np.sum((m1 - m2) ** 2) + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real)

    return distance


@pytest.fixture(scope="session")
def peer() -> Callable[..., float]:
    """frechet-audio-distance's `calculate_frechet_distance`, as it is; a method that uses nothing of its object."""
    given = sys.modules.get("laion_clap")
    sys.modules.setdefault("laion_clap", ModuleType("laion_clap"))  # which would fetch tokenizers, and is not needed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from frechet_audio_distance.fad import FrechetAudioDistance
    finally:
        if given is None:
            del sys.modules["laion_clap"]

    def distance(*moments: np.ndarray) -> float:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return float(FrechetAudioDistance.calculate_frechet_distance(None, *moments))

    return distance
