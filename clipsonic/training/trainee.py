"""The network in training: its weights, its optimiser, the moving average of its weights, and one step of all three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from lightning_fabric import Fabric
from torch import Tensor
from torch.distributed.tensor import DTensor

from clipsonic.training.config import TrainingConfig
from clipsonic.training.objective import Batch, Objective
from clipsonic.training.state import gather, load_average, load_optimizer_state, optimizer_state
from clipsonic.training.strategy import StrategyName, blocks


class Trainee:
    """What `fit` trains, on its device and shared among the processes as Fabric's strategy says."""

    def __init__(
        self,
        fabric: Fabric,
        objective: Objective,
        config: TrainingConfig,
        state: Mapping[str, Any] | None,
        *,
        strategy: StrategyName,
        compile: bool,
    ) -> None:
        self._fabric, self._objective, self._config = fabric, objective, config
        self.network = objective.build()
        if state is not None:
            self.network.load_state_dict(state["model"])
        if config.activation_checkpointing:
            self.network.enable_gradient_checkpointing()  # type: ignore[operator]  # of diffusers' networks
        for part in (blocks(self.network) if strategy == "fsdp" else [self.network]) if compile else []:
            part.compile(dynamic=False)  # a smaller last micro-batch has kernels of its own, which come sooner
        self.model = fabric.setup_module(self.network)
        on_gpu = fabric.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(  # made after FSDP has put shards in place of the weights
            self.network.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=on_gpu
        )
        self.average = moving_average(self.network, config.ema_decay, on_gpu)
        if state is not None:
            load_optimizer_state(self.optimizer, state["optimizer"])
            load_average(self.average, state["ema"])

    def staged(self, batch: Batch) -> Batch:
        """A batch from where a GPU can take it while the host goes on; may be called in any thread."""
        if self._fabric.device.type != "cuda":
            return batch
        return {name: values.pin_memory() for name, values in batch.items()}

    def gradients(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Put clipped gradients of the mean loss in place.

        They are accumulated over micro-batches, and exchanged with the other processes with the last one.

        Returns:
            Scalars: the mean loss of this process's items, and the norm of all processes' gradients before clipping.
        """
        items = len(next(iter(batch.values())))
        most = self._config.micro_batch or items
        total: Tensor | None = None
        for start in range(0, items, most):
            piece = self._on_device(batch, slice(start, start + most))
            weight = min(most, items - start) / items
            with self._fabric.no_backward_sync(self.model, enabled=start + most < items):
                loss = self._objective.loss(self.model, piece) * weight
                self._fabric.backward(loss)
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        norm = self._fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self._config.clip_norm, error_if_nonfinite=False
        )
        assert norm is not None
        return total, norm.full_tensor() if isinstance(norm, DTensor) else norm

    def update(self, learning_rate: float) -> None:
        """One step of the optimiser and of the average, with the gradients in place."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.step(self.network.parameters())

    @torch.no_grad()
    def losses(self, batch: Batch) -> list[float]:
        """The loss of each item of a batch, one at a time."""
        count = len(next(iter(batch.values())))
        pieces = (self._on_device(batch, slice(k, k + 1)) for k in range(count))
        with torch.compiler.set_stance("force_eager"):  # kernels for one item would take minutes, for one use
            return [float(self._objective.loss(self.model, piece)) for piece in pieces]

    def state(self, keep: bool) -> dict[str, Any]:
        """A copy of what a checkpoint holds of this, whole and on the CPU, where `keep`.

        All processes must call it together.
        """
        held = {
            "model": self.network.state_dict(),
            "optimizer": optimizer_state(self.optimizer),
            "ema": self.average.state_dict(),
        }
        found: dict[str, Any] = gather(held, keep)
        return found

    def averaged(self, keep: bool) -> torch.nn.Module | None:
        """A network of its own with the averaged weights, in evaluation mode on the CPU, where `keep`, else None.

        All processes must call it together.
        """
        weights = gather(self.average.shadow_params, keep)
        if not keep:
            return None
        network = self._objective.build()
        with torch.no_grad():
            for parameter, weight in zip(network.parameters(), weights, strict=True):
                parameter.copy_(weight)
        return network.eval()

    def _on_device(self, batch: Batch, items: slice) -> dict[str, Tensor]:
        moved: dict[str, Tensor] = self._fabric.to_device({name: values[items] for name, values in batch.items()})
        return moved


def moving_average(network: torch.nn.Module, decay: float, on_gpu: bool) -> EMAModel:
    """The moving average of a network's weights; on a GPU with one kernel for all, which shards do not have."""
    parameters = list(network.parameters())
    whole = not any(isinstance(each, DTensor) for each in parameters)
    return EMAModel(parameters, decay=decay, use_ema_warmup=True, power=0.75, foreach=on_gpu and whole)
