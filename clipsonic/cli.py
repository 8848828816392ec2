"""The `clipsonic` command. Torch is imported inside the commands, so `--help` needs none.

Results go to stdout, progress and notes to stderr. Exit codes: 0 good, 2 usage or bad input, 130 stopped. An error is
one line, also where memory does not suffice; `--debug`, anywhere, shows where it came from. The commands are in
commands/.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final

import typer
from typer.exceptions import Abort, TyperException

from clipsonic.commands import generate, info, prepare, train, train_prior, weights

INTERRUPTED = 130
_LESS_MEMORY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "prepare": "repeat it with fewer --workers (1 is the fewest)",
        "train": "repeat it with a smaller --micro-batch (1 is the smallest), or --activation-checkpointing",
        "train-prior": "repeat it with a preset of your own that has a smaller micro_batch in [training]",
        "generate": "repeat it with a smaller --batch-size (1 is the smallest), or --device cpu; "
        "with another --out, if some sounds are there already",
    }
)
app = typer.Typer(
    name="clipsonic",
    help="CLIPSonic: train on unlabeled videos, generate sound from images and texts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("prepare")(prepare.prepare)
app.command("train")(train.train)
app.command("train-prior")(train_prior.train_prior)
app.command("attach")(train_prior.attach)
app.command("generate")(generate.generate)
app.command("info")(info.info)
app.add_typer(weights.app, name="weights")


def _version(asked: bool) -> None:
    if asked:
        from clipsonic import __version__

        typer.echo(f"clipsonic {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """CLIPSonic: train on unlabeled videos, generate sound from images and texts."""


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    debug = "--debug" in arguments
    try:
        code = app([word for word in arguments if word != "--debug"], prog_name="clipsonic", standalone_mode=False)
        if code == INTERRUPTED:  # which is what Typer makes of Ctrl-C
            raise Abort
        return code if isinstance(code, int) else 0
    except (Abort, KeyboardInterrupt) as error:
        first = os.environ.get("RANK", "0") == "0"  # torchrun stops all processes, and one of them says so
        told = str(error) or "stopped; what is finished is kept: repeat the command to go on"
        return _fail(told, INTERRUPTED) if first else INTERRUPTED
    except TyperException as error:
        if debug:
            raise
        return _fail(f"{error.format_message().rstrip('.')}; see clipsonic --help", 2)
    except ModuleNotFoundError as error:
        if debug or error.name is None or error.name.startswith("clipsonic"):
            raise
        return _fail(f"this needs {error.name!r}, which is not installed; type: pip install 'clipsonic[model]'", 2)
    except (ValueError, OSError, FloatingPointError) as error:
        if debug:
            raise
        return _fail(str(error), 2)
    except (MemoryError, RuntimeError) as error:  # torch's own is a RuntimeError, and so is cuBLAS's
        if debug or not _is_out_of_memory(error):
            raise
        asked = re.search(r"allocate [\d.]+ \w+", str(error))
        remedy = next((_LESS_MEMORY[word] for word in arguments if word in _LESS_MEMORY), "--debug shows where")
        return _fail(f"out of memory{f' (could not {asked[0]})' if asked else ''}: {remedy}", 2)


def _is_out_of_memory(error: Exception) -> bool:
    """By what it says: the classes are torch's, which is not imported here."""
    signs = ("out of memory", "can't allocate memory", "_ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")  # one line, whatever the message holds
    return code


def main() -> None:
    """Entry point of `clipsonic`."""
    sys.exit(run(sys.argv[1:]))
