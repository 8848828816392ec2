"""The numbers of a training, as the `[training]` section of a preset gives them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal, get_args

Weighting = Literal["uniform", "min-snr"]
Precision = Literal["32-true", "bf16-mixed"]

_COUNTS: Final = ("steps", "batch", "warm_up", "micro_batch", "sample_every", "save_every", "report_every")
_DECIDES_NOTHING: Final = (
    "steps",
    "micro_batch",
    "activation_checkpointing",
    "sample_every",
    "save_every",
    "report_every",
)


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Attributes:
        steps: optimiser steps, of `batch` items each over all processes and micro-batches.
        learning_rate: peak; it rises linearly over `warm_up` steps and falls along a cosine to 2 % of itself.
        ema_decay: of the moving average of the weights, which is what a model folder holds.
        condition_dropout: probability that an item is shown without its condition.
        precision: `32-true`, or `bf16-mixed` (autocast; weights, gradients and optimiser in float32).
        standardise: centre condition vectors; their scale is unit mean square either way.
        micro_batch: items per process and backward pass; None is all of a process's share at once. Gradients are
            accumulated over the share, so this changes memory and speed, and the result by rounding alone.
        clip_norm: gradients are scaled down to this norm.
        weighting: of the loss over noise levels: `uniform`, or `min-snr` (Hang et al. 2023) with `min_snr_gamma`.
        activation_checkpointing: compute activations twice instead of keeping them.
        sample_every: after how many training items the fixed prompts are rendered; None is never.
        save_every, report_every: in steps.
    """

    steps: int
    batch: int
    learning_rate: float
    warm_up: int
    weight_decay: float
    ema_decay: float
    condition_dropout: float
    precision: Precision
    standardise: bool
    micro_batch: int | None = None
    clip_norm: float = 1.0
    weighting: Weighting = "uniform"
    min_snr_gamma: float = 5.0
    activation_checkpointing: bool = False
    sample_every: int | None = None
    save_every: int = 1000
    report_every: int = 100

    def __post_init__(self) -> None:
        if small := [name for name in _COUNTS if (value := getattr(self, name)) is not None and value < 1]:
            raise ValueError(f"training: {', '.join(small)} must be at least 1")
        if wrong := [name for name in ("clip_norm", "min_snr_gamma") if not getattr(self, name) > 0]:
            raise ValueError(f"training: {', '.join(wrong)} must be positive")
        for name, kind in (("weighting", Weighting), ("precision", Precision)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"training: {name} is {getattr(self, name)!r}; choose {' or '.join(get_args(kind))}")

    def decisive(self) -> dict[str, object]:
        """What decides the weights beside the number of steps; a run may be continued with the rest changed."""
        return {key: value for key, value in asdict(self).items() if key not in _DECIDES_NOTHING}
