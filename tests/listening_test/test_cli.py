"""`clipsonic-listen` says that there is no kit yet, and never pretends otherwise."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from clipsonic_listening_test.cli import run


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"clipsonic-listen {version('clipsonic')}\n"
    assert run(["--help"]) == 0
    assert "not in this version" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["serve", "study"], ["--nope"], ["demo"]])
def test_anything_else_is_refused_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("error: the listening-test kit is not in this version of clipsonic")
