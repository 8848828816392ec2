"""`clipsonic-bench microworld`: make a corpus of the micro-world, or train everything that ships."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import write_json

app = typer.Typer(help="The embedded world: make its videos, train its models.", no_args_is_help=True)


@app.command()
def make(
    out: Annotated[Path, typer.Option(help="Folder to write videos/, captions.csv and factors.csv into.")],
    split: Annotated[str, typer.Option(help="captioned, train, evaluators, validation, test or reference.")] = "test",
    n: Annotated[int, typer.Option("--n", min=1, help="Number of items.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the corpus; evaluation uses other seeds than training.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render and encode.")] = os.cpu_count() or 1,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the record; - is stdout.")
    ] = None,
) -> None:
    """Write a corpus of short videos with sound, captions and factors.

    Example: clipsonic-bench microworld make --out world/test --split test --n 200 --seed 4
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from clipsonic_benchmarks.microworld.corpus import write_corpus

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("videos", total=n)
            items = write_corpus(out, split, n, seed, workers, lambda done: progress.advance(task, done))
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    record = {"schema": 1, "out": str(out), "split": split, "seed": seed, "items": len(items)}
    if json_file == "-":
        typer.echo(json.dumps(record, indent=1))
    else:
        typer.echo(f"{len(items)} videos of split {split!r} (seed {seed}) in {out}")
        if json_file is not None:
            write_json(Path(json_file), record)
    typer.echo(f"next: clipsonic prepare {out}/videos --out prepared --captions {out}/captions.csv", err=True)


@app.command()
def train(
    work: Annotated[Path, typer.Option(help="Working folder: corpora, checkpoints, logs. About 4 GB.")],
    stage: Annotated[
        list[str] | None, typer.Option(help="Only this stage (repeatable); default all, in order.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the encoders; generators have their own, in the recipe.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render and decode.")] = os.cpu_count() or 1,
    ship: Annotated[bool, typer.Option("--ship", help="Replace the weights and the record in the packages.")] = False,
) -> None:
    """Train CLIP, CLAP, the audio-to-CLIP encoder, the probe, the priors and the generators, from nothing.

    Hours on a CPU. Repeat the same command to continue after an interruption.
    """
    import torch

    from clipsonic_benchmarks.microworld.recipes.everything import new_workshop, train_everything
    from clipsonic_benchmarks.microworld.recipes.recipe import Recipe
    from clipsonic_benchmarks.microworld.recipes.ship import finish_models, ship_everything

    torch.set_num_threads(1)  # the models are small: several stages side by side beat several threads
    torch.set_flush_denormal(True)  # while a cone is narrow, gradients are denormal numbers and some steps take seconds
    try:
        shop = new_workshop(work, Recipe(), seed=seed, workers=workers, say=lambda line: typer.echo(line, err=True))
        reports = train_everything(shop, tuple(stage or ()))
        models = {} if stage else finish_models(shop)
        if ship:
            ship_everything(shop, models or finish_models(shop))
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    typer.echo(f"done: {', '.join(reports)}; logs and checkpoints in {work}")
    seeds = [f"--model {folder}" for name, folder in models.items() if name.startswith("micro-")]
    if len(seeds) > 1:
        typer.echo(f"next: clipsonic-bench run quickstart --run seeds {' '.join(seeds)}", err=True)


@app.command()
def keep(
    record: Annotated[Path, typer.Argument(help="record-*.json of a run.")],
    name: Annotated[str, typer.Option("--as", help="replicates or ablation.")],
) -> None:
    """Keep a run's results with the world: of several trainings of the generator, or of the ablation's cells.

    Example: clipsonic-bench microworld keep results/quickstart@2/record-seeds.json --as replicates
    """
    from clipsonic_benchmarks.microworld.recipes.kept import keep as run

    try:
        written = run(record, name)
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    typer.echo(f"kept in {written}")


@app.command()
def ablate(
    work: Annotated[Path, typer.Option(help="Working folder of `microworld train`, its encoders and priors done.")],
    cell: Annotated[list[str] | None, typer.Option(help="Only this cell (repeatable); default all.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode.")] = os.cpu_count() or 1,
) -> None:
    """Train matched generators with one change each: CLIP's temperature, and conditions as they are.

    Repeat the same command to continue after an interruption.
    """
    import torch

    from clipsonic_benchmarks.microworld.recipes.ablation import CELLS, train_cell
    from clipsonic_benchmarks.microworld.recipes.everything import new_workshop
    from clipsonic_benchmarks.microworld.recipes.recipe import Recipe

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        shop = new_workshop(work, Recipe(), workers=workers, say=lambda line: typer.echo(line, err=True))
        models = [train_cell(shop, name) for name in cell or CELLS]
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    typer.echo("next: clipsonic-bench run quickstart --run ablation " + " ".join(f"--model {path}" for path in models))
