"""`audit`: what is wrong with a folder of sounds, before anything is computed from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clipsonic_metrics.commands.options import (
    Cache,
    Embedders,
    Json,
    NoCache,
    ProfileName,
    Weights,
    Workers,
    names_of,
    workspace,
)


def audit(
    sounds: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of sounds, or manifest .csv of id,file.")],
    reference: Annotated[Path | None, typer.Option(help="Another set, to be compared with it.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="CSV of id,caption that should fit the sounds.")] = None,
    embedder: Embedders = None,
    profile: ProfileName = None,
    weights: Weights = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    workers: Workers = None,
    json: Json = None,
) -> None:
    """List everything that is wrong with DIR: errors, which would stop a score, and warnings. Exit code 1 for errors.

    With --embedder, sounds too short for those embedders are errors too.
    """
    from clipsonic_metrics.audit import findings
    from clipsonic_metrics.scoring import lacking, unused
    from clipsonic_metrics.show import check_json, show_audit, write_json
    from clipsonic_metrics.ways import Inputs

    check_json(json)
    names = names_of(embedder)
    with workspace(
        embedders=names, cache=cache, no_cache=no_cache, weights=weights, profile=profile, workers=workers
    ) as work:
        inputs, needs = Inputs(sounds, reference, prompts=prompts), [] if prompts is None else ["prompts"]
        work.lack(sounds, lacking(inputs, needs))
        sets = work.audit([sounds] if reference is None else [sounds, reference], names)
    if sets is None:
        return
    warnings = findings(sets) + unused(inputs, needs, list(sets[0].facts))
    record = {
        "schema": 1,
        "sets": [
            {
                "path": str(each.path),
                "files": len(each.files),
                "errors": [{"file": file, "fault": fault} for file, fault in each.skipped().items()],
            }
            for each in sets
        ],
        "warnings": [each.record() for each in warnings],
    }
    write_json(record, json)
    show_audit(sets, warnings, stdout=json != "-")
    if any(each.faults for each in sets):
        raise typer.Exit(1)
