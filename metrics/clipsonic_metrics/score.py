"""What a metric returns: a number with its unit, direction, interval and protocol.

Conventions
    value       the metric on the items given.
    low, high   interval at `level` for the metric's expectation over draws of as many items; resampled over items
                (sounds), never over frames, since the frames of one sound depend on each other. None when there are
                too few items to know, or all are the same; `method` then says so. low <= value <= high, always.
    per_item    what each item contributed, shape (items,), where the metric is a mean over items; None elsewhere.
    ids         ids of those items, in their order, where they are known; None for bare arrays.
    protocol    id of everything that decides the number. Scores of different protocols are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Direction = Literal["lower", "higher"]


def protocol_id(metric: str, version: int, embeddings: str) -> str:
    """Id of a score: the metric with its version, and the protocol its embeddings were made under."""
    return f"{metric}@{version}/{embeddings}"


@dataclass(frozen=True)
class Score:
    """A metric's value and what is needed to read it. See the module docstring for the fields."""

    metric: str
    version: int
    value: float
    low: float | None
    high: float | None
    level: float
    items: int
    unit: str
    direction: Direction
    protocol: str
    method: str
    extra: Mapping[str, float | int | str] = field(default_factory=dict)
    per_item: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    ids: tuple[str, ...] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        _require_order(self.metric, self.value, self.low, self.high)

    def record(self) -> dict[str, Any]:
        """The score as JSON-ready values, without `per_item` and `ids`."""
        names = [name for name in self.__dataclass_fields__ if name not in ("per_item", "ids", "extra")]
        return {name: getattr(self, name) for name in names} | {"extra": dict(self.extra)}


@dataclass(frozen=True)
class Difference:
    """Score of system a minus score of system b on the same items, with an interval over those items; low and high are
    None where there is none, and `method` then says why. `protocol` is that of both scores, and `direction` that of the
    metric, where they are known: with "lower", a value below zero speaks for a; with "higher", one above."""

    metric: str
    value: float
    low: float | None
    high: float | None
    level: float
    items: int
    method: str
    protocol: str = ""
    direction: Direction | None = None

    def __post_init__(self) -> None:
        _require_order(self.metric, self.value, self.low, self.high)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves no room for "no difference"; False means *inconclusive*, not *equal*."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def _require_order(metric: str, value: float, low: float | None, high: float | None) -> None:
    """Raise ValueError unless there is no interval or the value is in it: such a number is nobody's to read."""
    if low is None and high is None:
        return
    if low is None or high is None or not low <= value <= high:
        raise ValueError(f"{metric} is {value}, which its interval [{low}, {high}] does not hold; please report this")
