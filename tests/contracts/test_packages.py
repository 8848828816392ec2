"""Four packages from one tree, with a table of contents outside and no bad habits inside."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clipsonic

FOLDERS = {
    "clipsonic": "clipsonic",
    "clipsonic_metrics": "metrics/clipsonic_metrics",
    "clipsonic_benchmarks": "benchmarks/clipsonic_benchmarks",
    "clipsonic_listening_test": "listening_test/clipsonic_listening_test",
}
ROOT = Path(__file__).parents[2]
MODULES = sorted(path for folder in FOLDERS.values() for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("package", FOLDERS)
def test_the_packages_come_from_one_tree(package: str) -> None:
    """Started in a checkout with another version installed, Python finds one of the four here and the rest there."""
    origin = importlib.import_module(package).__file__
    assert origin is not None and Path(origin) == ROOT / FOLDERS[package] / "__init__.py"


@pytest.mark.parametrize("package", FOLDERS)
def test_the_packages_are_typed(package: str) -> None:
    assert (ROOT / FOLDERS[package] / "py.typed").is_file()


def test_version_changelog_and_installation_agree() -> None:
    top = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert top is not None and top[1] == clipsonic.__version__ == importlib.metadata.version("clipsonic")


@pytest.mark.parametrize("package", ["clipsonic", "clipsonic_metrics"])
def test_every_public_name_exists_and_is_explained(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        documentation = inspect.getdoc(getattr(module, name))
        assert documentation and not documentation.startswith(f"{name}("), name  # a dataclass writes one itself
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = module.nope


def test_importing_the_packages_costs_nothing() -> None:
    code = f"import {', '.join(FOLDERS)}, sys; print(sorted({{'torch', 'numpy', 'typer'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def calls(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def imports(tree: ast.AST) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def texts_of_the_locale(tree: ast.AST) -> list[str]:
    """Texts that are read or written in whatever encoding the locale has: ruff's PLW1514 sees some of them only."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            mode = node.args[0] if node.args else ast.Constant("r")  # of a Path's open; others have a file first
            opened = node.func.attr == "open" and isinstance(mode, ast.Constant) and "b" not in str(mode.value)
            said = "encoding" in {keyword.arg for keyword in node.keywords}
            if (opened or node.func.attr in ("read_text", "write_text")) and not said:
                found.append(ast.unparse(node))
    return found


def test_a_text_of_the_locale_is_seen() -> None:
    seen = 'p.read_text(); q.write_text(t); (p / "x").open("a"); p.open(); p.open(newline="")'
    fine = 'p.read_text(encoding="utf-8"); p.open("rb"); p.open("w", encoding="utf-8"); av.open(str(p), "w")'
    assert len(texts_of_the_locale(ast.parse(seen))) == 5 and texts_of_the_locale(ast.parse(fine)) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_keeps_the_rules(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert len(text.splitlines()) <= 500, "too long to be one thing"
    assert path.name not in ("utils.py", "helpers.py", "common.py", "misc.py")
    assert "print" not in calls(tree), "libraries do not print"
    assert not {"pickle", "dill", "joblib"} & imports(tree)
    assert not texts_of_the_locale(tree), "say encoding="
    assert not {"torch.save", "np.random.seed", "torch.set_grad_enabled", "warnings.filterwarnings"} & calls(tree)
    if "torch.load" in calls(tree):
        assert text.count("torch.load(") == text.count("weights_only=True")
