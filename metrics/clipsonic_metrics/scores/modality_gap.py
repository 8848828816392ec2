"""Modality gap: how far embeddings of two modalities lie apart, measured five ways on matched pairs.

With unit vectors x_i, y_i, i = 1..n matched, and d(u, v) = (1 - u.v) / 2:

    centroid-distance  |mean x - mean y|, 0 to 2                      Liang et al. 2022, arXiv:2203.02053, section 2
    rmg                D / (D + (D_xx + D_yy) / 2), 0 to 1, with D the mean of d(x_i, y_i) and D_xx the mean of
                       d(x_i, x_j) over i != j; above 1/2, a vector is nearer to random vectors of its own modality
                       than to its partner                            Schrodi et al. 2025, arXiv:2404.07983
    separability       held-out accuracy of a logistic regression that tells x from y; 0 to 1, chance is 0.5. Half
                       of the pairs, drawn by seed, train it; both halves of a pair are on the same side
    paired-cosine      mean of x_i.y_i; the one of the five that rises as the gap closes, and the one with
                       `per_item`, so that `compare_scores` takes it
    cone-x, cone-y     mean of x_i.x_j over i != j: how narrow a modality's cone is (Liang et al. 2022)

Conventions: x and y are (items, dim), normalised here. `direction` is "lower" where less means a smaller gap. Cones
have no better side; they are marked "lower" because a wide cone leaves more room.

Intervals over pairs: delete-half jackknife for centroid distance, RMG and cones; that of a mean for the paired cosine;
Wilson for separability, with the pairs tested as items and the classifier held fixed. The seed of its split decides
its value and is in its protocol id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from clipsonic_metrics.arrays import Array, cosines_of, matrix, same_length, unit_rows
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.score import Direction, Score, protocol_id
from clipsonic_metrics.seeds import generator
from clipsonic_metrics.uncertainty import (
    FEWEST_ITEMS,
    HALF_REPLICATES,
    LEVEL,
    Interval,
    half_sample_interval,
    half_samples,
    mean_interval,
    wilson,
)

NAME = "gap"
VERSION = 1
UNIT = "one per score"
DIRECTION: Direction = "lower"
_REGULARISATION = 100.0
"""scikit-learn's C: weak, so that a gap of any size is found, and finite, so that separable sets converge."""


@dataclass(frozen=True)
class Gap:
    """The modality gap's scores; iterating gives them in this order."""

    centroid_distance: Score
    rmg: Score
    separability: Score
    paired_cosine: Score
    cone_x: Score
    cone_y: Score

    def __iter__(self) -> Iterator[Score]:
        return iter((self.centroid_distance, self.rmg, self.separability, self.paired_cosine, self.cone_x, self.cone_y))


def modality_gap(
    x: ArrayLike,
    y: ArrayLike,
    *,
    seed: int = 0,
    replicates: int = HALF_REPLICATES,
    level: float = LEVEL,
    protocol: str = "arrays",
    ids: Sequence[str] | None = None,
) -> Gap:
    """The gap between matched embeddings x and y, both (items, dim); `ids` of the pairs, where they are known.

    Raises:
        MetricsError: unequal shapes, fewer than four pairs, rows that are zero or not finite, or a seed below zero.
    """
    left, right = unit_rows(matrix(x, "x"), "x"), unit_rows(matrix(y, "y"), "y")
    same_length(left, right, ("x", "y"))
    items = len(left)
    if items < FEWEST_ITEMS:
        raise MetricsError(f"{items} pairs are too few for a modality gap; at least {FEWEST_ITEMS} are needed")
    everything = _moments(left, right, np.ones((1, items)))
    halves = _moments(left, right, half_samples(items, seed=seed, replicates=replicates).astype(np.float64))

    def score(
        name: str, value: float, interval: Interval, unit: str, direction: Direction, decided_by: str = ""
    ) -> Score:
        return Score(
            f"{NAME}/{name}",
            VERSION,
            value,
            interval.low,
            interval.high,
            level,
            items,
            unit,
            direction,
            protocol_id(f"{NAME}/{name}", VERSION, decided_by + protocol),
            interval.method,
        )

    def from_halves(name: str, unit: str, within: tuple[float, float]) -> Score:
        value = float(np.clip(everything[name][0], *within))  # beyond them by rounding alone
        found = half_sample_interval(value, halves[name], items, level=level, within=within)
        return score(name, value, found, unit, "lower")

    cosines = cosines_of(left, right)
    accuracy, tested = separability(left, right, seed=seed)
    return Gap(
        centroid_distance=from_halves("centroid-distance", "distance", (0, 2)),
        rmg=from_halves("rmg", "ratio", (0, 1)),
        separability=score(
            "separability",
            accuracy,
            wilson(accuracy * tested, tested, level=level),
            "share",
            "lower",
            f"split-seed{seed}/",
        ),
        paired_cosine=replace(
            score(
                "paired-cosine",
                float(cosines.mean()),
                mean_interval(cosines, seed=seed, level=level, within=(-1, 1)),
                "cosine",
                "higher",
            ),
            per_item=cosines,
            ids=None if ids is None else tuple(ids),
        ),
        cone_x=from_halves("cone-x", "cosine", (-1, 1)),
        cone_y=from_halves("cone-y", "cosine", (-1, 1)),
    )


def separability(x: Array, y: Array, *, seed: int) -> tuple[float, int]:
    """Held-out accuracy of a linear classifier of x against y, and the number of pairs it was tested on."""
    from sklearn.linear_model import LogisticRegression

    order = generator(seed).permutation(len(x))
    train, test = order[: len(x) // 2], order[len(x) // 2 :]
    rows = np.concatenate([x[train], y[train]])
    labels = np.repeat([0, 1], len(train))
    centre, scale = rows.mean(axis=0), rows.std() or 1.0  # one scale for all dims: the classifier stays linear in x
    model = LogisticRegression(C=_REGULARISATION, max_iter=2000).fit((rows - centre) / scale, labels)
    held_out = np.concatenate([x[test], y[test]])
    accuracy = float(np.mean(model.predict((held_out - centre) / scale) == np.repeat([0, 1], len(test))))
    return accuracy, len(test)


def _moments(x: Array, y: Array, chosen: Array) -> dict[str, Array]:
    """Every score that follows from sums, for subsets of pairs, `chosen` (subsets, items) of 0 and 1."""
    n = chosen.sum(axis=1)
    sum_x, sum_y = chosen @ x, chosen @ y
    # For unit vectors, the sum of all x_i.x_j is |sum x|^2, and n of them are 1.
    cone_x = (np.sum(sum_x**2, axis=1) - n) / (n * (n - 1))
    cone_y = (np.sum(sum_y**2, axis=1) - n) / (n * (n - 1))
    matched = (1 - chosen @ (x * y).sum(axis=1) / n) / 2
    spread = ((1 - cone_x) / 2 + (1 - cone_y) / 2) / 2
    if np.min(matched + spread) < 1e-12:  # 0 / 0 but for rounding
        raise MetricsError("all embeddings are the same vector; a relative modality gap is not defined")
    rmg = matched / (matched + spread)
    centroid = np.linalg.norm((sum_x - sum_y) / n[:, None], axis=1)
    return {"centroid-distance": centroid, "rmg": rmg, "cone-x": cone_x, "cone-y": cone_y}
