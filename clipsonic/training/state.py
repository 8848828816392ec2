"""What resumes a training, whole: gathered from the parts that processes hold, and cut into such parts again.

Everything with state is in one checkpoint: weights, their moving average, the optimiser's moments, step and seconds.
There is no generator among it, since every draw is a function of (seed, step). A checkpoint says nothing of how many
processes wrote it, so another number may go on with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def gather(value: Any, keep: bool) -> Any:
    """Nested mappings and lists with every tensor copied to the CPU, a sharded one whole; all processes must call it
    together.

    `keep`: False takes part in the exchange and returns nothing of use, which spares the memory.
    """
    if isinstance(value, Tensor):
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        # in the order in which a checkpoint is written, which would copy it once more
        return whole.detach().to("cpu", copy=True, memory_format=torch.contiguous_format) if keep else None
    if isinstance(value, Mapping):
        return {key: gather(item, keep) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [gather(item, keep) for item in value]
    return value


def placed_like(whole: Tensor, reference: Tensor) -> Tensor:
    """A whole tensor, which every process has, on the device, in the memory order and the shards of another."""
    if isinstance(reference, DTensor):
        there = whole.to(reference.device)
        return distribute_tensor(there, reference.device_mesh, reference.placements, src_data_rank=None)
    return torch.empty_like(reference).copy_(whole)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The moments and steps of an optimiser; its hyper-parameters come from the configuration."""
    return {"state": optimizer.state_dict()["state"]}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Put back what `optimizer_state` took, into an optimiser built from the same configuration."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        index: {
            name: value if name == "step" else placed_like(value, parameters[index]) for name, value in entry.items()
        }
        for index, entry in state["state"].items()
    }
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def load_average(average: EMAModel, state: Mapping[str, Any]) -> None:
    """Put back a moving average's `state_dict`."""
    shadows = [placed_like(*pair) for pair in zip(state["shadow_params"], average.shadow_params, strict=True)]
    average.load_state_dict({**state, "shadow_params": shadows})
