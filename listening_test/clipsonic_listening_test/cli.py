"""The `clipsonic-listen` command: make a study of a folder of sounds, check it, serve it, take its answers out.

Results go to stdout, progress and notes to stderr. Exit codes: 0 good, 1 a check failed, 2 usage or bad input. An
error is one line; `--debug`, anywhere, shows where it came from. Everything heavy is imported inside the commands.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from clipsonic_listening_test.commands import prepare, server
from clipsonic_listening_test.errors import ListeningTestError

app = typer.Typer(
    name="clipsonic-listen",
    help="Listening tests in the browser: from a folder of sounds to answers that are never lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"clipsonic-listen {version('clipsonic')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Listening tests in the browser: from a folder of sounds to answers that are never lost."""


prepare.register(app)
server.register(app)


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code. An error is one line, unless --debug is given."""
    debug = "--debug" in arguments
    try:
        words = [word for word in arguments if word != "--debug"]
        code = app(words, prog_name="clipsonic-listen", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (Abort, KeyboardInterrupt):
        return _fail("stopped", 130)
    except TyperException as error:
        if debug:
            raise
        return _fail(f"{error.format_message().rstrip('.')}; see clipsonic-listen --help", 2)
    except ModuleNotFoundError as error:
        if debug or error.name is None or error.name.startswith("clipsonic"):
            raise
        return _fail(f"this needs {error.name!r}, which is not installed; type: pip install 'clipsonic[listen]'", 2)
    except ListeningTestError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except OSError as error:
        if debug:
            raise
        return _fail(_storage(error), 2)


def _storage(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}no space left on the device; make room, or choose another place"
    return f"{where}{error.strerror or error}; choose another place, or mend it"


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")  # one line, whatever the message holds
    return code


def main() -> None:
    """Entry point of `clipsonic-listen`."""
    sys.exit(run(sys.argv[1:]))
