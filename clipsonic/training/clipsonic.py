"""Train a CLIPSonic: a network learns to undo noise on the mel patches of a clip, given a vector of the same clip.

The vector is that of a random frame (Dong et al. 2023); for the text-trained rivals, of the caption. It is dropped
with a fixed probability for classifier-free guidance (Ho & Salimans 2022). A run folder holds one training: a preset, a
seed and a training set.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clipsonic.checkpoint import named_if_unwritten
from clipsonic.diffusion import make_sampler
from clipsonic.model_folder import WEIGHTS, check_model_folder
from clipsonic.network import build_network
from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic.preset import Preset
from clipsonic.settings import Conditioning, Settings
from clipsonic.training.dataset import TrainingSet, conditioning_of, read_conditioning, write_conditioning
from clipsonic.training.draw import Draw
from clipsonic.training.log import Listener
from clipsonic.training.loop import fit
from clipsonic.training.loss import diffusion_loss
from clipsonic.training.objective import Batch
from clipsonic.training.render import Prompts, render, rows_as_prompts
from clipsonic.training.strategy import StrategyName

CONDITIONING: Final = "conditioning.json"
_LIBRARIES: Final = ("clipsonic", "torch", "diffusers")


class CLIPSonicObjective:
    """What makes the training loop train a CLIPSonic. See `Objective` for the methods.

    `prompts` are rendered every `sample_every` training items; None takes a few rows of the training set. `known` are
    the statistics of the conditions, where an earlier session has kept them.
    """

    def __init__(
        self,
        preset: Preset,
        data: TrainingSet,
        seed: int,
        prompts: Prompts | None = None,
        known: Conditioning | None = None,
    ) -> None:
        self._preset, self._data, self._seed = preset, data, seed
        self._known = known or conditioning_of(data, preset.training.standardise)
        self._prompts = rows_as_prompts(data) if prompts is None else prompts
        for name, vector in self._prompts.items():
            if vector.shape != (self._known.dim,):
                raise ValueError(
                    f"prompt {name!r} is a vector of shape {vector.shape}, the training set's have {self._known.dim}"
                )
        how = preset.training
        self._draw = Draw(data, preset.mel, preset.diffusion, self._known, how.condition_dropout, how.batch, seed)

    @property
    def conditioning(self) -> Conditioning:
        """How vectors become conditions."""
        return self._known

    def build(self) -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            network = build_network(self._preset.mel, self._known.dim, self._preset.network)
        channels_last: torch.nn.Module = network.to(memory_format=torch.channels_last)
        return channels_last

    def draw(self, step: int, part: slice) -> Batch:
        return self._draw.batch(step, part)

    def items(self, step: int, part: slice) -> list[str]:
        return [self._data.ids[row] for row in self._draw.rows(step)[part]]

    def loss(self, module: torch.nn.Module, batch: Batch) -> Tensor:
        how = self._preset.training
        return diffusion_loss(module, batch, self._preset.diffusion, how.weighting, how.min_snr_gamma)

    def plan(self) -> dict[str, str]:
        return {
            "mel definition": json.dumps(self._preset.mel.as_dict()),
            "network": json.dumps(asdict(self._preset.network)),
            "diffusion": json.dumps(asdict(self._preset.diffusion)),
            "recipe": json.dumps(self._preset.training.decisive()),
            "seed": str(self._seed),
            "training set": self._data.digest,
        }

    def render(self, module: torch.nn.Module, run: Path, seen: int) -> None:
        pipeline = self.pipeline(module, vocoder="griffin-lim")
        render(pipeline, self._prompts, self._seed, run / "samples" / f"{seen:010d}")

    def finish(self, module: torch.nn.Module, run: Path) -> None:
        if not _is_there(module, run / "model"):  # else it may have priors and means by now
            _save(self.pipeline(module, self._preset.vocoder), run / "model")

    def pipeline(self, module: torch.nn.Module, vocoder: str) -> CLIPSonicPipeline:
        """What users load, around the averaged network."""
        preset, data = self._preset, self._data
        settings = Settings(
            mel=preset.mel,
            conditioning=self._known,
            clip=data.clip,
            clip_sha256=data.clip_sha256,
            diffusion=preset.diffusion,
            vocoder=vocoder,
            provenance=self._provenance(),
            space=data.space,
            **asdict(preset.sampling),
        )
        return CLIPSonicPipeline(module, make_sampler("dpm-solver++", preset.diffusion), settings=settings.as_dict())

    def _provenance(self) -> dict[str, str]:
        """What a model folder says of its making; the same however often the training was stopped."""
        return {
            "preset": self._preset.name,
            "condition": self._data.kind,
            "seed": str(self._seed),
            "steps": str(self._preset.training.steps),
            "data": self._data.digest,
            **{name: version(name) for name in _LIBRARIES},
        }


def train(
    preset: Preset,
    data: TrainingSet,
    run: Path,
    *,
    seed: int,
    prompts: Prompts | None = None,
    strategy: StrategyName = "auto",
    accelerator: str = "auto",
    compile: bool = False,
    report: Listener | None = None,
) -> CLIPSonicPipeline:
    """Train a CLIPSonic and save it as a model folder `run/model`; continue where a killed run stopped.

    A model folder with these weights is left as it is, with the priors and means that it was given. Arguments and
    errors are those of `clipsonic.training.loop.fit`. Returns, on every process, what was trained.
    """
    keeps = preset.training.standardise
    kept = read_conditioning(run / CONDITIONING, data) if keeps else None
    objective = CLIPSonicObjective(preset, data, seed, prompts, kept)

    def keep() -> None:
        if keeps and kept is None:
            write_conditioning(run / CONDITIONING, data, objective.conditioning)

    network = fit(
        objective,
        preset.training,
        run,
        strategy=strategy,
        accelerator=accelerator,
        compile=compile,
        report=report,
        begun=keep,
    )
    return objective.pipeline(network, preset.vocoder)


def _is_there(network: torch.nn.Module, folder: Path) -> bool:
    """Whether a model folder is whole and has these weights, bit for bit."""
    try:
        check_model_folder(folder)
        saved = load_file(folder / "unet" / WEIGHTS)
    except (ValueError, OSError, SafetensorError):
        return False
    mine = network.state_dict()
    return saved.keys() == mine.keys() and all(torch.equal(saved[name], mine[name].cpu()) for name in saved)


def _save(pipeline: CLIPSonicPipeline, folder: Path) -> None:
    """Write a model folder whole or not at all, in the place of the one that is there."""
    partial, old = (folder.with_name(f".{folder.name}.{which}") for which in ("part", "old"))
    for leftover in (partial, old, *folder.parent.glob(f".{partial.name}.*")):  # the last of `model_folder.beside`
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        with named_if_unwritten(folder):
            pipeline.save_pretrained(str(partial), safe_serialization=True)
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
