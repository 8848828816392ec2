"""What a number was computed with: versions, machine, source commit. Read from metadata: nothing is imported for it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "clipsonic", "numpy", "scipy", "torch", "torchaudio", "torchvision", "open_clip_torch", "diffusers", "av",
    "soundfile", "soxr", "scikit-learn", "plotly",
)  # fmt: skip


def environment(workers: int) -> dict[str, Any]:
    """Versions and machine as JSON values; a package that is not installed is None."""
    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "workers": workers,
        "threads_per_worker": 1,
        "device": "cpu",
    } | _source()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _source() -> dict[str, Any]:
    """Commit of the checkout this file lies in, and whether it was changed; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    return {"commit": _git(root, "rev-parse", "HEAD") or None, "dirty": bool(_git(root, "status", "--porcelain"))}


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
