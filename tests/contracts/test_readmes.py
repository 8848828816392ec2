"""What the READMEs say exists, and what exists is in a README."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "clipsonic/README.md", "metrics/README.md", "benchmarks/README.md", "listening_test/README.md")
PACKAGES = {
    "clipsonic": ("clipsonic", "clipsonic/README.md"),
    "clipsonic-metrics": ("clipsonic_metrics", "metrics/README.md"),
    "clipsonic-bench": ("clipsonic_benchmarks", "benchmarks/README.md"),
    "clipsonic-listen": ("clipsonic_listening_test", "listening_test/README.md"),
}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def tree(command: str) -> Any:
    return typer.main.get_command(importlib.import_module(f"{PACKAGES[command][0]}.cli").app)


def ways(command: Any, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    below = getattr(command, "commands", {})
    if not below:
        yield way
    for name, each in below.items():
        yield from ways(each, (*way, name))


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of each code block."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> Iterator[list[str]]:
    """Words of each of our commands in the code blocks, without comments and what stands before and after."""
    for language, content in blocks(text):
        if language in ("", "sh", "bash", "console"):
            for line in content.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for start in [k for k, word in enumerate(words) if word in PACKAGES]:
                    stops = [k for k, word in enumerate(words) if k > start and word in ("&&", "|", ";", ">", "2>")]
                    yield words[start : stops[0] if stops else None]


@pytest.mark.parametrize("command", PACKAGES)
def test_every_command_is_documented(command: str) -> None:
    text = read(PACKAGES[command][1])
    missing = [
        way for way in ways(tree(command), (command,)) if " ".join(way) not in text and f"`{way[-1]}`" not in text
    ]
    assert missing == [], f"not in {PACKAGES[command][1]}"


@pytest.mark.parametrize("readme", READMES)
def test_every_command_in_a_readme_exists(readme: str) -> None:
    lines = list(command_lines(read(readme)))
    assert lines, "no command in this README's code blocks"
    for words in lines:
        command, rest = tree(words[0]), words[1:]
        options = {"--help", "--debug"}
        while rest and rest[0] in getattr(command, "commands", {}):
            options |= {name for parameter in command.params for name in parameter.opts}
            command, rest = command.commands[rest[0]], rest[1:]
        assert not getattr(command, "commands", {}) or not rest or rest[0].startswith("-"), " ".join(words)
        options |= {name for parameter in command.params for name in parameter.opts}
        given = {word.split("=")[0].strip("[]") for word in rest if word.strip("[]").startswith("--")}
        assert given <= options, f"{' '.join(words)}: {sorted(given - options)}"


@pytest.mark.parametrize("readme", READMES)
def test_python_in_a_readme_compiles_and_its_imports_exist(readme: str) -> None:
    for language, content in blocks(read(readme)):
        if language == "python":
            compile(content, readme, "exec")
            for module, names in re.findall(r"^from (clipsonic\S*) import (.+)$", content, re.MULTILINE):
                for name in re.split(r", *", names.split("#")[0].strip()):
                    assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


@pytest.mark.parametrize("readme", READMES)
def test_links_of_a_readme_lead_somewhere(readme: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", read(readme)):
        if not target.startswith(("http://", "https://")):
            assert ((ROOT / readme).parent / target).exists(), target


def test_every_metric_and_embedder_is_documented() -> None:
    from clipsonic_metrics.embedders import EMBEDDERS
    from clipsonic_metrics.scores import METRICS

    text = read("metrics/README.md")
    assert [name for name in (*METRICS, *EMBEDDERS) if f"`{name}`" not in text] == []


def test_every_suite_and_system_is_documented() -> None:
    from clipsonic_benchmarks.registry import METRICS, SYSTEMS
    from clipsonic_benchmarks.suite import suite_names

    text = read("benchmarks/README.md")
    assert [name for name in (*suite_names(), *SYSTEMS, *METRICS) if f"`{name}`" not in text] == []


def test_every_preset_route_sampler_and_vocoder_is_documented() -> None:
    from clipsonic.diffusion import SAMPLERS
    from clipsonic.pipeline import ROUTES
    from clipsonic.preset import preset_names
    from clipsonic.vocoders import VOCODERS
    from clipsonic.weights.fetch import PUBLISHED

    text = read("clipsonic/README.md")
    names = (*preset_names(), *ROUTES, *SAMPLERS, *VOCODERS)
    assert [name for name in names if f"`{name}`" not in text] == []
    assert [name for name in PUBLISHED if f"weights fetch {name}" not in text and f"`{name}`" not in text] == []


def test_the_first_page_has_the_two_commands_and_leads_to_the_parts() -> None:
    text = read("README.md")
    assert "pip install uv && uv run clipsonic-bench run quickstart" in text and "uv run pytest" in text
    for readme in READMES[1:]:
        assert f"]({readme})" in text or f"]({Path(readme).parent}/)" in text, readme
    assert "uv run pytest" in read(".ci/run")
