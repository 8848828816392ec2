"""Fixtures of the benchmarks' tests. `fakes.py` is loaded by its path, as the tests' own subprocesses load it too."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FAKES = Path(__file__).with_name("fakes.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_fakes", FAKES)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_fakes"] = module
    spec.loader.exec_module(module)
    return module


_FAKES = _load()


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module of fakes, not installed."""
    return _FAKES


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The fakes, installed in place of models, weights, videos and processes."""
    _FAKES.install(monkeypatch.setattr)
    return _FAKES


@pytest.fixture
def bench(fakes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command on the fakes: `bench(arguments) -> (exit code, stdout, stderr)`, with --out in `tmp_path`."""
    from clipsonic_benchmarks.cli import run_command

    def run(*words: str) -> tuple[int, str, str]:
        extra = ["--out", str(tmp_path / "results")] if words[0] == "run" and "--out" not in words else []
        code = run_command([*words, *extra])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a small run of quickstart on the fakes; copied by whoever uses them."""
    from clipsonic_benchmarks.cli import run_command

    out = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        _FAKES.install(patch.setattr)
        assert run_command(["run", "quickstart", "--n", "12", "--out", str(out), "--json", str(out / "x.json")]) == 0
    return out


@pytest.fixture
def record(finished: Path, tmp_path: Path) -> dict[str, Any]:
    """The record of a finished run of twelve items, whose results lie in `tmp_path / "results"`."""
    shutil.copytree(finished, tmp_path / "results")
    loaded: dict[str, Any] = json.loads((tmp_path / "results" / "x.json").read_text())
    return loaded
