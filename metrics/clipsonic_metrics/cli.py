"""The `clipsonic-metrics` command: score folders of sounds, embed them, audit them, measure a modality gap.

Results go to stdout, progress and notes to stderr. Exit codes: 0 good, 1 a check failed, 2 usage or bad input, 3 not
comparable, 130 interrupted. An error is one line; `--debug`, anywhere, shows where it came from. The commands are in
commands/; everything heavy is imported inside them. Started by torchrun, the first process alone speaks. Files are
written before anything is shown, and a reader of stdout that goes away (`| head`) takes nothing from them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from clipsonic_metrics.commands import audit, doctor, embed, names, score, weights
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.pipes import be_patient

INTERRUPTED = 130
app = typer.Typer(
    name="clipsonic-metrics",
    help="Metrics of text- and image-to-audio generation on folders of sounds, each with an interval and a protocol.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("fad")(score.fad)
app.command("score")(score.score)
app.command("embed")(embed.embed)
app.command("gap")(embed.gap)
app.command("audit")(audit.audit)
app.command("list")(names.list_names)
app.add_typer(weights.app, name="weights")
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"clipsonic-metrics {version('clipsonic')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Metrics of text- and image-to-audio generation on folders of sounds, each with an interval and a protocol."""


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    debug = "--debug" in arguments
    try:
        code = app(
            [each for each in arguments if each != "--debug"], prog_name="clipsonic-metrics", standalone_mode=False
        )
        if code == INTERRUPTED:  # which is what Typer makes of Ctrl-C
            raise Abort
        return code if isinstance(code, int) else 0
    except TyperException as error:
        if debug:
            raise
        return _fail(f"{error.format_message().rstrip('.')}; see clipsonic-metrics --help", 2)
    except (Abort, KeyboardInterrupt):
        return _fail("interrupted; what was embedded is in the cache, the same command goes on there", INTERRUPTED)
    except MetricsError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except OSError as error:
        if debug:
            raise
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}; free or choose another place", 2)


def _fail(message: str, code: int) -> int:
    if os.environ.get("RANK", "0") == "0":
        sys.stderr.write(f"error: {' '.join(message.split())}\n")  # one line, whatever the message holds
    return code


def main() -> None:
    """Entry point of `clipsonic-metrics`."""
    be_patient()
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(code)
