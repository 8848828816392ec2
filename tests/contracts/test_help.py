"""`--help` of every command and subcommand works, and imports neither torch nor numpy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

COMMANDS = {
    "clipsonic": "clipsonic",
    "clipsonic-metrics": "clipsonic_metrics",
    "clipsonic-bench": "clipsonic_benchmarks",
    "clipsonic-listen": "clipsonic_listening_test",
}
ASK = """
import json, sys, typer
from {package}.cli import app, main

def ways(command, way):
    yield way
    for name, below in getattr(command, "commands", {{}}).items():
        yield from ways(below, [*way, name])

codes = {{}}
for way in ways(typer.main.get_command(app), []):
    sys.argv = ["{command}", *way, "--help"]
    try:
        main()
    except SystemExit as stop:
        codes[" ".join(way)] = stop.code or 0
heavy = sorted({{"torch", "numpy", "pandas", "scipy", "diffusers"}} & set(sys.modules))
sys.stderr.write(json.dumps({{"codes": codes, "heavy": heavy}}))
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_works_and_is_light(command: str) -> None:
    code = ASK.format(package=COMMANDS[command], command=command)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    record = json.loads(found.stderr)
    assert record["heavy"] == []
    assert record["codes"] and set(record["codes"].values()) == {0}
    assert found.stdout.count("Usage:") == len(record["codes"])
