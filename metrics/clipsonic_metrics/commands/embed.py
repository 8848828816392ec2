"""`embed` and `gap`: embeddings of a folder, and how far two modalities lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipsonic_metrics.commands.options import (
    Cache,
    Embedders,
    Json,
    NoCache,
    OnBad,
    OnBadFile,
    ProfileName,
    Seed,
    Weights,
    Workers,
    names_of,
    workspace,
)
from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from clipsonic_metrics.audit import Finding


def embed(
    sounds: Annotated[Path, typer.Argument(help="Folder of sounds, or manifest .csv of id,file.")],
    out: Annotated[Path, typer.Option(metavar="E.npz", help="Where to write; of several embedders, E.NAME.npz each.")],
    embedder: Embedders = None,
    profile: ProfileName = None,
    on_bad: OnBad = OnBadFile.stop,
    cache: Cache = None,
    no_cache: NoCache = False,
    weights: Weights = None,
    workers: Workers = None,
    json: Json = None,
) -> None:
    """Embed a folder of sounds; the file can stand for the folder in `fad`, `score` and `gap`."""
    from clipsonic_metrics.audit import findings
    from clipsonic_metrics.npz import save_embeddings
    from clipsonic_metrics.show import check_json, show_embedded, show_skipped, show_warnings, write_json
    from clipsonic_metrics.versions import all_versions

    if out.suffix != ".npz":
        raise MetricsError(f"--out {out} has suffix {out.suffix!r}; expected .npz")
    if not out.parent.is_dir():
        raise MetricsError(f"--out {out} cannot be written: {out.parent} is not a folder; choose another --out")
    check_json(json)
    names = names_of(embedder) or ["microworld-clap"]
    with workspace(
        embedders=names,
        on_bad=on_bad,
        cache=cache,
        no_cache=no_cache,
        weights=weights,
        profile=profile,
        workers=workers,
    ) as work:
        for name in names:
            work.want(sounds, name)
        if not work.embed():
            return
        written = []
        for name in names:
            made, path = work.set(sounds, name), out if len(names) == 1 else out.with_suffix(f".{name}.npz")
            save_embeddings(made, path)
            written.append({"embedder": name, "out": str(path)} | made.record())
        warnings = findings(list(work.audited.values()))
        said = [each.record() for each in warnings]
        write_json({"schema": 2, "sets": written, "versions": all_versions(), "warnings": said}, json)
        for name, facts in zip(names, written, strict=True):
            show_embedded(work.set(sounds, name), Path(facts["out"]), stdout=json != "-")
        show_skipped(sounds, written[0]["items"], written[0]["skipped"])
        show_warnings(warnings)


def gap(
    x: Annotated[Path | None, typer.Argument(metavar="[X.npz]", help="Embeddings of one modality.")] = None,
    y: Annotated[
        Path | None, typer.Argument(metavar="[Y.npz]", help="Embeddings of the other, with the same ids.")
    ] = None,
    prompts: Annotated[Path | None, typer.Option(help="CSV of id,caption.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images or videos named by id.")] = None,
    sounds: Annotated[Path | None, typer.Option(help="Folder of sounds named by id.")] = None,
    embedder: Annotated[
        list[str] | None,
        typer.Option(metavar="E[,E]", help="Embedder of both sides given by options, or two that share a space."),
    ] = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    weights: Weights = None,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Modality gap of two matched sets: two .npz files, or two of --sounds, --images and --prompts."""
    from clipsonic_metrics.gap import gap_of_files, gap_of_inputs
    from clipsonic_metrics.scoring import Scored
    from clipsonic_metrics.show import check_json, show_scores, show_warnings, write_json
    from clipsonic_metrics.versions import all_versions

    check_json(json)
    warnings: Sequence[Finding] = ()
    given = [option for option in (sounds, images, prompts) if option is not None]
    if x is not None and y is not None and not given:
        scored = [Scored(score, "files") for score in gap_of_files(x, y, seed=seed)]
    elif x is None and len(given) == 2:
        names = names_of(embedder)
        with workspace(embedders=names, cache=cache, no_cache=no_cache, weights=weights, seed=seed) as work:
            found = gap_of_inputs(work, names, sounds=sounds, images=images, prompts=prompts)
        if found is None:
            return
        scored, warnings = [Scored(score, found.embedder) for score in found.gap], found.warnings
    else:
        raise MetricsError("gap takes two .npz files, or two of --sounds, --images and --prompts, and not both")
    record = {"schema": 2, "scores": [each.record() for each in scored], "versions": all_versions()}
    write_json(record | {"warnings": [each.record() for each in warnings]}, json)
    show_scores(scored, stdout=json != "-")
    show_warnings(warnings)
