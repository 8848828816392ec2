"""How many processes train, and how they share a network: one process, DDP, or FSDP2, under plain `torchrun`.

`torchrun --nproc-per-node N` starts the processes; without it there is one. DDP keeps the whole network in every
process, FSDP2 a part of it. Parallel processes share the batch of a step, so they end where one process does, but for
the order in which numbers are added.
"""

from __future__ import annotations

import os
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from clipsonic.training.config import TrainingConfig

StrategyName = Literal["auto", "ddp", "fsdp"]
STRATEGIES: tuple[StrategyName, ...] = ("auto", "ddp", "fsdp")


def launch(strategy: StrategyName, accelerator: str, config: TrainingConfig) -> tuple[Fabric, slice]:
    """Join the other processes, if there are any; return Fabric and this process's part of every batch.

    Args:
        strategy: `auto` is DDP under `torchrun` and a single process without it.
        accelerator: `auto`, `cpu` or `cuda`.

    Raises:
        ValueError: for an unknown strategy, an accelerator that is not to be had, or a batch that the processes cannot
            share.
    """
    if accelerator not in ("auto", "cpu", "cuda") or (accelerator == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f"device {accelerator!r} is not to be had for training here; choose auto, cpu or cuda")
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy {strategy!r} does not exist; choose one of {', '.join(STRATEGIES)}")
    processes, on_this_node = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    share, left = divmod(config.batch, processes)
    if left:
        raise ValueError(f"a batch of {config.batch} cannot be shared by {processes} processes: choose a multiple")
    fabric = Fabric(
        accelerator=accelerator,
        strategy=_strategy(strategy, processes),
        devices=on_this_node,  # not "auto", which would start processes of its own on a machine with several GPUs
        num_nodes=processes // on_this_node,
        precision=config.precision,
    )
    fabric.launch()
    return fabric, slice(fabric.global_rank * share, (fabric.global_rank + 1) * share)


def _strategy(name: StrategyName, processes: int) -> Strategy | str:
    if name == "fsdp":
        # Both sizes: by default the processes of a node would form one tensor-parallel group, exchange no gradients,
        # and train to another answer without a word.
        return ModelParallelStrategy(_shard, data_parallel_size=processes, tensor_parallel_size=1)
    return DDPStrategy() if name == "ddp" or processes > 1 else "auto"


def _shard(network: torch.nn.Module, mesh: DeviceMesh) -> torch.nn.Module:
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP2 refuses others, such as channels-last
    for block in blocks(network):
        fully_shard(block, mesh=mesh["data_parallel"])
    fully_shard(network, mesh=mesh["data_parallel"])
    return network


def blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The entries of the network's own `ModuleList`s: what FSDP gathers, and compiles, one at a time."""
    lists = [child for child in network.children() if isinstance(child, torch.nn.ModuleList)]
    return [block for found in lists for block in found if any(True for _ in block.parameters())]
