"""Who arrives: what a panel's or an invitation's link says, and whether this study takes it.

A panel id alone opens a session where it was left, and shows nothing that was answered. The same person with another
visit (SESSION_ID, assignmentId) is somebody who takes part twice, and is told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.shape import TOKEN, invalid, members, number, words
from clipsonic_listening_test.store.people import keyed_hash
from clipsonic_listening_test.study import Study

PARAMETERS: Final = (
    "PROLIFIC_PID", "STUDY_ID", "SESSION_ID", "workerId", "assignmentId", "hitId", "turkSubmitTo", "invite",
)  # fmt: skip
PREVIEW: Final = "ASSIGNMENT_ID_NOT_AVAILABLE"
_SUBMIT_TO: Final = ("www.mturk.com", "workersandbox.mturk.com")
_PANELS: Final = (("prolific", "PROLIFIC_PID", "SESSION_ID"), ("mturk", "workerId", "assignmentId"))


@dataclass(frozen=True)
class Visitor:
    """panel: `prolific`, `mturk`, `invite` or `open`. panel_id, visit: the panel's words. person: the keyed hash."""

    panel: str
    panel_id: str | None
    visit: str | None
    person: str | None
    visit_hash: str | None
    parameters: Mapping[str, str]


def read_parameters(raw: Any) -> dict[str, str]:
    """Parameters of a link. Ids match a pattern; an address to post back to is MTurk's.

    Raises:
        Refusal: another shape.
    """
    given = members(raw, "parameters", (), PARAMETERS)
    found = {}
    for name, value in given.items():
        text = words(value, name, 200)
        if name == "turkSubmitTo":
            address = urlsplit(text)
            if address.scheme != "https" or address.hostname not in _SUBMIT_TO or address.port is not None:
                raise invalid("turkSubmitTo is no address of MTurk")
            text = f"https://{address.hostname}"
        elif not TOKEN.fullmatch(text):
            raise invalid(f"{name} is not 1 to 64 of A-Z a-z 0-9 _ -")
        found[name] = text
    return found


def read_client(raw: Any) -> dict[str, Any]:
    """What a browser says of itself. Raises Refusal."""
    given = members(raw, "client", (), ("browser", "rate_hz", "output_latency_s", "max_channels", "viewport"))
    for name in ("rate_hz", "output_latency_s", "max_channels"):
        if given.get(name) is not None:
            number(given[name], name, 0, 1e9)
    if given.get("browser") is not None:
        words(given["browser"], "browser", 300)
    viewport = given.get("viewport")
    if isinstance(viewport, list):
        if len(viewport) != 2:
            raise invalid("viewport is not [width, height]")
        for side in viewport:
            number(side, "viewport", 0, 1e6)
    elif viewport is not None:
        words(viewport, "viewport", 40)
    return given


def visitor(study: Study, key: str, parameters: Mapping[str, str]) -> Visitor:
    """Who arrives with these parameters; `key` is the database's. Somebody whom no panel names is nobody known.

    Raises:
        Refusal: a preview.
    """
    if parameters.get("assignmentId") == PREVIEW:
        raise Refusal("preview", "this is a preview; accept the task to begin")
    for panel, id_name, visit_name in _PANELS:
        if id_name in parameters and study.panel.kind in (panel, "open"):
            return _known(panel, parameters[id_name], parameters.get(visit_name, ""), key, parameters)
    if study.panel.kind == "invite" and "invite" in parameters:
        return _known("invite", parameters["invite"], "", key, {})
    return Visitor("open", None, None, None, None, {})


def may_begin(study: Study, who: Visitor) -> Refusal | None:
    """Why somebody new may not begin: the study's panel has not sent them."""
    if study.panel.kind == "open" or who.panel == study.panel.kind:
        return None
    names = {"prolific": "PROLIFIC_PID", "mturk": "workerId", "invite": "invite"}
    return Refusal("panel_id", f"this study's links carry {names[study.panel.kind]}; open the link you were given")


def _known(panel: str, id: str, visit: str, key: str, parameters: Mapping[str, str]) -> Visitor:
    return Visitor(panel, id, visit, keyed_hash(key, panel, id), keyed_hash(key, panel, id, visit), parameters)
