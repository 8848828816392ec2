"""What tests of several packages share: where real media lie, and a browser."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder of real media, which are not ours to ship."""
    folder = ROOT.parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip("no real media to test with: ../shared/media is absent")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium. Absent it is a failure under CI, a skip elsewhere."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("CI"):
        pytest.fail("no chromium on this machine: apt-get install chromium")
    if found is None:
        pytest.skip("no chromium on this machine")
    return found
