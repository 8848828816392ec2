"""The command: quick help, one-line errors, and every name in its README."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipsonic_benchmarks.cli import app, run_command
from clipsonic_benchmarks.registry import METRICS, SYSTEMS
from clipsonic_benchmarks.suite import suite_names

Bench = Callable[..., tuple[int, str, str]]
README = (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text()
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["list"], ["microworld", "--help"]])
def test_help_and_list_import_neither_torch_nor_numpy(words: list[str]) -> None:
    script = (
        "import sys\nfrom clipsonic_benchmarks.cli import run_command\n"
        f"code = run_command({words!r})\nheavy = {{'torch', 'numpy', 'plotly'}} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "quickstrat"], "unknown suite 'quickstrat'; did you mean quickstart"),
        (["run", "quickstart", "--system", "clipsonic-qi"], "did you mean clipsonic-iq"),
        (["run", "quickstart", "--metric", "fda"], "unknown metric 'fda'"),
        (["run", "quickstart", "--n", "0"], "Invalid value for '--n'"),
        (["run", "quickstart", "--data", "x.csv"], "has items of its own"),
        (["run", "folder"], "add --data CSV"),
        (["run", "folder", "--data", "none.csv"], "none.csv is not a file"),
        (["run", "folder", "--data", "x.csv", "--n", "3"], "--n has no meaning"),
        (["run", "quickstart", "--run", "a/b"], "cannot be a folder's name"),
        (["run", "quickstart", "--model", "micro-9"], "micro-9"),
        (["run", "quickstart", "--model", "/nowhere"], "/nowhere holds no model"),
        (["run", "quickstart", "--nn", "3"], "No such option"),
        (["report", "nowhere.json"], "nowhere.json does not exist"),
        (["frobnicate"], "No such command"),
    ],
)
def test_an_error_is_one_line_and_exit_code_two(
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fake: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clipsonic_benchmarks.run.prepare_world", fake.fake_world)
    monkeypatch.setattr("clipsonic_benchmarks.work.worker_processes", fake.inline_processes)
    assert run_command(words) == 2
    found = capsys.readouterr()
    assert found.out == ""
    (line,) = [line for line in found.err.splitlines() if not line.endswith("…")]
    assert line.startswith("error: ") and said in line
    assert "Traceback" not in found.err


def test_a_bug_is_not_hidden(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise IndexError("a bug")

    monkeypatch.setattr("clipsonic_benchmarks.evaluate.evaluate", broken)
    with pytest.raises(IndexError):
        bench("run", "quickstart", "--n", "6", "--system", "reference")


def test_debug_shows_where_an_error_came_from() -> None:
    from clipsonic_benchmarks.errors import BenchmarkError

    with pytest.raises(BenchmarkError):
        run_command(["run", "quickstrat", "--debug"])


def test_json_on_stdout_is_the_record_and_nothing_else(bench: Bench, record: dict[str, Any]) -> None:
    code, out, _ = bench("run", "quickstart", "--n", "12", "--json", "-")
    assert code == 0
    found = json.loads(out)
    assert next(iter(found)) == "schema"
    assert {"suite", "systems", "comparisons", "claims", "gap", "environment", "seconds", "protocol"} <= set(found)


def test_the_table_fits_120_columns_and_says_what_is_next(bench: Bench, record: dict[str, Any]) -> None:
    _, out, _ = bench("run", "quickstart", "--n", "12")
    table = out[: out.index("Report:")]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 120
    assert "…" not in table, "nothing is cut off"
    for system in record["systems"]:
        assert system["label"] in out
    for word in ("Paired differences", "What the paper says", "Modality gap", "favours", "Report:", "Next:"):
        assert word in out


def test_report_finds_the_record_and_writes_the_page_again(
    bench: Bench, record: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "results" / "quickstart@2" / "report-main.html"
    page.unlink()
    code, out, _ = bench("report", str(tmp_path / "results"))
    assert code == 0 and page.exists() and "Report:" in out
    (tmp_path / "results" / "quickstart@2" / "record-other.json").write_text("{}")
    code, _, said = bench("report", str(tmp_path / "results"))
    assert code == 2 and "holds 2 records; name one of" in said
    code, _, said = bench("report", str(tmp_path / "results" / "quickstart@2" / "record-other.json"))
    assert code == 2 and "has schema None" in said


def test_a_control_out_of_place_fails_the_run(bench: Bench, fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's own n is asked for, and the fake sounds are all of one kind: the checks must notice."""
    from dataclasses import replace

    from clipsonic_benchmarks import suite as module

    real = module.load_suite("quickstart")
    assert real.items is not None
    small = replace(real, items=replace(real.items, n=8))
    monkeypatch.setattr(module, "load_suite", lambda name: small)
    monkeypatch.setattr(fakes, "tone", lambda kind, rng, blur: np_tone(fakes, rng))
    code, out, said = bench("run", "quickstart", "--n", "8")
    assert code == 1
    assert "of the suite's own checks do not hold" in said
    assert "control out of place" in out


def np_tone(fakes: Any, rng: Any) -> Any:
    import numpy as np

    return (0.5 * np.sin(np.arange(4000) * 0.3) + 0.01 * rng.normal(size=4000)).astype(np.float32)


@pytest.mark.parametrize("name", [*suite_names(), *SYSTEMS, *METRICS, *COMMANDS, "microworld"])
def test_every_name_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README or re.search(rf"clipsonic-bench {name}\b", README), f"{name} is missing"
