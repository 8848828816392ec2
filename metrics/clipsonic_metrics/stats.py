"""Count, mean and covariance of embeddings, mergeable and exact where covariance alone is not.

Conventions
    x           (frames, dim), any real dtype; accumulated in float64, centred (never as raw sums, which lose digits
                when the mean is far from zero).
    covariance  divided by count - 1. Not defined for one frame, but one frame merges like any other count.
    factor      (rows, dim) with factor^T factor = scatter: count - 1 contrasts of the centred frames, or the R of their
                QR decomposition once there are more than 2 dim. Kept while count < 2 dim, and beyond that where the
                frames leave some direction (nearly) without variance, as dead units do: there the covariance is
                (nearly) singular, and its square root taken from the factor keeps all digits where one taken from the
                covariance keeps half of them.
    merge       Chan, Golub & LeVeque 1979: exact, commutative and associative to rounding, so that sets can be
                embedded in parts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open

from clipsonic_metrics.arrays import Array, matrix
from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.errors import MetricsError, NotComparable

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class EmbeddingStats:
    """Moments of a set of embeddings. Exactly one of `factor` and `scatter` is held; make it with `of` or `load`."""

    count: int
    mean: Array
    factor: Array | None = field(repr=False)
    scatter: Array | None = field(repr=False)
    protocol: str = ""

    @classmethod
    def of(cls, x: ArrayLike, protocol: str = "") -> EmbeddingStats:
        """Moments of `x`, shape (frames, dim).

        Raises:
            MetricsError: not two-dimensional, empty, or not finite (with the count of bad rows).
        """
        rows = matrix(x, "embeddings")
        mean = rows.mean(axis=0)
        return cls._from_factor(len(rows), mean, _contrasts(rows - mean, np.ones(len(rows))), protocol)

    @classmethod
    def joined(cls, parts: Sequence[EmbeddingStats]) -> EmbeddingStats:
        """Moments of all parts together, as repeated `merge` gives them to rounding, at the cost of one.

        Raises:
            MetricsError: no parts, or different dimensions.
            NotComparable: different protocols.
        """
        if not parts:
            raise MetricsError("no embeddings to join; at least one set is needed")
        first = parts[0]
        for part in parts[1:]:
            first._require_like(part)
        counts = np.array([part.count for part in parts], dtype=np.float64)
        means = np.stack([part.mean for part in parts])
        count, mean = int(counts.sum()), counts @ means / counts.sum()
        weights = np.sqrt(counts)
        between = _contrasts(weights[:, None] * (means - mean), weights)
        if all(part.factor is not None for part in parts):
            rows = np.concatenate([*(part.factor for part in parts if part.factor is not None), between])
            return cls._from_factor(count, mean, rows, first.protocol)
        scatter = np.asarray(between.T @ between)
        for part in parts:
            scatter += part._scatter()
        return cls(count, mean, None, scatter, first.protocol)

    @classmethod
    def _from_factor(cls, count: int, mean: Array, factor: Array, protocol: str) -> EmbeddingStats:
        dim = len(mean)
        if count >= 2 * dim:
            scatter = np.asarray(factor.T @ factor)
            if _is_regular(scatter):
                return cls(count, mean, None, scatter, protocol)
        if len(factor) > 2 * dim:
            factor = np.asarray(np.linalg.qr(factor, mode="r"))
        return cls(count, mean, factor, None, protocol)

    @property
    def dim(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> Array:
        """(dim, dim), divided by count - 1.

        Raises:
            MetricsError: fewer than two frames.
        """
        if self.count < 2:
            raise MetricsError(f"{self.count} frame has no covariance; at least 2 are needed")
        return self._scatter() / (self.count - 1)

    def _scatter(self) -> Array:
        if self.scatter is not None:
            return self.scatter
        assert self.factor is not None
        return np.asarray(self.factor.T @ self.factor)

    def merge(self, other: EmbeddingStats) -> EmbeddingStats:
        """Moments of both sets together.

        Raises:
            MetricsError: different dimensions.
            NotComparable: different protocols.
        """
        self._require_like(other)
        count = self.count + other.count
        shift = other.mean - self.mean
        mean = (self.count * self.mean + other.count * other.mean) / count
        between = np.sqrt(self.count * other.count / count) * shift
        if self.factor is not None and other.factor is not None:
            rows = np.concatenate([self.factor, other.factor, between[None]])
            return self._from_factor(count, mean, rows, self.protocol)
        scatter = self._scatter() + other._scatter() + np.outer(between, between)
        return EmbeddingStats(count, mean, None, scatter, self.protocol)

    def _require_like(self, other: EmbeddingStats) -> None:
        if self.dim != other.dim:
            raise MetricsError(f"cannot merge dim {self.dim} with dim {other.dim}; use one embedder")
        if self.protocol != other.protocol:
            raise NotComparable(f"cannot merge {self.protocol!r} with {other.protocol!r}; embed both with one protocol")

    def scatter_factor(self) -> Array:
        """(rows, dim) whose Gram matrix is the scatter, at most 2 dim of them, or dim where the frames are many."""
        if self.factor is not None:
            return self.factor
        return np.asarray(np.linalg.cholesky(self._scatter()).T)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, atomically; metadata: schema, count, protocol."""
        tensors = {"mean": self.mean}
        if self.factor is not None:
            tensors["factor"] = self.factor
        else:
            tensors["scatter"] = self._scatter()
        header = {"schema": SCHEMA, "kind": "embedding-stats", "count": self.count, "protocol": self.protocol}
        data = safetensors.numpy.save(
            {name: np.ascontiguousarray(array) for name, array in tensors.items()}, {"clipsonic": json.dumps(header)}
        )
        write_whole(Path(path), data)

    @classmethod
    def load(cls, path: str | Path) -> EmbeddingStats:
        """Read what `save` wrote.

        Raises:
            MetricsError: the file is not there, is no safetensors file, or holds something else.
        """
        try:
            with safe_open(str(path), framework="numpy") as file:
                header = json.loads((file.metadata() or {}).get("clipsonic", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except (OSError, SafetensorError, json.JSONDecodeError) as error:
            raise MetricsError(
                f"{path} cannot be read as embedding statistics ({error}); make it with `save`"
            ) from error
        if header.get("schema") != SCHEMA or header.get("kind") != "embedding-stats":
            raise MetricsError(
                f"{path} is not embedding statistics of schema {SCHEMA}; make it with EmbeddingStats.save"
            )
        return cls(header["count"], tensors["mean"], tensors.get("factor"), tensors.get("scatter"), header["protocol"])


def _contrasts(centred: Array, weights: Array) -> Array:
    """One row fewer with the same scatter: the reflection that turns the weighted sum of all rows, which is nothing,
    into the first row. Centred frames are one rank short; these are not, and then need no singular values.
    """
    normal = weights / np.linalg.norm(weights)
    normal[0] += 1
    normal /= np.linalg.norm(normal)
    return np.asarray(centred[1:] - 2 * np.outer(normal[1:], normal @ centred))


def _is_regular(scatter: Array) -> bool:
    """Whether the root of every eigenvalue is good to about 1e-12 of the largest: eps / (2 * 1e-4)."""
    try:
        pivots = np.diag(np.linalg.cholesky(scatter))
    except np.linalg.LinAlgError:
        return False
    return bool(pivots.min() > 1e-4 * pivots.max())
