"""The denoising network: diffusers' U-Net over mel patches, told the noise level and the condition.

The condition (a CLIP vector) is projected and added to the time embedding; the zero vector stands for "no condition"
and is what condition dropout trains and classifier-free guidance subtracts. Convolutions are blind to absolute
frequency, so each patch also gets `POSITIONS` constant channels that say which bands it covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from clipsonic.mel import MelConfig

POSITIONS: Final = 4


@dataclass(frozen=True)
class NetworkConfig:
    """Width of each resolution, residual blocks in each; self-attention on the way down at all but the finest."""

    channels: tuple[int, ...] = (80, 96)
    blocks: int = 1
    head_dim: int = 48
    norm_groups: int = 16

    def __post_init__(self) -> None:
        sizes = {"blocks": self.blocks, "head_dim": self.head_dim, "norm_groups": self.norm_groups}
        if small := [name for name, size in sizes.items() if size < 1]:
            raise ValueError(f"network: {', '.join(small)} must be at least 1")
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"network: channels is {list(self.channels)}; expected a width for each resolution")
        for width in self.channels:
            if width % self.norm_groups:
                raise ValueError(f"network: norm_groups {self.norm_groups} does not divide {width} channels")
        for width in self.channels[1:] or self.channels:  # the finest resolution has no attention
            if width % self.head_dim:
                raise ValueError(f"network: head_dim {self.head_dim} does not divide {width} channels")


def build_network(mel: MelConfig, condition_dim: int, config: NetworkConfig) -> UNet2DConditionModel:
    """A U-Net with random weights for (items, mel.channels, *mel.grid) patches and (items, condition_dim) vectors."""
    coarser = len(config.channels) - 1
    return UNet2DConditionModel(
        sample_size=mel.grid,
        in_channels=mel.channels + POSITIONS,
        out_channels=mel.channels,
        down_block_types=("DownBlock2D", *(["AttnDownBlock2D"] * coarser)),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D",) * len(config.channels),
        block_out_channels=config.channels,
        layers_per_block=config.blocks,
        attention_head_dim=config.head_dim,
        norm_num_groups=config.norm_groups,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="projection",
        projection_class_embeddings_input_dim=condition_dim,
    )


@dataclass(frozen=True)
class NetworkSize:
    """Trained numbers, and floating-point operations of one evaluation on one clip (a multiply and an add are two)."""

    parameters: int
    flops: int


def measure_network(mel: MelConfig, condition_dim: int, config: NetworkConfig) -> NetworkSize:
    """What a network is and costs, counted on the meta device: nothing is computed."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = build_network(mel, condition_dim, config)
        predict(network, torch.zeros(1, mel.channels, *mel.grid), torch.zeros(1), torch.zeros(1, condition_dim))
    return NetworkSize(sum(each.numel() for each in network.parameters()), counter.get_total_flops())


@lru_cache(maxsize=8)
def _positions(rows: int, columns: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    place = (torch.arange(rows, device="cpu") + 0.5) / rows
    waves = torch.stack([torch.cos(torch.pi * (k + 1) * place) for k in range(POSITIONS)])
    return waves[None, :, :, None].expand(1, POSITIONS, rows, columns).to(device, dtype)


def predict(network: torch.nn.Module, noisy: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
    """The network's output for noisy patches (items, channels, rows, columns): same shape, in the scheduler's terms."""
    positions = _positions(*noisy.shape[-2:], noisy.device, noisy.dtype).expand(len(noisy), -1, -1, -1)
    result: Tensor = network(torch.cat([noisy, positions], 1), timestep, None, class_labels=condition).sample
    return result
