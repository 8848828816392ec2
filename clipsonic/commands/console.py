"""What the commands share: options, the model folder they name, progress with ETA on stderr, the result on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from clipsonic.pipeline import CLIPSonicPipeline

Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for stdout.")]


def find_model(name: str) -> Path:
    """A model folder by path, by the name of one that ships, or by the id of a hub repository (owner/name)."""
    from clipsonic.model_folder import find_model_folder
    from clipsonic.weights import model_folder

    if Path(name).exists():
        return Path(name)
    return find_model_folder(name) if name.count("/") == 1 else model_folder(name)


def open_model(name: str) -> CLIPSonicPipeline:
    """The model of `find_model`."""
    from clipsonic.pipeline import load_model

    return load_model(find_model(name))


def start_progress() -> Progress:
    """A progress bar with the time left, to be entered."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def tell(json_file: str | None, record: dict[str, object], line: str) -> None:
    """The result: one line on stdout, or the record as JSON where the user wants it."""
    import json

    if json_file is None:
        typer.echo(line)
        return
    text = json.dumps({"schema": 1, **record}, indent=1) + "\n"
    if json_file == "-":
        typer.echo(text, nl=False)
    else:
        from clipsonic.sounds import replace_text

        replace_text(Path(json_file), text)
