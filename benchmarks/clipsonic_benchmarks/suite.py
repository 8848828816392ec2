"""A suite: an immutable, versioned list of items with the systems, metrics, comparisons and claims that go with it.

A suite is data: `suites/NAME.toml`. `Suite.digest` covers everything in the file, so two results are of one suite
only if their digests agree. `--n`, `--seed`, `--system` and `--metric` change a *run*, never the suite.

    [items]      which split of the micro-world is asked: split, seed, n
    [reference]  the set that FAD and KAD compare with: split, seed, n
    [encoders]   the embedders that score: names known to `clipsonic-metrics list`
    [compare]    pairs of systems whose difference is given with a paired interval, and in which metrics
    [[claims]]   an order of systems, best first, that is tested, never assumed
    [[expect]]   what must hold for the benchmark itself to be sound (controls in their places): either `better` and
                 `worse` (with `tie`, a difference that is not decided will do), or `system` with `low` and/or `high`;
                 checked at the suite's own number of items
    [notes]      what must be read beside a metric's column
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import digest
from clipsonic_benchmarks.registry import SystemSpec, check_metrics, unknown

SCHEMA: Final = 1
FOLDER: Final = Path(__file__).parent / "suites"
_KEYS: Final = (
    "schema", "name", "version", "title", "model", "seeds", "systems", "metrics", "items", "reference", "encoders",
    "compare", "claims", "expect", "notes",
)  # fmt: skip


@dataclass(frozen=True)
class SplitSpec:
    """A split of the micro-world: its name, seed and number of items."""

    split: str
    seed: int
    n: int


@dataclass(frozen=True)
class EncoderSpec:
    """Names of the embedders: sounds with captions; sounds with images; the images; the factor probe."""

    sound_text: str
    sound_image: str
    image: str
    probe: str


@dataclass(frozen=True)
class Claim:
    """Systems from best to worst, as somebody says."""

    says: str
    order: tuple[str, ...]


@dataclass(frozen=True)
class Expectation:
    """One thing that must hold: `better` beats `worse` by their paired interval (with `tie`: is not beaten), or the
    value of `system` lies between `low` and `high`.
    """

    metric: str
    says: str
    better: str | None = None
    worse: str | None = None
    tie: bool = False
    system: str | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Suite:
    """One suite, as its file says. `raw` is that file."""

    name: str
    version: int
    title: str
    model: str
    seeds: tuple[int, ...]
    systems: tuple[SystemSpec, ...]
    metrics: tuple[str, ...]
    items: SplitSpec | None
    reference: SplitSpec | None
    encoders: EncoderSpec
    pairs: tuple[tuple[str, str], ...]
    compared_metrics: tuple[str, ...]
    claims: tuple[Claim, ...]
    expectations: tuple[Expectation, ...]
    notes: dict[str, str]
    raw: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def digest(self) -> str:
        return digest(self.raw)

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "version": self.version, "sha256": self.digest}


def suite_names() -> tuple[str, ...]:
    """Names of the suites that ship with the package, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_suite(name: str) -> Suite:
    """Load a suite by name. Raises BenchmarkError for an unknown one, with near names."""
    if name not in suite_names():
        raise unknown("suite", name, suite_names())
    return read_suite(FOLDER / f"{name}.toml")


def read_suite(path: Path) -> Suite:
    """Read a suite file.

    Raises:
        BenchmarkError: not TOML, a key that is missing or unknown, or a name that does not exist.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BenchmarkError(f"{path} is not TOML: {error}") from None
    for key in raw:
        if key not in _KEYS:
            raise unknown(f"key in {path.name}", key, _KEYS)
    if raw.get("schema") != SCHEMA:
        raise BenchmarkError(f"{path} has schema {raw.get('schema')}; this version reads {SCHEMA}")
    try:
        return _build(raw)
    except (KeyError, TypeError) as error:
        raise BenchmarkError(f"{path}: missing or misspelt key {error}; see suites/quickstart.toml") from error


def _build(raw: dict[str, Any]) -> Suite:
    compare = raw.get("compare", {"pairs": [], "metrics": []})
    suite = Suite(
        name=raw["name"],
        version=raw["version"],
        title=raw["title"],
        model=raw["model"],
        seeds=tuple(raw["seeds"]),
        systems=tuple(SystemSpec.parse(text) for text in raw["systems"]),
        metrics=check_metrics(raw["metrics"]),
        items=SplitSpec(**raw["items"]) if "items" in raw else None,
        reference=SplitSpec(**raw["reference"]) if "reference" in raw else None,
        encoders=EncoderSpec(**{key.replace("-", "_"): value for key, value in raw["encoders"].items()}),
        pairs=tuple((a, b) for a, b in compare["pairs"]),
        compared_metrics=tuple(compare["metrics"]),
        claims=tuple(Claim(claim["says"], tuple(claim["order"])) for claim in raw.get("claims", [])),
        expectations=tuple(Expectation(**wanted) for wanted in raw.get("expect", [])),
        notes=dict(raw.get("notes", {})),
        raw=raw,
    )
    named = {name for pair in suite.pairs for name in pair} | {name for claim in suite.claims for name in claim.order}
    for name in sorted(named):
        SystemSpec.parse(name)
    check_metrics(metric.partition("/")[0].partition("@")[0] for metric in suite.compared_metrics)
    return suite
