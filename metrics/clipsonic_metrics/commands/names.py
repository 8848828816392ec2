"""`list`: what there is to compute, and with what."""

from __future__ import annotations

from typing import Annotated

import typer

from clipsonic_metrics.commands.options import Json


def list_names(
    profiles: Annotated[bool, typer.Option("--profiles", help="List the profiles of peers instead.")] = False,
    json: Json = None,
) -> None:
    """Metrics with unit, direction and version; embedders with what they take (logits: they classify sounds too) and
    their protocol, and what is not offered; with --profiles, how peers hear."""
    from clipsonic_metrics.show import check_json, show_names, show_profiles, write_json

    check_json(json)
    record = show_profiles(stdout=json != "-") if profiles else show_names(stdout=json != "-")
    write_json(record, json)
