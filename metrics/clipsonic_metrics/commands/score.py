"""`fad` and `score`: metrics of folders of sounds."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
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
    Out,
    ProfileName,
    Seed,
    Weights,
    Workers,
    names_of,
    workspace,
)
from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from clipsonic_metrics.ways import Inputs
    from clipsonic_metrics.workspace import Workspace


class Backend(StrEnum):
    """Whose code computes."""

    clipsonic = "clipsonic"
    frechet_audio_distance = "frechet-audio-distance"


def fad(
    reference: Annotated[Path, typer.Argument(help="Folder of reference sounds, manifest .csv, or .npz of `embed`.")],
    generated: Annotated[Path, typer.Argument(help="Folder of generated sounds, manifest .csv, or .npz of `embed`.")],
    embedder: Embedders = None,
    profile: ProfileName = None,
    backend: Annotated[
        Backend, typer.Option(help="Compute by another tool, for comparison (extra `peers`).")
    ] = Backend.clipsonic,
    on_bad: OnBad = OnBadFile.stop,
    cache: Cache = None,
    no_cache: NoCache = False,
    weights: Weights = None,
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    out: Out = None,
) -> None:
    """Fréchet audio distance of GENERATED from REFERENCE."""
    from clipsonic_metrics.ways import Inputs

    if backend is Backend.frechet_audio_distance:
        if profile is not None or out is not None or on_bad is not OnBadFile.stop:
            raise MetricsError(
                f"--backend {backend} has a protocol of its own; leave out --profile, --out and --on-bad"
            )
        _by_peer(reference, generated, names_of(embedder), weights, json)
        return
    names = names_of(embedder)
    with workspace(
        embedders=names,
        on_bad=on_bad,
        cache=cache,
        no_cache=no_cache,
        weights=weights,
        seed=seed,
        profile=profile,
        workers=workers,
    ) as work:
        _score(Inputs(generated, reference), ["fad"], names, work, json, out)


def score(
    generated: Annotated[Path, typer.Argument(help="Folder of generated sounds, manifest .csv, or .npz of `embed`.")],
    metrics: Annotated[str, typer.Option(metavar="M,M", help="Names of metrics, see `list`.")] = "fad",
    reference: Annotated[Path | None, typer.Option(help="Reference sounds (fad, kad, kl-..., precision, ...).")] = None,
    training: Annotated[Path | None, typer.Option(help="Sounds the system was trained on (memorisation).")] = None,
    prompts: Annotated[Path | None, typer.Option(help="CSV of id,caption (clap-score, retrieval).")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images or videos named by id (clip-score).")] = None,
    factors: Annotated[Path | None, typer.Option(help="CSV of id and one column per factor (factor-accuracy).")] = None,
    embedder: Embedders = None,
    profile: ProfileName = None,
    on_bad: OnBad = OnBadFile.stop,
    cache: Cache = None,
    no_cache: NoCache = False,
    weights: Weights = None,
    seed: Seed = 0,
    workers: Workers = None,
    json: Json = None,
    out: Out = None,
) -> None:
    """Several metrics of one folder by several embedders; sounds, captions and images are paired by id."""
    from clipsonic_metrics.ways import Inputs

    names = names_of(embedder)
    with workspace(
        embedders=names,
        on_bad=on_bad,
        cache=cache,
        no_cache=no_cache,
        weights=weights,
        seed=seed,
        profile=profile,
        workers=workers,
    ) as work:
        inputs = Inputs(generated, reference, training, prompts, images, factors)
        _score(inputs, names_of([metrics]), names, work, json, out)


def _score(
    inputs: Inputs,
    metrics: Sequence[str],
    embedders: Sequence[str],
    work: Workspace,
    json: str | None,
    out: Path | None,
) -> None:
    from clipsonic_metrics.export import check_table, write_table
    from clipsonic_metrics.scoring import score_folder
    from clipsonic_metrics.show import check_json, show_report, write_json

    check_json(json)
    if out is not None:
        check_table(out)
    report = score_folder(inputs, metrics, work, embedders=embedders)
    if report is None:
        return
    write_json(report.record(), json)
    if out is not None:
        write_table([each.record() for each in report.scored], out)
    show_report(report, stdout=json != "-")


def _by_peer(
    reference: Path, generated: Path, embedders: Sequence[str], weights: Sequence[str] | None, json: str | None
) -> None:
    from clipsonic_metrics.audit import require_usable
    from clipsonic_metrics.embedder import SoundEmbedder
    from clipsonic_metrics.peers import NAME, peer_fad
    from clipsonic_metrics.show import check_json, show_peer, write_json

    check_json(json)
    names = embedders or ["vggish"]
    with workspace(embedders=names, weights=weights, profile=NAME) as work:
        require_usable(work.audit([reference, generated], names) or [], "stop")
        scores = [peer_fad(reference, generated, name, work.embedder(name, SoundEmbedder)) for name in names]
    write_json({"schema": 1, "scores": [each.record() for each in scores]}, json)
    show_peer(scores, stdout=json != "-")
