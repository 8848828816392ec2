"""The metrics inside a training loop: `torchmetrics.Metric`s over embeddings, with the digits of the functions.

    fad = FrechetAudioDistance(EmbeddingStats.load("reference.safetensors"))
    for batch in batches:
        fad.update(embed(generate(batch)))          # (items, dim) or (items, frames, dim), any float dtype, any device
    fad.compute()                                   # under DDP: of the sounds of all processes

Conventions: embeddings in, a float64 scalar tensor out, on the metric's device; what the numbers mean is in
`clipsonic_metrics/scores/`. The reference is given once, at construction, and is no state: every process has it.
Values only, for speed and for loggers; an interval comes from the functions (`fad`, `kad`, ...), over items. Nothing is
differentiable: `update` detaches. Needs torchmetrics, of the extra `peers`.

State: FrechetAudioDistance keeps count, mean and factor or scatter in one float64 tensor, which its `dist_reduce_fx`
merges as `EmbeddingStats.merge` does (Chan et al.): sums of raw squares, let alone in float32, lose the digits that a
distance is made of. KernelAudioDistance keeps the frames themselves, since every pair counts. The two scores keep a sum
of cosines and a count. `forward` returns the value of its batch, which so needs two frames (items, for KAD).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from clipsonic_metrics.arrays import Array, frames_of_items
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.frechet import frechet_distance
from clipsonic_metrics.mmd import squared_mmd
from clipsonic_metrics.scores.clap_score import clap_cosines
from clipsonic_metrics.scores.clip_score import clip_cosines
from clipsonic_metrics.scores.kad import gaussian, median_distance
from clipsonic_metrics.stats import EmbeddingStats

try:
    from torchmetrics import Metric
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "clipsonic_metrics.training needs torchmetrics, which is absent; type: pip install 'clipsonic[training]'",
        name=error.name,
    ) from error


class FrechetAudioDistance(Metric):
    """`fad` of the embeddings seen so far from a reference: statistics, or frames of (frames, dim)."""

    higher_is_better = False
    is_differentiable = False
    full_state_update = False
    plot_lower_bound = 0.0
    moments: Tensor

    def __init__(self, reference: EmbeddingStats | ArrayLike, **options: Any) -> None:
        super().__init__(**options)
        self.reference = reference if isinstance(reference, EmbeddingStats) else EmbeddingStats.of(_array(reference))
        self.add_state("moments", _pack(None, self.reference.dim), dist_reduce_fx=_merged)

    def update(self, embeddings: Tensor) -> None:
        """Add generated sounds: (frames, dim) or (items, frames, dim).

        Raises:
            MetricsError: wrong shape or dimension, or rows that are not finite.
        """
        rows, _ = frames_of_items(_array(embeddings), "embeddings")
        if rows.shape[1] != self.reference.dim:
            raise MetricsError(f"reference has dim {self.reference.dim}, generated {rows.shape[1]}; use one embedder")
        seen = _unpack(self.moments, self.reference.dim)
        new = EmbeddingStats.of(rows)
        merged = new if seen is None else seen.merge(new)
        self.moments = _pack(merged, self.reference.dim).to(self.moments.device)

    def compute(self) -> Tensor:
        """The distance.

        Raises:
            MetricsError: fewer than two frames were seen.
        """
        seen = _unpack(self.moments, self.reference.dim)
        if seen is None:
            raise MetricsError("no embeddings were seen; update with 2 frames or more before compute")
        stats = EmbeddingStats(seen.count, seen.mean, seen.factor, seen.scatter, self.reference.protocol)
        return torch.tensor(frechet_distance(self.reference, stats), dtype=torch.float64, device=self.device)


class KernelAudioDistance(Metric):
    """`kad` of the embeddings seen so far from a reference, (items, dim) or (items, frames, dim).

    `bandwidth` None takes the median distance of a subsample of the reference, drawn by `seed`.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False
    rows: list[Tensor]
    frames: list[Tensor]

    def __init__(self, reference: ArrayLike, *, seed: int = 0, bandwidth: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        rows, self._reference_frames = frames_of_items(_array(reference), "reference")
        self.bandwidth = median_distance(rows, seed=seed) if bandwidth is None else bandwidth
        if not self.bandwidth > 0:
            raise MetricsError(f"kernel bandwidth is {self.bandwidth}, expected above 0; are all frames the same?")
        self._centre = rows.mean(axis=0)
        self._reference = rows - self._centre
        # Flat, and of the dtype that torchmetrics stands in for a process that saw nothing: then it can be gathered.
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.add_state("frames", [], dist_reduce_fx="cat")
        self.set_dtype(torch.float64)

    def update(self, embeddings: Tensor) -> None:
        """Add generated sounds: (items, dim) or (items, frames, dim).

        Raises:
            MetricsError: wrong shape or dimension, or rows that are not finite.
        """
        rows, frames = frames_of_items(_array(embeddings), "embeddings")
        if rows.shape[1] != len(self._centre):
            raise MetricsError(f"reference has dim {len(self._centre)}, generated {rows.shape[1]}; use one embedder")
        self.rows.append(torch.from_numpy(rows.ravel()).to(self.device))
        self.frames.append(torch.from_numpy(frames.astype(np.float64)).to(self.device))

    def compute(self) -> Tensor:
        """The distance.

        Raises:
            MetricsError: fewer than two items were seen.
        """
        frames = _joined(self.frames).astype(np.int64)
        if len(frames) < 2:
            raise MetricsError(f"{len(frames)} items were seen; KAD needs 2 or more before compute")
        rows = _joined(self.rows).reshape(-1, len(self._centre)) - self._centre
        everything = np.ones((1, len(frames)))
        found = squared_mmd(self._reference, self._reference_frames, rows, frames, gaussian(self.bandwidth), everything)
        return torch.tensor(100 * float(found[0]), dtype=torch.float64, device=self.device)


class CLAPScore(Metric):
    """`clap_score` of the pairs seen so far: mean cosine of sound and caption."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    plot_lower_bound = -1.0
    plot_upper_bound = 1.0
    total: Tensor
    items: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _add_sums(self)

    def update(self, audio: Tensor, text: Tensor) -> None:
        """Add pairs: audio (items, dim) or (items, windows, dim), text (items, dim).

        Raises:
            MetricsError: unequal items or dimensions, rows that are zero or not finite.
        """
        cosines = clap_cosines(_array(audio), _array(text))
        self.total, self.items = self.total + float(cosines.sum()), self.items + len(cosines)

    def compute(self) -> Tensor:
        """The mean cosine.

        Raises:
            MetricsError: no pair was seen.
        """
        return _mean(self.total, self.items)


class CLIPScore(Metric):
    """`clip_score` of the pairs seen so far: 100 x mean cosine of sound and image, or of sound and video frames."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    plot_lower_bound = -100.0
    plot_upper_bound = 100.0
    total: Tensor
    items: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _add_sums(self)

    def update(self, audio: Tensor, image: Tensor) -> None:
        """Add pairs: audio (items, dim) or (items, windows, dim), image (items, dim) or (items, frames, dim).

        Raises:
            MetricsError: unequal items or dimensions, rows that are zero or not finite.
        """
        cosines = clip_cosines(_array(audio), _array(image))
        self.total, self.items = self.total + float(cosines.sum()), self.items + len(cosines)

    def compute(self) -> Tensor:
        """100 x the mean cosine.

        Raises:
            MetricsError: no pair was seen.
        """
        return _mean(self.total, self.items)


def _add_sums(metric: Metric) -> None:
    metric.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
    metric.add_state("items", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")


def _mean(total: Tensor, items: Tensor) -> Tensor:
    if not int(items):
        raise MetricsError("no pairs were seen; update before compute")
    return total / items


def _array(x: Tensor | ArrayLike) -> NDArray[Any]:
    if isinstance(x, Tensor):
        return np.asarray(x.detach().to("cpu", torch.float64).numpy())
    return np.asarray(x)


def _joined(state: list[Tensor] | Tensor) -> Array:
    """A `cat` state, which is a list before processes are brought together and a tensor after."""
    parts = [state] if isinstance(state, Tensor) else state
    return np.concatenate([part.cpu().numpy() for part in parts]) if parts else np.empty(0)


def _pack(stats: EmbeddingStats | None, dim: int) -> Tensor:
    """Count, whether the rows are a scatter, mean, and 2 dim rows of factor or scatter, zeros after them."""
    packed = np.zeros(2 + dim + 2 * dim * dim)
    if stats is not None:
        rows = stats.factor if stats.scatter is None else stats.scatter
        assert rows is not None
        packed[0], packed[1] = stats.count, stats.scatter is not None
        packed[2 : 2 + dim] = stats.mean
        packed[2 + dim : 2 + dim + rows.size] = rows.ravel()
    return torch.from_numpy(packed)


def _unpack(packed: Tensor, dim: int) -> EmbeddingStats | None:
    numbers = packed.cpu().numpy()
    count = int(numbers[0])
    if count == 0:
        return None
    rows = numbers[2 + dim :].reshape(2 * dim, dim)
    if numbers[1]:
        return EmbeddingStats(count, numbers[2 : 2 + dim], None, rows[:dim])
    filled = int(np.max(np.flatnonzero(rows.any(axis=1)), initial=-1)) + 1
    return EmbeddingStats(count, numbers[2 : 2 + dim], rows[:filled], None)


def _merged(packed: Tensor) -> Tensor:
    """States of several processes, (processes, numbers), as one."""
    dim = _dim_of(packed.shape[1])
    merged: EmbeddingStats | None = None
    for each in packed:
        stats = _unpack(each, dim)
        merged = stats if merged is None else merged if stats is None else merged.merge(stats)
    return _pack(merged, dim).to(packed.device)


def _dim_of(numbers: int) -> int:
    """dim from 2 + dim + 2 dim^2."""
    return round((float(np.sqrt(8 * (numbers - 2) + 1)) - 1) / 4)
