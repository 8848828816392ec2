"""What the training loop asks of what it trains: a network, batches by step, a loss, and what to do with the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

Batch = Mapping[str, Tensor]
"""Named CPU tensors, all with the items as first dimension: the loop cuts them into micro-batches."""


class Objective(Protocol):
    """What `fit` trains.

    Its randomness is a function of (seed, step), never of what was drawn before, so a run that was killed sees what an
    unbroken run sees. `draw` is called from several threads at once, ahead of its step, and changes nothing; everything
    else from the thread of `fit`.
    """

    def build(self) -> torch.nn.Module:
        """The network with its first weights, in training mode on the CPU; the same at every call.

        The global generators are left alone. If activation checkpointing is asked for, it must have diffusers'
        `enable_gradient_checkpointing`. Under FSDP the entries of its `ModuleList`s are gathered one at a time.
        """

    def draw(self, step: int, part: slice) -> Batch:
        """The items `part` of the batch of a step (0 is the first); parts of one step fit together."""

    def loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        """Mean loss over the items of a batch, a scalar; `module` and `batch` are on one device."""

    def items(self, step: int, part: slice) -> list[str]:
        """Ids of the items that `draw` gives for the same arguments, to name the ones whose loss is not finite."""

    def plan(self) -> dict[str, str]:
        """Everything that decides the weights, by the name a user knows it by; the seed included."""

    def render(self, module: torch.nn.Module, run: Path, seen: int) -> None:
        """Show below `run` what the averaged network makes after `seen` training items; called on one process."""

    def finish(self, module: torch.nn.Module, run: Path) -> None:
        """Write below `run` what users load; `module` has the averaged weights. Called on one process, at the end."""
