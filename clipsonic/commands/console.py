"""What the commands share: options, the model folder they name, progress with ETA on stderr, the result on stdout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from clipsonic.pipeline import CLIPSonicPipeline

Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for stdout.")]


def check_json(json_file: str | None, out: Path | None = None) -> None:
    """Refuse a file for the record that cannot be written, before there is a result.

    Args:
        out: a folder that the command makes if it is missing, and which may hold it.

    Raises:
        ValueError: naming what is wrong with it.
    """
    if json_file in (None, "-"):
        return
    file = Path(json_file or "")
    if file.is_dir():
        raise ValueError(f"--json {file} is a folder: expected a file, or - for stdout")
    if out is not None and not out.exists() and file.resolve().parent == out.resolve():
        return
    if not file.parent.is_dir():
        raise ValueError(f"--json {file}: there is no folder {file.parent}")
    if not os.access(file.parent, os.W_OK):
        raise ValueError(f"--json {file}: {file.parent} cannot be written to")


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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from clipsonic.commands.progress import TimeLeft

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
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


def tell_turned_down(gains: Sequence[float | None], where: str) -> None:
    """Say on stderr how many sounds were turned down, by how much at most, and where it is written."""
    import math

    if unknown := gains.count(None):
        typer.echo(f"{unknown} of {len(gains)} sounds do not say their gain: they are not by this version", err=True)
    if turned_down := [gain for gain in gains if gain is not None and gain < 1]:
        count = f"{len(turned_down)} of {len(gains)} sound{'s' * (len(gains) > 1)}"
        most = -20 * math.log10(min(turned_down))
        typer.echo(f"turned down {count} by up to {most:.1f} dB, to stay within full scale: {where}", err=True)


def tell_cut(names: Sequence[str]) -> None:
    """Say on stderr that CLIP has not read these texts to their end."""
    if names:
        count = f"{len(names)} text{'s' * (len(names) > 1)}"
        typer.echo(f"{count} longer than CLIP's context: it read the beginning; the first is {names[0]!r}", err=True)
