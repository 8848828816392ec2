"""The command as a whole: what it says of itself, and how it refuses."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from clipsonic_listening_test.cli import app, run
from clipsonic_listening_test.errors import CheckFailed, ListeningTestError


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"clipsonic-listen {version('clipsonic')}\n"
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    for command in ("init", "check", "demo", "serve", "export", "status"):
        assert command in said


@pytest.mark.parametrize("arguments", [["--nope"], ["nonsense"], ["init", "x"], ["check", "a", "b"]])
def test_usage_is_refused_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("error: ") and err.endswith("see clipsonic-listen --help\n")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ListeningTestError("bad\ninput"), 2, "error: bad input\n"),
        (CheckFailed("broken"), 1, "error: broken\n"),
        (OSError(28, "No space left on device", "x"), 2, "error: x: no space left on the device; make room, or"),
        (PermissionError(13, "Permission denied", "y"), 2, "error: y: Permission denied; choose another place"),
    ],
)
def test_errors_are_one_line_and_debug_shows_them(
    error: Exception, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("clipsonic_listening_test.check.check_study", fail)
    assert run(["check", "study"]) == code
    err = capsys.readouterr().err
    assert err.startswith(line) and err.count("\n") == 1
    with pytest.raises(type(error)):
        run(["check", "study", "--debug"])


def test_interrupted_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clipsonic_listening_test.check.check_study", stop)
    assert run(["check", "study"]) == 130


def test_every_command_has_help() -> None:
    assert app.registered_commands
    assert all(command.callback is not None and command.callback.__doc__ for command in app.registered_commands)
