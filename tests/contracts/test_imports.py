"""Who may import whom: import-linter's rules hold, and would notice if they did not."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LINT = Path(sys.executable).with_name("lint-imports")
LEAVES = ("clipsonic", "clipsonic_metrics", "clipsonic_listening_test")
PACKAGES = (*LEAVES, "clipsonic_benchmarks")


def lint(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_the_rules_hold(root: Path) -> None:
    found = lint(root)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_rules_are_the_designs(root: Path) -> None:
    rules = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert set(rules["root_packages"]) == set(PACKAGES)
    independence = [rule for rule in rules["contracts"] if rule["type"] == "independence"]
    assert [set(rule["modules"]) for rule in independence] == [set(LEAVES)]
    forbidden = {
        (source, target)
        for rule in rules["contracts"]
        if rule["type"] == "forbidden" and "ignore_imports" not in rule
        for source in rule["source_modules"]
        for target in rule["forbidden_modules"]
    }
    assert {(leaf, "clipsonic_benchmarks") for leaf in LEAVES} <= forbidden
    assert ("clipsonic_benchmarks", "clipsonic_listening_test") in forbidden


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("clipsonic_benchmarks", "clipsonic_metrics", True),
        ("clipsonic_metrics", "clipsonic", False),
        ("clipsonic_listening_test", "clipsonic_metrics", False),
        ("clipsonic", "clipsonic_benchmarks", False),
        ("clipsonic_benchmarks", "clipsonic_listening_test", False),
    ],
)
def test_a_planted_import_is_noticed(tmp_path: Path, root: Path, importer: str, imported: str, allowed: bool) -> None:
    """Empty packages of the same names under the same general rules, one of which imports another."""
    rules = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    lines = ["[tool.importlinter]", f"root_packages = {list(PACKAGES)}"]
    for rule in rules["contracts"]:
        if rule["type"] != "layers" and "ignore_imports" not in rule:
            lines += ["[[tool.importlinter.contracts]]", *(f"{key} = {value!r}" for key, value in rule.items())]
    (tmp_path / "pyproject.toml").write_text("\n".join(lines))
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / importer / "planted.py").write_text(f"import {imported}\n")
    found = lint(tmp_path, PYTHONPATH=str(tmp_path))
    assert (found.returncode == 0) == allowed, found.stdout + found.stderr
    assert allowed or f"{importer}.planted -> {imported}" in found.stdout
