"""What can be named: systems, metrics, suites. Visible dictionaries; nothing is imported until it is used.

A system is named `NAME` or `NAME:ARGUMENT`; `says_argument` tells what the argument is. `needs` is what an item must
have for the system to be asked about it.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from clipsonic_benchmarks.errors import BenchmarkError

Need = Literal["frame", "caption", "sound"]
Family = Literal["route", "text-trained", "control", "third-party"]


@dataclass(frozen=True)
class SystemEntry:
    """Facts about a system that are known before it is imported."""

    target: str
    family: Family
    says: str
    needs: tuple[Need, ...] = ()
    says_argument: str = ""
    after: str | None = None
    """The system whose sounds this one plays; it runs first, and is added to a run that lacks it."""


_MODEL: Final = "clipsonic_benchmarks.systems.clipsonic:"
_CONTROL: Final = "clipsonic_benchmarks.systems.controls:"
_FOLDER: Final = "clipsonic_benchmarks.systems.folder:Folder"
_WEIGHTS: Final = "model folder, or the name of a shipped one"

SYSTEMS: Final[dict[str, SystemEntry]] = {
    "clipsonic-iq": SystemEntry(_MODEL + "Routed", "route", "CLIPSonic asked by the frame", ("frame",), _WEIGHTS),
    "clipsonic-pd": SystemEntry(
        _MODEL + "Routed", "route", "asked by the caption through the pretrained prior", ("caption",), _WEIGHTS
    ),
    "clipsonic-sd": SystemEntry(
        _MODEL + "Routed", "route", "asked by the caption through the prior of the target data", ("caption",), _WEIGHTS
    ),
    "clipsonic-zs": SystemEntry(_MODEL + "Routed", "route", "asked by the caption, zero-shot", ("caption",), _WEIGHTS),
    "clipsonic-shift": SystemEntry(
        _MODEL + "Routed",
        "route",
        "asked by the caption, shifted by the difference of the means",
        ("caption",),
        _WEIGHTS,
    ),
    "clip-tta": SystemEntry(
        _MODEL + "Routed", "text-trained", "trained on captions, CLIP text condition", ("caption",), _WEIGHTS
    ),
    "clap-tta": SystemEntry(
        _MODEL + "ClapConditioned", "text-trained", "trained on captions, CLAP text condition", ("caption",), _WEIGHTS
    ),
    "reference": SystemEntry(_CONTROL + "Reference", "control", "the item's own sound", ("sound",)),
    "resynthesis": SystemEntry(
        _MODEL + "Resynthesis", "control", "the item's own sound through log-mel and vocoder", ("sound",), _WEIGHTS
    ),
    "nearest": SystemEntry(
        _MODEL + "Nearest", "control", "the reference-set sound whose frame is nearest", ("frame",), _WEIGHTS
    ),
    "unconditional": SystemEntry(_MODEL + "Unconditional", "control", "CLIPSonic asked nothing", (), _WEIGHTS),
    "shuffled": SystemEntry(
        _CONTROL + "Shuffled", "control", "clipsonic-iq's sounds, dealt to other items", (), "", after="clipsonic-iq"
    ),
    "noise": SystemEntry(_CONTROL + "Noise", "control", "white noise at the reference set's level"),
    "folder": SystemEntry(
        _FOLDER, "third-party", "somebody's sounds, named by item id", (), "folder of sounds (required)"
    ),
}

METRICS: Final[dict[str, str]] = {
    "fad": "Fréchet audio distance from the reference set, CLAP space; lower is better",
    "kad": "kernel audio distance from the reference set, CLAP space; lower is better",
    "clap-score": "cosine of sound and caption, CLAP space; higher is better",
    "clip-score": "100 x cosine of sound and frame, CLIP space; higher is better",
    "factor-accuracy": "share of items whose factor (kind, size, ...) a probe hears; higher is better",
    "retrieval": "share of sounds whose own caption is among the 1 or 10 nearest; higher is better",
}


def unknown(what: str, name: str, known: Iterable[str]) -> BenchmarkError:
    """The error for a name that does not exist: near names first, then all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    meant = f"; did you mean {' or '.join(near)}?" if near else ";"
    return BenchmarkError(f"unknown {what} {name!r}{meant} Known: {', '.join(names)}")


@dataclass(frozen=True)
class SystemSpec:
    """A system as the user names it: `NAME` or `NAME:ARGUMENT`."""

    name: str
    argument: str | None = None

    @classmethod
    def parse(cls, text: str) -> SystemSpec:
        """Raises BenchmarkError for an unknown name, or an argument that is missing or has no meaning."""
        name, colon, argument = text.partition(":")
        if name not in SYSTEMS:
            raise unknown("system", name, SYSTEMS)
        if colon and not argument:
            raise BenchmarkError(f"system {text!r} ends in a colon; expected {name} or {name}:ARGUMENT")
        if colon and not SYSTEMS[name].says_argument:
            raise BenchmarkError(f"system {name!r} takes no argument, got {argument!r}; type {name}")
        if name == "folder" and not argument:
            raise BenchmarkError("system 'folder' needs a folder of sounds; type folder:PATH")
        return cls(name, argument or None)

    @property
    def entry(self) -> SystemEntry:
        return SYSTEMS[self.name]

    @property
    def text(self) -> str:
        return self.name if self.argument is None else f"{self.name}:{self.argument}"

    @property
    def folder_name(self) -> str:
        """Name of the system's folder among the results: readable, safe, different for different systems."""
        if self.argument is None:
            return self.name
        safe = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(self.argument).name) or "argument"
        if self.argument == safe:
            return f"{self.name}+{safe}"
        from clipsonic_benchmarks.files import digest

        return f"{self.name}+{safe}-{digest(str(Path(self.argument).resolve()))[:8]}"


def check_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """The names, without repetition. Raises BenchmarkError for an unknown one."""
    for name in names:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    return tuple(dict.fromkeys(names))


def load(target: str) -> Any:
    """Import `module:attribute`.

    Raises:
        BenchmarkError: a library it needs is not installed.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0].startswith("clipsonic"):
            raise
        raise BenchmarkError(f"{module} needs {error.name!r}; type: pip install 'clipsonic[bench]'") from error
