"""Where the time of `run quickstart` goes: each stage's seconds and share, at a size that fits a benchmark.

The floor is generation by the network alone: two evaluations (guidance) of `steps` each for every sound, which
`test_sampling.py` measures; everything else here should stay small beside it. A second run of the same command, which
finds every sound and every embedding, is the peer: what it still takes is the cost of the runner itself. Run with

    uv run pytest benchmarks/speed/test_quickstart.py -s
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

ITEMS = 20


def _run(out: Path) -> dict[str, float]:
    command = [sys.executable, "-c", "from clipsonic_benchmarks.cli import main; main()"]
    asked = ["run", "quickstart", "--n", str(ITEMS), "--out", str(out), "--json", str(out / "record.json")]
    subprocess.run([*command, *asked], check=True)
    seconds: dict[str, float] = json.loads((out / "record.json").read_text(encoding="utf-8"))["seconds"]
    return seconds


def test_stages(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    first = benchmark.pedantic(_run, (tmp_path,), rounds=1, iterations=1)
    again = _run(tmp_path)
    benchmark.extra_info |= {"items": ITEMS, "seconds": first, "seconds_again": again}
    total = sum(first.values())
    print(f"\n{'stage':>14} {'seconds':>8} {'share':>6} {'again':>8}")
    for stage, seconds in first.items():
        print(f"{stage:>14} {seconds:8.2f} {seconds / total:6.0%} {again.get(stage, 0.0):8.2f}")
    print(f"{'all':>14} {total:8.2f} {'':>6} {sum(again.values()):8.2f}")
    assert set(again) <= set(first)
