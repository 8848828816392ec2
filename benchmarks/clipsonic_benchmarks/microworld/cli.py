"""`clipsonic-bench microworld`: make a corpus of the micro-world, or train everything that ships."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The embedded world: make its videos, train its models.", no_args_is_help=True)


@app.command()
def make(
    out: Annotated[Path, typer.Option(help="Folder to write videos/, captions.csv and factors.csv into.")],
    split: Annotated[str, typer.Option(help="captioned, train, evaluators, validation, test or reference.")] = "test",
    n: Annotated[int, typer.Option(help="Number of items.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the corpus; evaluation uses other seeds than training.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render and encode.")] = os.cpu_count() or 1,
) -> None:
    """Write a corpus of short videos with sound, captions and factors.

    Example: clipsonic-bench microworld make --out world/test --split test --n 200 --seed 2
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from clipsonic_benchmarks.microworld.corpus import write_corpus

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("videos", total=n)
            items = write_corpus(out, split, n, seed, workers, lambda done: progress.advance(task, done))
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(items)} videos of split {split!r} (seed {seed}) in {out}")
    typer.echo(f"next: clipsonic prepare {out}/videos --out prepared --captions {out}/captions.csv")


@app.command()
def train(
    work: Annotated[Path, typer.Option(help="Working folder: corpora, checkpoints, logs. About 4 GB.")],
    stage: Annotated[
        list[str] | None, typer.Option(help="Only this stage (repeatable); default all, in order.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the encoders; generators have their own, in the recipe.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render and decode.")] = os.cpu_count() or 1,
    ship: Annotated[bool, typer.Option("--ship", help="Replace the weights and the record in the packages.")] = False,
) -> None:
    """Train CLIP, CLAP, the audio-to-CLIP encoder, the probe, the priors and the generators, from nothing.

    Hours on a CPU. Repeat the same command to continue after an interruption.
    """
    import torch

    from clipsonic_benchmarks.microworld.recipes.everything import new_workshop, train_everything
    from clipsonic_benchmarks.microworld.recipes.recipe import Recipe

    torch.set_num_threads(1)  # the models are small: several stages side by side beat several threads
    torch.set_flush_denormal(True)  # while a cone is narrow, gradients are denormal numbers and some steps take seconds
    try:
        shop = new_workshop(work, Recipe(), seed=seed, workers=workers, say=lambda line: typer.echo(line, err=True))
        reports = train_everything(shop, tuple(stage or ()))
        if ship:
            from clipsonic_benchmarks.microworld.recipes.ship import ship_everything

            ship_everything(shop, reports)
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"done: {', '.join(reports)}; logs and checkpoints in {work}")
