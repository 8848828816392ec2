"""The Python in the kit's README runs as it stands there, one block after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clipsonic_listening_test.check import check_study
from clipsonic_listening_test.cli import run
from clipsonic_listening_test.prepare.progress import start_progress

README = Path(__file__).parents[2] / "listening_test" / "README.md"


def test_the_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last block puts a questionnaire before the trials: the study still holds together, as another version."""
    monkeypatch.chdir(tmp_path)
    assert run(["demo", "--no-serve", "--out", "study"]) == 0
    found = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    names: dict[str, object] = {}
    before = check_study(Path("study"), 2, start_progress)
    for block in found:
        exec(compile(block, "listening_test/README.md", "exec"), names)
    after = check_study(Path("study"), 2, start_progress)
    assert before.faults == after.faults == () and before.departures == after.departures
    assert before.study.digest != after.study.digest
    pages = list(after.study.pages)
    assert pages[pages.index("before") - 1] == "volume" and pages[pages.index("before") + 1] == "fidelity-instructions"
