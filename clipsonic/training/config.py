"""The numbers of a training, as the `[training]` section of a preset gives them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal, get_args, get_origin, get_type_hints

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
_RANGES: Final[tuple[tuple[str, str, Callable[[float], bool]], ...]] = (
    ("learning_rate", "a number above 0", lambda value: value > 0),
    ("weight_decay", "0 or more", lambda value: value >= 0),
    ("ema_decay", "0 or more and below 1", lambda value: 0 <= value < 1),
    ("condition_dropout", "0 to 1", lambda value: 0 <= value <= 1),
    ("clip_norm", "a number above 0", lambda value: value > 0),
    ("min_snr_gamma", "a number above 0", lambda value: value > 0),
)
_KINDS: Final[tuple[tuple[type, type | tuple[type, ...], str], ...]] = (
    (bool, bool, "true or false"),
    (int, int, "a whole number"),
    (float, (int, float), "a number"),
    (str, str, "a text in quotes"),
    (tuple, tuple, "a list of whole numbers in brackets"),
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
        for name, told, fits in _RANGES:
            if not (math.isfinite(value := getattr(self, name)) and fits(value)):
                raise ValueError(f"training: {name} is {value}; expected {told}")
        for name, kind in (("weighting", Weighting), ("precision", Precision)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"training: {name} is {getattr(self, name)!r}; choose {' or '.join(get_args(kind))}")

    def decisive(self) -> dict[str, object]:
        """What decides the weights beside the number of steps; a run may be continued with the rest changed."""
        return {key: value for key, value in asdict(self).items() if key not in _DECIDES_NOTHING}


def check_types(section: type, values: Mapping[str, object]) -> None:
    """Make sure that the values of a preset's section are of the types that its dataclass has.

    Raises:
        ValueError: naming the first key whose value is of another type.
    """
    hints = get_type_hints(section)
    for key, value in values.items():
        if key not in hints:
            continue  # which the dataclass names itself
        kinds = [kind for kind in (get_args(hints[key]) or (hints[key],)) if kind is not type(None)]
        wanted = tuple if get_origin(hints[key]) is tuple else type(kinds[0]) if isinstance(kinds[0], str) else kinds[0]
        accepted, told = next((types, told) for kind, types, told in _KINDS if kind is wanted)
        is_number_for_bool = isinstance(value, bool) and wanted is not bool
        inside = isinstance(value, tuple) and not all(type(each) is int for each in value)
        if not isinstance(value, accepted) or is_number_for_bool or inside:
            shown = list(value) if isinstance(value, tuple) else value
            raise ValueError(f"{key} is {shown!r}; expected {told}")
