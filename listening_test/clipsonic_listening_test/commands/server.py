"""`serve`, `status`, `invite`, `panel`: run a study, see how it goes, ask people in."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipsonic_listening_test.commands import data
from clipsonic_listening_test.commands.options import Database, Json, StudyFolder, write_json
from clipsonic_listening_test.errors import ListeningTestError

if TYPE_CHECKING:
    from clipsonic_listening_test.server.run import Addresses

_ACTIONS = {
    "complete": "approve and pay",
    "failed_checks": "review by hand",
    "screened_out": "screened out: pay as the study's screen-out says",
    "technical": "pay; it was not their fault",
}


class PanelName(StrEnum):
    """Panels with addresses of their own."""

    prolific = "prolific"
    mturk = "mturk"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (serve, status, invite, panel):
        app.command(no_args_is_help=True)(command)
    data.register(app)


def serve(
    study: StudyFolder,
    database: Database = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = 8000,
    root_path: Annotated[str, typer.Option(metavar="/PATH", help="Path under which a proxy shows the study.")] = "",
    https_cookies: Annotated[bool, typer.Option("--https-cookies", help="Cookies for https alone.")] = False,
    trusted_proxy: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="Proxy whose X-Forwarded-For is believed; repeatable.")
    ] = None,
    sessions_per_hour: Annotated[
        int, typer.Option(min=1, metavar="N", help="New sessions of one address in an hour; many raters may share one.")
    ] = 100,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the study in this machine's browser.")] = False,
    json_file: Json = None,
) -> None:
    """Serve a study. Answers are on disk before they are acknowledged; stopped or killed, the same command goes on.

    clipsonic-listen serve study
    """
    import logging

    from clipsonic_listening_test.server.run import Serving, serve

    path = root_path.rstrip("/")
    if path and not path.startswith("/"):
        raise ListeningTestError(f"--root-path {root_path} does not start with /; expected for example /study1")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)

    def started(addresses: Addresses) -> None:
        record = {"schema": 1, "study": addresses.study, "monitor": addresses.monitor, "database": addresses.database}
        write_json(json_file, record)
        if json_file != "-":
            sys.stdout.write(f"Study:   {addresses.study}\nMonitor: {addresses.monitor}  (the link works once)\n")
            sys.stdout.write(f"Ratings: {addresses.database}\nStop with Ctrl+C; the same command goes on.\n")
        sys.stdout.flush()
        if open_browser:
            import webbrowser

            webbrowser.open(addresses.study)

    serve(
        Serving(
            study=study,
            database=database,
            host=host,
            port=port,
            root_path=path,
            https_cookies=https_cookies,
            trusted_proxies=tuple(trusted_proxy or ()),
            sessions_per_hour=sessions_per_hour,
        ),
        started,
    )


def status(study: StudyFolder, database: Database = None, json_file: Json = None) -> None:
    """How a study goes: sessions, outcomes, ratings per page, alerts."""
    import time

    from clipsonic_listening_test.store.open import reading
    from clipsonic_listening_test.store.progress import progress
    from clipsonic_listening_test.study import load_study

    loaded = load_study(study)
    with reading(database, study) as connection:
        found = progress(connection, loaded, time.time_ns() // 1_000_000)
    write_json(json_file, {"schema": 1, "study": loaded.id, "config_hash": loaded.digest} | found)
    if json_file != "-":
        _show(found)


def invite(
    study: StudyFolder,
    count: Annotated[int, typer.Argument(min=1, max=10_000, help="How many links.")],
    url: Annotated[str, typer.Option(metavar="URL", help="Address of the study.")] = "http://127.0.0.1:8000/",
    database: Database = None,
    json_file: Json = None,
) -> None:
    """Make one-time links: each opens one session, which it also continues. They are shown once and not stored."""
    import time

    from clipsonic_listening_test.store.open import writing
    from clipsonic_listening_test.store.people import make_invites
    from clipsonic_listening_test.study import load_study

    loaded = load_study(study)
    if loaded.panel.kind != "invite":
        raise ListeningTestError(f"{study} takes anybody of panel {loaded.panel.kind!r}; make it with --panel invite")
    with writing(database, study) as store:
        now = time.time_ns() // 1_000_000
        codes = store.write_now(lambda connection: make_invites(connection, store.key, loaded.id, count, now))
    links = [f"{url.rstrip('/')}/?invite={code}" for code in codes]
    write_json(json_file, {"schema": 1, "study": loaded.id, "links": links})
    if json_file != "-":
        sys.stdout.write("".join(f"{link}\n" for link in links))


def panel(
    name: Annotated[PanelName, typer.Argument(help="Which panel.")],
    study: StudyFolder,
    url: Annotated[str, typer.Option(metavar="URL", help="Address of the study, as participants reach it.")],
    json_file: Json = None,
) -> None:
    """What to paste into a panel's form: the study's address, the completion codes, the time it takes at the least."""
    from clipsonic_listening_test.assign import Filled, deal
    from clipsonic_listening_test.server.judge import expected_seconds
    from clipsonic_listening_test.study import load_study

    loaded = load_study(study)
    if loaded.panel.kind != name.value:
        raise ListeningTestError(f"{study} was made for panel {loaded.panel.kind!r}; make it with --panel {name.value}")
    address = url.rstrip("/") + "/"
    if name is PanelName.prolific:
        names = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
        address += "?" + "&".join(f"{each}={{{{%{each}%}}}}" for each in names)
    seconds = [expected_seconds(loaded, deal(loaded, 0, group, Filled())) for group in loaded.groups]
    codes = [
        {"outcome": outcome, "code": code, "action": _ACTIONS.get(outcome, "")}
        for outcome, code in loaded.panel.codes.items()
    ]
    minutes = round(max(seconds) / 60, 1)
    write_json(json_file, {"schema": 1, "address": address, "codes": codes, "minutes_at_least": minutes})
    if json_file != "-":
        sys.stdout.write(f"Address: {address}\nTime:    {minutes:g} minutes at the least\n")
        for each in codes:
            sys.stdout.write(f"Code:    {each['code']:<12} {each['outcome']}: {each['action']}\n")


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    counts = found["sessions"] | found["outcomes"]
    sys.stdout.write(
        "Sessions: " + ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items()) + "\n"
    )
    sys.stdout.write("Groups:   " + ", ".join(f"{group} {number}" for group, number in found["groups"].items()) + "\n")
    table = Table()
    for title in ("page", "type", "answered", "held", "left at", "target", "mean s"):
        table.add_column(title, justify="left" if title in ("page", "type") else "right")
    for page in found["pages"]:
        cells = [page[key] for key in ("page", "type", "answered", "held", "dropped", "target", "mean_s")]
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    Console(file=sys.stdout).print(table)
    for alert in found["alerts"]:
        sys.stdout.write(f"ALERT {alert['kind']}: {json.dumps(alert['detail'], ensure_ascii=False)}\n")
