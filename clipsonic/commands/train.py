"""`train`: prepared data to a model folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipsonic.commands.console import Json, check_json, tell
from clipsonic.commands.course import MOST_SEED, Strategy, held, is_first_process, show_training

if TYPE_CHECKING:
    from clipsonic.prepared import PreparedData
    from clipsonic.preset import Preset
    from clipsonic.training.dataset import TrainingSet
    from clipsonic.training.render import Prompts


class Condition(StrEnum):
    """What the network is told of a clip in training."""

    image = "image"
    text = "text"
    vectors = "vectors"


def train(
    preset: Annotated[str, typer.Argument(help="Name of a preset, or a TOML file.")],
    data: Annotated[Path, typer.Option(help="What `clipsonic prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoint, log, samples, model.")],
    condition: Annotated[
        Condition,
        typer.Option(help="image (CLIPSonic), text (CLIP-TTA, needs captions or labels), vectors (see --vectors)."),
    ] = Condition.image,
    vectors: Annotated[
        Path | None, typer.Option(help=".npz of `clipsonic-metrics embed`: CLAP-TTA, or another encoder's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of weights, data order and noise.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Fewer or more steps than the preset's.")] = None,
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Clips per process and backward pass; gradients are accumulated.")
    ] = None,
    activation_checkpointing: Annotated[
        bool, typer.Option("--activation-checkpointing", help="Less memory for about a third more time.")
    ] = False,
    sample_every: Annotated[
        int | None, typer.Option(min=1, help="Render the prompts to run/samples after so many training clips.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="CSV with the columns id and caption to render; else a few clips of the data.")
    ] = None,
    strategy: Annotated[
        Strategy, typer.Option(help="Of several processes, under torchrun; auto is ddp, fsdp shards the network.")
    ] = Strategy.auto,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    compile: Annotated[
        bool, typer.Option("--compile", help="Let torch.compile write the kernels; minutes on a CPU.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Train a network and write it as a model folder. Repeat the command to continue a run that was stopped.

    Example: clipsonic train micro --data data --out run
    Several GPUs: torchrun --nproc-per-node 8 -m clipsonic train base --data data --out run
    """
    from dataclasses import replace

    from clipsonic.prepared import PreparedData
    from clipsonic.preset import load_preset
    from clipsonic.training.clipsonic import train as run

    check_json(json_file, out)
    chosen, prepared = load_preset(preset), PreparedData(data)
    how = chosen.training
    training = replace(
        how,
        steps=how.steps if steps is None else steps,
        micro_batch=how.micro_batch if micro_batch is None else micro_batch,
        sample_every=how.sample_every if sample_every is None else sample_every,
        activation_checkpointing=how.activation_checkpointing or activation_checkpointing,
    )
    chosen = replace(chosen, training=training)
    if prepared.mel != chosen.mel:
        raise ValueError(
            f"{data} was prepared with another mel definition than preset {preset!r}: "
            f"type clipsonic prepare VIDEOS --preset {preset} --out NEW"
        )
    if condition is not Condition.vectors:
        _check_clip(prepared, data, chosen)
    shown = _training_set(prepared, condition, vectors)
    texts = None if prompts is None else _prompts(prompts, chosen, shown)
    with held(out), show_training(chosen.training) as report:
        run(
            chosen,
            shown,
            out,
            seed=seed,
            prompts=texts,
            strategy=strategy.value,
            accelerator=device,
            compile=compile,
            report=report,
        )
    if is_first_process():
        tell(json_file, {"model": str(out / "model"), "steps": chosen.training.steps}, f"model in {out / 'model'}")


def _check_clip(prepared: PreparedData, data: Path, preset: Preset) -> None:
    """Refuse data of another CLIP than the preset's, whose vocoder, prior and network size go with its space."""
    found, wanted = (Path(name).resolve() if Path(name).is_dir() else name for name in (prepared.clip, preset.clip))
    if found != wanted:
        raise ValueError(
            f"{data} was prepared with CLIP {prepared.clip}, preset {preset.name!r} is for {preset.clip}: "
            f"type clipsonic prepare VIDEOS --preset {preset.name} --out NEW, "
            f'or write clip = "{prepared.clip}" into a preset of your own'
        )


def _training_set(data: PreparedData, condition: Condition, vectors: Path | None) -> TrainingSet:
    from clipsonic.training.dataset import of_captions, of_frames, of_vectors
    from clipsonic.vectors import read_vectors

    if (vectors is None) == (condition is Condition.vectors):
        found = "is missing" if vectors is None else f"is not for --condition {condition}"
        raise ValueError(f"--vectors {found}; expected --condition vectors --vectors E.npz together")
    if vectors is not None:
        stored = read_vectors(vectors)
        return of_vectors(data, dict(zip(stored.ids, stored.vectors, strict=True)), stored.space)
    return of_frames(data) if condition is Condition.image else of_captions(data)


def _prompts(path: Path, preset: Preset, data: TrainingSet) -> Prompts:
    from clipsonic.clip import FrozenClip
    from clipsonic.queries import Texts, read_queries

    if preset.training.sample_every is None:
        raise ValueError("--prompts are rendered with --sample-every N, which is missing")
    if data.clip is None:
        raise ValueError("--prompts need a CLIP, and these conditions are vectors from elsewhere: leave them out")
    found = read_queries(prompts=path)
    assert isinstance(found, Texts)
    return dict(zip(found.ids, FrozenClip(data.clip).encode_text(found.texts), strict=True))
