"""Configuration that names something names something that exists, and is as strict as agreed."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def configuration(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


def paths_in(configuration: dict[str, Any]) -> Iterator[str]:
    tool, project = configuration["tool"], configuration["project"]
    yield project["readme"]
    yield from project["license-files"]
    yield tool["hatch"]["version"]["path"]
    yield from tool["hatch"]["build"]["targets"]["wheel"]["packages"]
    yield from (path.lstrip("/") for path in tool["hatch"]["build"]["targets"]["sdist"]["include"])
    yield from tool["pytest"]["ini_options"]["testpaths"]
    yield from tool["mypy"]["files"]


def test_every_path_exists(root: Path, configuration: dict[str, Any]) -> None:
    paths = list(paths_in(configuration))
    assert len(paths) > 15
    assert [path for path in paths if not (root / path).exists()] == []


def test_every_command_exists(configuration: dict[str, Any]) -> None:
    scripts = configuration["project"]["scripts"]
    assert sorted(scripts) == ["clipsonic", "clipsonic-bench", "clipsonic-listen", "clipsonic-metrics"]
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_tests_and_types_are_strict(configuration: dict[str, Any]) -> None:
    pytest_options, mypy = configuration["tool"]["pytest"]["ini_options"], configuration["tool"]["mypy"]
    assert pytest_options["xfail_strict"] is True and pytest_options["filterwarnings"][0] == "error"
    for flag in ("--import-mode=importlib", "--strict-config", "--strict-markers"):
        assert flag in pytest_options["addopts"]
    assert mypy["strict"] is True
    assert set(mypy["files"]) == set(configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_the_lock_takes_everything_from_one_registry(root: Path) -> None:
    registries = set(re.findall(r'registry = "([^"]+)"', (root / "uv.lock").read_text()))
    assert len(registries) == 1, registries


def test_the_check_script_can_run(root: Path) -> None:
    script = root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", script], check=True)
