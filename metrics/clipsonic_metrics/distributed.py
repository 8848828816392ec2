"""Several processes on one job, as `torchrun` starts them: who does what, and bringing the parts together.

Items are dealt by blocks of the sorted ids (embedding.py), so that which process embeds what changes nothing, and no
item is embedded twice to even out the shares. The first process gathers all parts, computes, prints and writes; the
others only embed. Processes talk by gloo, on one machine or several.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from clipsonic_metrics.errors import MetricsError, NotComparable

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process among `size`: `rank` counts from 0."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process computes, prints and writes."""
        return self.rank == 0

    def gather(self, make: Callable[[], T]) -> list[T] | None:
        """What `make` returns in every process, in the order of ranks, for the one that leads; None for the others.

        Raises:
            MetricsError: `make` raised one, in whichever process; the leading one raises it.
        """
        if self.size == 1:
            return [make()]
        import torch.distributed

        made: Any = None
        error: tuple[str, bool] | None = None
        try:
            made = make()
        except MetricsError as caught:
            error = str(caught), isinstance(caught, NotComparable)
        parts: list[Any] | None = [None] * self.size if self.leads else None
        torch.distributed.gather_object((made, error), parts)
        if parts is None:
            return None
        for _, fault in parts:
            if fault is not None:
                message, not_comparable = fault
                raise NotComparable(message) if not_comparable else MetricsError(message)
        return [part for part, _ in parts]


def join() -> World:
    """This process's place, by what torchrun put into the environment; alone without it.

    Raises:
        MetricsError: the processes cannot reach each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    import torch.distributed

    if not torch.distributed.is_initialized():
        try:
            torch.distributed.init_process_group("gloo")
        except (RuntimeError, ValueError) as error:
            raise MetricsError(f"the processes cannot reach each other ({error}); start them by torchrun") from error
    return World(torch.distributed.get_rank(), torch.distributed.get_world_size())


def leave() -> None:
    """Part from the others, if there are any."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
