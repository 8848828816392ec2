"""Who is to be paid for what: the one place where panel ids are put beside what people did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from clipsonic_listening_test.export import utc
from clipsonic_listening_test.store import tables
from clipsonic_listening_test.study import Study


def people_to_pay(connection: Connection, study: Study) -> Iterator[dict[str, Any]]:
    """Panel ids of a study with what each has done."""
    session, person = tables.session.c, tables.person.c
    joined = tables.session.join(tables.person, person.hash == session.person)
    rows = connection.execute(
        select(tables.session, person.panel_id, person.visit.label("visited"))
        .select_from(joined)
        .where(session.study == study.id)
        .order_by(session.created_ms, session.number)
    ).mappings()
    for row in rows:
        visited = json.loads(row["visited"])
        yield {
            "panel": row["panel"],
            "panel_id": row["panel_id"],
            "visit": visited.get("SESSION_ID") or visited.get("assignmentId"),
            "participant": row["participant"],
            "outcome": row["outcome"],
            "code": study.panel.codes.get(row["outcome"] or ""),
            "pages_answered": row["position"],
            "minutes": round(((row["finished_ms"] or row["seen_ms"]) - row["created_ms"]) / 60_000, 1),
            "begun": utc(row["created_ms"]),
        }
