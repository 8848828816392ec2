"""`clipsonic-bench`: run a suite, list what can be named, write a run's report again, make and train the micro-world.

Results go to stdout, progress to stderr. Exit codes: 0 good, 1 a check failed, 2 bad input, 3 not comparable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import Abort, TyperException

from clipsonic_benchmarks.errors import BenchmarkError, CheckFailed
from clipsonic_benchmarks.microworld.cli import app as microworld
from clipsonic_benchmarks.registry import METRICS, SYSTEMS, SystemSpec, check_metrics
from clipsonic_benchmarks.work import storage_error

if TYPE_CHECKING:
    from clipsonic_benchmarks.run import Request
    from clipsonic_benchmarks.suite import Suite

app = typer.Typer(
    name="clipsonic-bench",
    help="Run benchmark suites of text- and image-to-audio systems, and read their results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(microworld, name="microworld", help="Make the micro-world's corpus; train the models that ship.")

JsonFile = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the whole record; - is stdout.")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"clipsonic-bench {version('clipsonic')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Run benchmark suites of text- and image-to-audio systems, and read their results."""


@app.command(no_args_is_help=True)
def run(
    suite: Annotated[str, typer.Argument(help="A suite's name; `clipsonic-bench list` shows them.")],
    system: Annotated[
        list[str] | None, typer.Option(metavar="NAME[:ARGUMENT]", help="Only this system; repeatable.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this metric; repeatable.")] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Number of items, instead of the suite's.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seed of the generation noise; repeatable.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="Model of the clipsonic-* systems; several: all compared."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Your items (suite folder): id, video, image, caption, sound.")
    ] = None,
    sounds: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Sounds named by item id, as one more system.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results go.")] = Path("results"),
    run_name: Annotated[str, typer.Option("--run", metavar="NAME", help="Name of the run.")] = "main",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes, one thread each.")] = 2,
    json_file: JsonFile = None,
) -> None:
    """Run a suite: generate, score, compare, report. Stopped or killed, the same command goes on where it was.

    clipsonic-bench run quickstart

    clipsonic-bench run quickstart --system clipsonic-iq --system folder:my_sounds --run mine

    clipsonic-bench run folder --data items.csv --sounds my_sounds
    """
    from clipsonic_benchmarks.suite import load_suite

    found = load_suite(suite)
    request = _request(found, system, metric, n, seed, model, data, sounds, out, run_name, workers)
    record = _run(request)
    report = _report(request.folder / f"record-{run_name}.json", record)
    _write_json(json_file, record)
    if json_file != "-":
        from clipsonic_benchmarks.table import console, show

        show(record, to := console())
        to.print(f"Report: {report}", soft_wrap=True)
        for line in _next(record, request.folder / f"record-{run_name}.json"):
            to.print(line, soft_wrap=True)
    _fail_if_broken(record)


def _request(
    suite: Suite,
    system: list[str] | None,
    metric: list[str] | None,
    n: int | None,
    seed: list[int] | None,
    model: list[str] | None,
    data: Path | None,
    sounds: Path | None,
    out: Path,
    name: str,
    workers: int,
) -> Request:
    from clipsonic_benchmarks.run import Request, for_each_model

    if data is not None and suite.items is not None:
        raise BenchmarkError(
            f"suite {suite.name!r} has items of its own; --data goes with: clipsonic-bench run folder --data CSV"
        )
    if data is None and suite.items is None:
        raise BenchmarkError(
            f"suite {suite.name!r} takes its items from you; add --data CSV (columns id, video, image, caption, sound)"
        )
    if n is not None and suite.items is None:
        raise BenchmarkError("--n has no meaning for suite 'folder': its items are the rows of --data")
    if not name or name in (".", "..") or any(c in name for c in "/\\\0"):
        raise BenchmarkError(f"--run {name!r} cannot be a folder's name; use letters and digits")
    systems = tuple(dict.fromkeys(SystemSpec.parse(text) for text in system)) if system else suite.systems
    if model is not None and len(model) > 1:
        systems = for_each_model(systems, model)
    if sounds is not None:
        systems = (*systems, SystemSpec("folder", str(sounds)))
    metrics = check_metrics(metric) if metric else suite.metrics
    seeds = tuple(dict.fromkeys(seed)) if seed else suite.seeds
    return Request(
        suite,
        systems,
        metrics,
        seeds,
        n,
        out,
        name,
        workers,
        model[0] if model else None,
        data,
        chosen=system is not None,
    )


def _run(request: Request) -> dict[str, Any]:
    from clipsonic_benchmarks.evaluate import evaluate
    from clipsonic_benchmarks.progress import Progress
    from clipsonic_benchmarks.run import claimed, generate
    from clipsonic_benchmarks.work import worker_processes

    progress = Progress()
    with claimed(request), worker_processes(request.workers) as executor:
        done = generate(request, executor, progress)
        return evaluate(request, done, executor, progress)


def _report(record_file: Path, record: dict[str, Any]) -> Path:
    from clipsonic_benchmarks.report import write_report

    return write_report(record_file, record)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A run's record-*.json, or a folder that holds one.")],
    json_file: JsonFile = None,
) -> None:
    """Write a run's HTML report again, and print its tables. Computes no score."""
    from clipsonic_benchmarks.result import find_record, read_record

    path = find_record(results)
    record = read_record(path)
    page = _report(path, record)
    _write_json(json_file, record)
    if json_file != "-":
        from clipsonic_benchmarks.table import console, show

        show(record, to := console())
        to.print(f"Report: {page}", soft_wrap=True)


@app.command("export-study", no_args_is_help=True)
def export_study(
    results: Annotated[Path, typer.Argument(help="A run's record-*.json, or a folder that holds one.")],
    out: Annotated[Path, typer.Option(metavar="STUDY", help="Folder to write; must not be there yet.")],
    system: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this system; repeatable. Default: no controls.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="So many items, kinds in turn; default all.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Write a run's sounds, captions and frames as a folder that `clipsonic-listen init` makes a listening test of."""
    from clipsonic_benchmarks.result import find_record, read_record
    from clipsonic_benchmarks.study import export_study as export

    path = find_record(results)
    study = export(path, read_record(path), out, system or [], n)
    _write_json(json_file, study)
    for each in study["left_out"]:
        sys.stderr.write(f"left out {each['item']}: {each['reason']}\n")
    if json_file != "-":
        labels = ", ".join(each["label"] for each in study["systems"])
        sys.stdout.write(f"{out}: {len(study['prompts'])} items, systems {labels}\n")
        sys.stdout.write(f"Next:   clipsonic-listen init {out} --preset gen --out study\n")


@app.command("list")
def list_names(json_file: JsonFile = None) -> None:
    """Suites, systems and metrics, by the names that `run` takes."""
    from clipsonic_benchmarks.suite import load_suite, suite_names

    suites = [load_suite(name) for name in suite_names()]
    record = {
        "schema": 1,
        "suites": [{**one.record(), "title": one.title, "items": one.items.n if one.items else None} for one in suites],
        "systems": [
            {"name": k, "family": v.family, "says": v.says, "argument": v.says_argument} for k, v in SYSTEMS.items()
        ],
        "metrics": [{"name": name, "says": says} for name, says in METRICS.items()],
    }
    _write_json(json_file, record)
    if json_file == "-":
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from clipsonic_benchmarks.table import console

    to = console()
    table = Table("suite", "items", "what it is", "sha256", box=SIMPLE_HEAD)
    for one in suites:
        table.add_row(one.id, str(one.items.n) if one.items else "yours", one.title, one.digest[:12])
    to.print(table)
    table = Table("system", "family", "what it is", "argument", box=SIMPLE_HEAD)
    for name, entry in SYSTEMS.items():
        table.add_row(name, entry.family, entry.says, entry.says_argument)
    to.print(table)
    table = Table("metric", "what it is", box=SIMPLE_HEAD)
    for name, says in METRICS.items():
        table.add_row(name, says)
    to.print(table)


def _write_json(target: str | None, record: dict[str, Any]) -> None:
    from clipsonic_benchmarks.files import write_json

    if target == "-":
        sys.stdout.write(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    elif target is not None:
        write_json(Path(target), record)


def _next(record: dict[str, Any], record_file: Path) -> list[str]:
    """What to type next."""
    lines = [f"Next:   clipsonic-bench report {record_file}          # the report again"]
    if record["suite"]["name"] == "quickstart":
        lines.append(
            "        clipsonic-bench run quickstart --system folder:DIR --system reference --run mine   # your sounds"
        )
        lines.append(
            "        clipsonic-bench run quickstart --model A --model B --run ab   # two models, route by route"
        )
    return lines


def _fail_if_broken(record: dict[str, Any]) -> None:
    broken = [check for check in record["checks"] if check["outcome"] == "does not hold"]
    if broken:
        raise CheckFailed(
            f"{len(broken)} of the suite's own checks do not hold, first: {broken[0]['says']} ({broken[0]['found']})"
        )
    failed = [system for system in record["systems"] if system["items"]["failed"]]
    if failed:
        first = failed[0]["items"]["failed"][0]
        raise CheckFailed(
            f"system {failed[0]['label']!r} failed on {len(failed[0]['items']['failed'])} items, first {first['item']} "
            f"({first['error']}); the result is incomplete: repeat the command to try them again"
        )


def run_command(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code. An error is one line, unless --debug is given."""
    debug = "--debug" in arguments
    try:
        code = app(
            [word for word in arguments if word != "--debug"], prog_name="clipsonic-bench", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except (Abort, KeyboardInterrupt):
        return _fail("stopped; what is finished is kept: repeat the command to go on", 130)
    except TyperException as error:
        if debug:
            raise
        return _fail(f"{error.format_message().rstrip('.')}; see clipsonic-bench --help", 2)
    except OSError as error:
        if debug:
            raise
        return _fail(str(storage_error(error)), 2)
    except Exception as error:
        code = getattr(error, "exit_code", None)  # ours, and those of the packages below us
        if debug or not isinstance(code, int):
            raise
        return _fail(str(error), code)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return code


def main() -> None:
    """Entry point of `clipsonic-bench`."""
    sys.exit(run_command(sys.argv[1:]))
