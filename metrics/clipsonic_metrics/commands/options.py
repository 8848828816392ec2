"""Options that several commands share, and the workspace that they describe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from clipsonic_metrics.listening import Listening
    from clipsonic_metrics.workspace import Workspace


class OnBadFile(StrEnum):
    """What to do about files that cannot be scored."""

    stop = "stop"
    skip = "skip"


Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the record here; - is stdout.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="X.csv", help="Write the scores as .csv, .parquet, .md or .tex.")
]
OnBad = Annotated[
    OnBadFile,
    typer.Option("--on-bad", help="Files that cannot be scored, or lack a partner: stop, or skip and name them."),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Embedding cache; default $CLIPSONIC_CACHE, else clipsonic in the user's cache folder."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Read and embed everything anew and keep nothing.")]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="[E=]PATH",
        help="Weights of the embedders; of one of several by E=PATH. Default: those that ship or were fetched.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the resampling, and of KAD's bandwidth subsample.")]
Embedders = Annotated[
    list[str] | None,
    typer.Option("--embedder", metavar="E[,E]", help="Embedders; repeat, or separate by commas. See `list`."),
]
ProfileName = Annotated[
    str | None, typer.Option("--profile", metavar="P", help="Hear as a peer does. See `list --profiles`.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads that read sounds while embedding goes on.")]


def names_of(given: Sequence[str] | None) -> list[str]:
    """Names given by repeating an option or separated by commas, without repeats."""
    parts = [name.strip() for each in given or () for name in each.split(",")]
    return list(dict.fromkeys(name for name in parts if name))


@contextmanager
def workspace(
    *,
    embedders: Sequence[str],
    on_bad: OnBadFile = OnBadFile.stop,
    cache: Path | None = None,
    no_cache: bool = False,
    weights: Sequence[str] | None = None,
    seed: int = 0,
    profile: str | None = None,
    workers: int | None = None,
) -> Iterator[Workspace]:
    """The workspace that the options describe, among the processes that torchrun started."""
    from clipsonic_metrics.distributed import join, leave
    from clipsonic_metrics.embedding import WORKERS
    from clipsonic_metrics.progress import start_progress
    from clipsonic_metrics.store import default_cache
    from clipsonic_metrics.workspace import Options, Workspace

    options = Options(
        cache=None if no_cache else cache or default_cache(),
        weights=_weights(weights or (), embedders),
        listening=_listening(profile),
        on_bad=on_bad.value,
        seed=seed,
        workers=workers or WORKERS,
        progress=start_progress,
        world=join(),
    )
    try:
        yield Workspace(options)
    finally:
        leave()


def _listening(profile: str | None) -> Callable[[str], Listening | None]:
    if profile is None:
        return lambda name: None
    from clipsonic_metrics.profiles import find_profile

    return find_profile(profile).listening


def _weights(given: Sequence[str], embedders: Sequence[str]) -> Mapping[str, Path]:
    """Weights by name of embedder. A path without a name is that of the embedders asked for, or of all the
    micro-world's when none is asked for."""
    from clipsonic_metrics.embedders import EMBEDDERS

    found: dict[str, Path] = {}
    for each in given:
        name, _, path = each.partition("=")
        if path and name in EMBEDDERS:
            found[name] = Path(path)
            continue
        takers = embedders or [name for name in EMBEDDERS if name.startswith("microworld-")]
        family = all(name.startswith("microworld-") for name in takers)
        if len(takers) > 1 and not family:
            raise MetricsError(f"--weights {each} could be of {', '.join(takers)}; say whose by --weights NAME={each}")
        if path and not Path(each).exists():
            raise MetricsError(f"--weights {each}: {name!r} is no embedder; there are {', '.join(EMBEDDERS)}")
        found |= {name: Path(each) for name in takers if name not in found}
    return found
