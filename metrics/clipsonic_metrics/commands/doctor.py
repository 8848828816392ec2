"""`doctor`: does this installation compute what it should?"""

from __future__ import annotations

import typer

from clipsonic_metrics.commands.options import Json


def doctor(json: Json = None) -> None:
    """Check the installation: versions, codecs, tokenizers, weights, known numbers. Exit code 1 if a check fails."""
    from clipsonic_metrics.doctor import examine
    from clipsonic_metrics.show import check_json, show_checks, write_json

    check_json(json)
    checks = examine()
    write_json({"schema": 1, "checks": [each.record() for each in checks]}, json)
    show_checks(checks, stdout=json != "-")
    if any(each.failed for each in checks):
        raise typer.Exit(1)
