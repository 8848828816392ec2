"""The cheap gate before any generator: can the factors be read from a route's conditions as well as from images?

A small classifier per factor learns the factors from the image vectors of the captioned split, standardised with image
statistics as a generator's condition is; it is then given the vectors of every route on held-out items. If it reads
image queries no better than text, image queries are no upper reference and no generator should be trained on that CLIP.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from clipsonic_benchmarks.microworld.factors import LEVELS

Vectors = NDArray[np.float32]


def readable_factors(
    train: Vectors, train_factors: NDArray[np.int64], routes: dict[str, Vectors], factors: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Accuracy in [0, 1] by route and factor. train: image vectors (items, dim); routes: vectors of the same items."""
    mean, deviation = train.mean(0), float((train - train.mean(0)).std())
    scores: dict[str, dict[str, float]] = {route: {} for route in routes}
    for column, name in enumerate(LEVELS):
        reader = LogisticRegression(max_iter=500).fit((train - mean) / deviation, train_factors[:, column])
        for route, vectors in routes.items():
            scores[route][name] = float(reader.score((vectors - mean) / deviation, factors[:, column]))
    return scores


def check_gate(accuracy: dict[str, dict[str, float]], kind: float, lead: float) -> None:
    """Refuse a CLIP whose image queries are no upper reference.

    Raises:
        ValueError: the kind is read from images in fewer than `kind` of the items, or images do not lead every other
            route by `lead` in accuracy averaged over the factors.
    """
    if accuracy["image"]["kind"] < kind:
        raise ValueError(f"gate: the kind is read from {accuracy['image']['kind']:.3f} of the images, {kind} needed")
    means = {route: float(np.mean(list(of_factor.values()))) for route, of_factor in accuracy.items()}
    rival = max((route for route in means if route != "image"), key=lambda route: means[route])
    if means["image"] - means[rival] < lead:
        raise ValueError(
            f"gate: factors are read from images with accuracy {means['image']:.3f} and by route {rival} with "
            f"{means[rival]:.3f}; images must lead by {lead}"
        )
