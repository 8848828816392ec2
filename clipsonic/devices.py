"""Names of devices as users give them."""

from __future__ import annotations

import os

import torch


def find_device(name: str) -> str:
    """`auto` is a GPU if there is one, else the CPU; of several processes under `torchrun` each has a GPU of its own.

    Raises:
        ValueError: a device that this machine, or this torch, does not have.
    """
    if name == "auto" and not torch.cuda.is_available():
        return "cpu"
    if name == "auto" or (name == "cuda" and torch.cuda.is_available()):
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} is not to be had here; choose auto, cpu, cuda or cuda:N") from error
    return name
