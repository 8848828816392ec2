"""The `clipsonic-listen` command. It says that the kit is not in this version, and does nothing else.

Asked for anything but --help or --version it exits with code 2, so that no script takes silence for success.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

NOT_YET = "the listening-test kit is not in this version of clipsonic: nothing can be served or analysed yet"

app = typer.Typer(name="clipsonic-listen", add_completion=False, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"clipsonic-listen {version('clipsonic')}")
        raise typer.Exit


@app.command()
def listen(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Listening tests of generated sounds: not in this version yet."""
    raise TyperException(NOT_YET)


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    try:
        code = app(list(arguments), prog_name="clipsonic-listen", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Abort:
        return 130
    except TyperException:
        sys.stderr.write(f"error: {NOT_YET}; see clipsonic-listen --help\n")
        return 2


def main() -> None:
    """Entry point of `clipsonic-listen`."""
    sys.exit(run(sys.argv[1:]))
