"""`weights`: which published weights there are, fetching them, and random ones for trying things out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from clipsonic_metrics.commands.options import Json

app = typer.Typer(help="Weights of the embedders: list them, fetch them, or make random ones.", add_completion=False)


@app.command("list")
def list_weights(json: Json = None) -> None:
    """Published weights by name: whether they are on this machine, their licence and paper."""
    from clipsonic_metrics.show import check_json, show_weights, write_json

    check_json(json)
    write_json(show_weights(stdout=json != "-"), json)


@app.command()
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names, see `weights list`.")],
    json: Json = None,
) -> None:
    """Fetch published weights; broken off, the same command goes on where it was. This is the only command that uses
    the network."""
    from clipsonic_metrics import fetching
    from clipsonic_metrics.progress import start_progress
    from clipsonic_metrics.show import check_json, console, plain, write_json
    from clipsonic_metrics.sources import source

    check_json(json)
    for name in names:
        source(name)  # an unknown name is told before anything is fetched
    fetched = []
    for name in names:
        path = fetching.fetch(name, advance=start_progress(f"{name}, bytes"))
        fetched.append({"weights": name, "path": str(path)})
        if json != "-":
            console().print(plain(f"{name}: {path}"), soft_wrap=True)
    write_json({"schema": 1, "fetched": fetched}, json)


@app.command("random")
def random_weights(
    name: Annotated[str, typer.Argument(help="Embedder: vggish, panns-cnn14-16k, panns-cnn14-32k, passt, wav2clip.")],
    out: Annotated[Path, typer.Option(metavar="F.safetensors", help="Where to write them.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 0,
) -> None:
    """Write untrained weights of an embedder, to try commands and to measure speed.

    Scores under them mean nothing; their digest, in every protocol, tells them from the published ones."""
    from clipsonic_metrics.random_weights import write_random_weights
    from clipsonic_metrics.show import console, plain

    digest = write_random_weights(name, out, seed=seed)
    console().print(plain(f"{out}: untrained {name}, seed {seed}, sha256 {digest[:12]}"), soft_wrap=True)
    sys.stderr.write(f"warning: these weights are random: no score under sha256:{digest[:12]} means anything\n")
