"""The `clipsonic-metrics` command: score folders of sounds, embed them, measure a modality gap.

Results go to stdout, progress and notes to stderr. Exit codes: 0 good, 2 usage or bad input, 3 not comparable. An error
is one line; `--debug`, anywhere, shows where it came from. Everything heavy is imported inside the commands.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import Abort, TyperException

from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from clipsonic_metrics.scoring import Inputs, Workspace

app = typer.Typer(
    name="clipsonic-metrics",
    help="Metrics of text- and image-to-audio generation on folders of sounds, each with an interval and a protocol.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


class OnBadFile(StrEnum):
    """What to do about a file that cannot be scored."""

    stop = "stop"
    skip = "skip"


Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the record here; - is stdout.")]
OnBad = Annotated[
    OnBadFile,
    typer.Option("--on-bad", help="Unreadable, empty, silent, NaN or too short files: stop, or skip and name."),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Embedding cache; default $CLIPSONIC_CACHE, else clipsonic in the user's cache folder."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Embed everything anew and keep nothing.")]
Weights = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Weights of the embedders; default those that ship.")
]
Seed = Annotated[int, typer.Option(help="Seed of the resampling, and of KAD's bandwidth subsample.")]
Embedder = Annotated[str | None, typer.Option(metavar="E", help="Embedder of sounds (and captions).")]


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


@app.command()
def fad(
    reference: Annotated[Path, typer.Argument(help="Folder of reference sounds, or .npz of `embed`.")],
    generated: Annotated[Path, typer.Argument(help="Folder of generated sounds, or .npz of `embed`.")],
    embedder: Embedder = None,
    on_bad: OnBad = OnBadFile.stop,
    cache: Cache = None,
    no_cache: NoCache = False,
    weights: Weights = None,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Fréchet audio distance of GENERATED from REFERENCE."""
    from clipsonic_metrics.scoring import Inputs

    _score(Inputs(generated, reference), ["fad"], embedder, _workspace(on_bad, cache, no_cache, weights, seed), json)


@app.command()
def score(
    generated: Annotated[Path, typer.Argument(help="Folder of generated sounds.")],
    metrics: Annotated[str, typer.Option(metavar="M,M", help="Names of metrics, see `list`.")] = "fad",
    reference: Annotated[Path | None, typer.Option(help="Folder of reference sounds (fad, kad).")] = None,
    prompts: Annotated[Path | None, typer.Option(help="CSV of id,caption (clap-score, retrieval).")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images or videos named by id (clip-score).")] = None,
    factors: Annotated[Path | None, typer.Option(help="CSV of id and one column per factor (factor-accuracy).")] = None,
    embedder: Embedder = None,
    on_bad: OnBad = OnBadFile.stop,
    cache: Cache = None,
    no_cache: NoCache = False,
    weights: Weights = None,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Several metrics of one folder; sounds, captions and images are paired by id."""
    from clipsonic_metrics.scoring import Inputs

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    inputs = Inputs(generated, reference, prompts, images, factors)
    _score(inputs, names, embedder, _workspace(on_bad, cache, no_cache, weights, seed), json)


@app.command()
def embed(
    sounds: Annotated[Path, typer.Argument(help="Folder of sounds.")],
    out: Annotated[Path, typer.Option(metavar="E.npz", help="Where to write the embeddings.")],
    embedder: Annotated[str, typer.Option(metavar="E")] = "microworld-clap",
    on_bad: OnBad = OnBadFile.stop,
    cache: Cache = None,
    no_cache: NoCache = False,
    weights: Weights = None,
    json: Json = None,
) -> None:
    """Embed a folder of sounds; the file can stand for the folder in `fad`, `score` and `gap`."""
    from clipsonic_metrics.embedding import save_embeddings
    from clipsonic_metrics.show import show_embedded, write_json

    if out.suffix != ".npz":
        raise MetricsError(f"--out {out} has suffix {out.suffix!r}; expected .npz")
    made = _workspace(on_bad, cache, no_cache, weights, 0).sounds(sounds, embedder)
    save_embeddings(made, out)
    show_embedded(made, out, stdout=json != "-")
    write_json(made.record() | {"out": str(out)}, json)


@app.command()
def gap(
    x: Annotated[Path | None, typer.Argument(metavar="[X.npz]", help="Embeddings of one modality.")] = None,
    y: Annotated[
        Path | None, typer.Argument(metavar="[Y.npz]", help="Embeddings of the other, with the same ids.")
    ] = None,
    prompts: Annotated[Path | None, typer.Option(help="CSV of id,caption.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images or videos named by id.")] = None,
    sounds: Annotated[Path | None, typer.Option(help="Folder of sounds named by id.")] = None,
    embedder: Annotated[
        str, typer.Option(metavar="E", help="Embedder of both sides given by options.")
    ] = "microworld-clip",
    cache: Cache = None,
    no_cache: NoCache = False,
    weights: Weights = None,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Modality gap of two matched sets: two .npz files, or two of --sounds, --images and --prompts."""
    from clipsonic_metrics.gap import gap_of_files, gap_of_inputs
    from clipsonic_metrics.show import show_scores, write_json

    given = [option for option in (sounds, images, prompts) if option is not None]
    if x is not None and y is not None and not given:
        scores = gap_of_files(x, y, seed=seed)
    elif x is None and len(given) == 2:
        work = _workspace(OnBadFile.stop, cache, no_cache, weights, seed)
        scores = gap_of_inputs(work, embedder, sounds=sounds, images=images, prompts=prompts)
    else:
        raise MetricsError("gap takes two .npz files, or two of --sounds, --images and --prompts, and not both")
    show_scores(list(scores), stdout=json != "-")
    write_json({"schema": 1, "scores": [each.record() for each in scores]}, json)


@app.command("list")
def list_names(json: Json = None) -> None:
    """Metrics with unit, direction and version; embedders with their protocol."""
    from clipsonic_metrics.show import show_names, write_json

    record = show_names(stdout=json != "-")
    write_json(record, json)


def _workspace(on_bad: OnBadFile, cache: Path | None, no_cache: bool, weights: Path | None, seed: int) -> Workspace:
    from clipsonic_metrics.progress import start_progress
    from clipsonic_metrics.scoring import Workspace
    from clipsonic_metrics.store import default_cache

    folder = None if no_cache else cache or default_cache()
    return Workspace(cache=folder, weights=weights, on_bad=on_bad.value, seed=seed, progress=start_progress)


def _score(inputs: Inputs, names: Sequence[str], embedder: str | None, work: Workspace, json: str | None) -> None:
    from clipsonic_metrics.scoring import score_folder
    from clipsonic_metrics.show import show_report, write_json

    report = score_folder(inputs, names, work, embedder=embedder)
    show_report(report, stdout=json != "-")
    write_json(report.record(), json)


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    debug = "--debug" in arguments
    try:
        code = app(
            [each for each in arguments if each != "--debug"], prog_name="clipsonic-metrics", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except TyperException as error:
        if debug:
            raise
        return _fail(f"{error.format_message().rstrip('.')}; see clipsonic-metrics --help", 2)
    except Abort:
        return _fail("interrupted", 130)
    except MetricsError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except OSError as error:
        if debug:
            raise
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}; free or choose another place", 2)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")  # one line, whatever the message holds
    return code


def main() -> None:
    """Entry point of `clipsonic-metrics`."""
    sys.exit(run(sys.argv[1:]))
