"""Generators from seeds. Nothing draws from a global generator."""

from __future__ import annotations

import operator

import numpy as np

from clipsonic_metrics.errors import MetricsError


def generator(seed: int) -> np.random.Generator:
    """The generator of a seed.

    Raises:
        MetricsError: not a whole number from 0 on.
    """
    check_seed(seed)
    return np.random.default_rng(seed)


def check_seed(seed: int) -> None:
    """Raise MetricsError unless the seed is a whole number from 0 on."""
    try:
        good = operator.index(seed) >= 0
    except TypeError:
        good = False
    if not good:
        raise MetricsError(f"seed is {seed!r}; expected a whole number from 0 on")
