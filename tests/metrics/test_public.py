"""The table of contents, and that what is public is documented."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from pathlib import Path

import pytest

import clipsonic_metrics
from clipsonic_metrics.cli import app
from clipsonic_metrics.embedders import EMBEDDERS
from clipsonic_metrics.scores import METRICS

README = (Path(__file__).parents[2] / "metrics" / "README.md").read_text(encoding="utf-8")
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]


def test_every_public_name_exists_and_is_documented() -> None:
    assert sorted(clipsonic_metrics._MODULES) == sorted(clipsonic_metrics.__all__)
    for name in clipsonic_metrics.__all__:
        assert inspect.getdoc(getattr(clipsonic_metrics, name)), name
        assert not inspect.ismodule(getattr(clipsonic_metrics, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'fda'"):
        clipsonic_metrics.fda  # noqa: B018


@pytest.mark.parametrize("name", [*METRICS, *EMBEDDERS, *(f"clipsonic-metrics {command}" for command in COMMANDS)])
def test_every_metric_embedder_and_command_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README or f"{name} " in README, f"{name} is missing from metrics/README.md"


def test_the_code_in_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [part.split("```")[0] for part in README.split("```python\n")[1:]]
    assert len(blocks) == 3
    for block in blocks if find_spec("torchmetrics") is not None else blocks[:-1]:
        exec(compile(block, "metrics/README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Score(metric='fad'")


def test_every_registered_name_leads_somewhere() -> None:
    from importlib import import_module

    entries = [metric.function for metric in METRICS.values()] + list(EMBEDDERS.values())
    for entry in entries:
        module, attribute = entry.split(":")
        assert callable(getattr(import_module(module), attribute)), entry
    for metric in METRICS.values():
        assert set(metric.embedders) <= set(EMBEDDERS)
