"""Everything that was collected, as tidy tables. One row says one thing, and no row is left out in silence.

    ratings    one row per (session, page, attempt, stimulus, attribute)
    choices    one row per (session, page, attempt, question) of pairs and ABX
    listening  one row per (session, page, attempt, stimulus), the mentioned reference too
    fields     one row per (session, page, field) of questionnaires
    pages      one row per (session, page, attempt)
    sessions   one row per session
    events     one row per play, stop, switch, seek, move, …

Training, instructed responses, late answers and sessions that ended otherwise than complete are in them and say so
(`training`, `flags`, `outcome`). Panel ids are in none of them. Ids are text. `order_seed` is what the order of the
stimuli was drawn from; `config_hash` is the version of the study, which is exported beside the tables, whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, func, select

from clipsonic_listening_test.assign import labels
from clipsonic_listening_test.pages import Page
from clipsonic_listening_test.store import tables
from clipsonic_listening_test.study import Study, study_from_json

SCHEMA: Final = 1
Row = dict[str, Any]
_PART: Final = 500


class Exporter:
    """Reads one database through one connection, so that all tables show the same moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        rows = connection.execute(select(tables.study.c.digest, tables.study.c.content)).all()
        self.contents: Mapping[str, str] = {digest: content for digest, content in rows}
        self._studies: Mapping[str, Study] = {digest: study_from_json(content) for digest, content in rows}

    def table(self, name: str) -> Iterator[Row]:
        """The rows of one of `TABLES`, in the order of sessions, pages and places."""
        return TABLES[name](self)

    def ratings(self) -> Iterator[Row]:
        """Scores with everything that an analysis asks for (one row each)."""
        heard = tables.listening
        rating = tables.rating
        same = and_(*(heard.c[name] == rating.c[name] for name in ("session", "position", "attempt", "label")))
        columns = [heard.c[name] for name in _HEARD]
        for row in self._answered(rating, [*columns], lambda joined: joined.outerjoin(heard, same)):
            page = self._page(row)
            place = _place(page, row["label"])
            yield (
                self._left(row, page)
                | self._stimulus(row, row["stimulus"], page)
                | {
                    "attribute": row["attribute"],
                    "score": row["score"],
                    "unset": row["score"] is None,
                    "missing": row["missing"],
                    "label": row["label"],
                    "position": place,
                    "n_plays": row["plays"],
                    **{name: row[name] for name in _HEARD[1:]},
                }
                | self._right(row, page)
            )

    def choices(self) -> Iterator[Row]:
        """Answers about pairs; `system_a` and `system_b` as shown."""
        for row in self._answered(tables.choice, []):
            page, study = self._page(row), self._studies[row["digest"]]
            first, second = (page.stimuli[at] for at in json.loads(row["arrangement"])["stimuli"])
            yield (
                self._left(row, page)
                | {
                    "question": row["question"],
                    "stimulus_a": first,
                    "stimulus_b": second,
                    "system_a": study.stimuli[first].system,
                    "system_b": study.stimuli[second].system,
                    "choice": row["label"] if not row["tie"] else "tie",
                    "stimulus_id": row["chosen"],
                    "system": None if row["chosen"] is None else study.stimuli[row["chosen"]].system,
                    "tie": row["tie"],
                    "missing": row["missing"],
                    "correct": row["correct"],
                }
                | self._right(row, page)
            )

    def listening(self) -> Iterator[Row]:
        """How each stimulus was listened to."""
        for row in self._answered(tables.listening, []):
            page = self._page(row)
            heard = {"label": row["label"], "n_plays": row["plays"], **{name: row[name] for name in _HEARD[1:]}}
            yield self._left(row, page) | self._stimulus(row, row["stimulus"], page) | heard

    def fields(self) -> Iterator[Row]:
        """Answers to questionnaires; several options of one field are joined by `;`."""
        for row in self._answered(None, []):
            page = self._page(row)
            for field, value in (json.loads(row["content"]).get("fields") or {}).items():
                joined = ";".join(value) if isinstance(value, list) else value
                yield self._left(row, page) | {"field": field, "value": joined}

    def pages(self) -> Iterator[Row]:
        """Answered pages."""
        for row in self._answered(None, []):
            page, content = self._page(row), json.loads(row["content"])
            client = content.get("client") or {}
            yield (
                self._left(row, page)
                | {"type": page.type, "passed": row["passed"], "consent": content.get("consent")}
                | {"volume": content.get("volume"), "n_events": len(json.loads(row["events"])), "source": row["source"]}
                | {name: client.get(name) for name in ("hidden_ms", "drift_ms", "rate_hz", "gain")}
                | self._right(row, page)
            )

    def sessions(self) -> Iterator[Row]:
        """Sessions, finished or not."""
        columns = tables.session.c
        rows = self._connection.execute(select(tables.session).order_by(columns.created_ms, columns.number)).mappings()
        for row in rows:
            client = json.loads(row["client"])
            yield {
                "study": row["study"],
                "config_hash": row["digest"],
                "session": row["id"],
                "participant": row["participant"],
                "panel": row["panel"],
                "session_number": row["number"],
                "group": row["group"],
                "language": row["language"],
                "outcome": row["outcome"],
                "pages_answered": row["position"],
                "volume": row["volume"],
                "begun": utc(row["created_ms"]),
                "last_seen": utc(row["seen_ms"]),
                "finished": utc(row["finished_ms"]),
                **_client(client),
                "client_max_channels": client.get("max_channels"),
                "client_viewport": _viewport(client.get("viewport")),
                "schema_version": SCHEMA,
            }

    def events(self) -> Iterator[Row]:
        """What was done on each page, by the page's own clock in milliseconds."""
        for row in self._answered(None, []):
            page, study = self._page(row), self._studies[row["digest"]]
            named = self._tokens(row, study)
            for at, event, token, value in json.loads(row["events"]):
                label, stimulus = named.get(token, (None, None))
                yield self._left(row, page) | {
                    "at_ms": at,
                    "event": event,
                    "label": label,
                    "stimulus_id": stimulus,
                    "value": value,
                }

    def outcomes(self) -> dict[str, int]:
        """How many sessions ended how; `unfinished` ones did not."""
        columns = tables.session.c
        rows = self._connection.execute(select(columns.outcome, func.count()).group_by(columns.outcome)).all()
        return {outcome or "unfinished": count for outcome, count in rows}

    def _answered(
        self, of: Table | None, columns: list[Any], join: Callable[[Any], Any] = lambda joined: joined
    ) -> Iterator[Mapping[str, Any]]:
        """Rows of a table of answers (or the answers themselves) with session, page and answer beside each."""
        session, page, answer = tables.session, tables.page, tables.answer
        joined: Any = answer.join(session, session.c.id == answer.c.session).join(
            page, and_(page.c.session == answer.c.session, page.c.position == answer.c.position)
        )
        order = [session.c.created_ms, session.c.number, answer.c.position, answer.c.attempt]
        chosen = [*session.c, *_without(page), *_without(answer)]
        names = [f"session_{each.name}" for each in session.c] + [each.name for each in chosen[len(session.c) :]]
        if of is not None:
            place = ("session", "position", "attempt")
            joined = joined.join(of, and_(*(of.c[name] == answer.c[name] for name in place)))
            own = [each for each in of.c if each.name not in place]
            chosen, names = [*chosen, *own], [*names, *(each.name for each in own)]
            order += [each for each in of.primary_key.columns if each.name not in place]
        chosen, names = [*chosen, *columns], [*names, *(each.name for each in columns)]
        query = select(*(each.label(f"c{at}") for at, each in enumerate(chosen))).select_from(join(joined))
        streamed = self._connection.execution_options(yield_per=_PART).execute(query.order_by(*order))
        for row in streamed:
            found = dict(zip(names, row, strict=True))
            yield found | {"digest": found["session_digest"]}

    def _page(self, row: Mapping[str, Any]) -> Page:
        return self._studies[row["digest"]].pages[row["page"]]

    def _left(self, row: Mapping[str, Any], page: Page) -> Row:
        study = self._studies[row["digest"]]
        return {
            "study": study.id,
            "config_hash": row["digest"],
            "session": row["session_id"],
            "participant": row["session_participant"],
            "panel": row["session_panel"],
            "session_number": row["session_number"],
            "group": row["session_group"],
            "page": page.id,
            "page_index": row["position"],
            "attempt": row["attempt"],
            "pass": page.pass_,
            "block": row["block"],
            "prompt_id": page.prompt,
            "training": page.training,
        }

    def _stimulus(self, row: Mapping[str, Any], id: str, page: Page) -> Row:
        stimulus = self._studies[row["digest"]].stimuli[id]
        prompt = page.prompt if stimulus.prompt is None else stimulus.prompt
        return {"prompt_id": prompt, "system": stimulus.system, "stimulus_id": id, "role": stimulus.role}

    def _right(self, row: Mapping[str, Any], page: Page) -> Row:
        study = self._studies[row["digest"]]
        flags = {
            "training": page.training,
            "instructed": page.instructed is not None,
            "late": row["late"],
            "imported": row["source"] == "file",
        }
        return {
            "page_ms": row["page_ms"],
            "order_seed": f"{study.seed}/{page.id}/{row['row']}",
            "replicate": page.replicate_of,
            **_client(json.loads(row["session_client"])),
            "language": row["session_language"],
            "outcome": row["session_outcome"],
            "flags": ";".join(name for name, holds in flags.items() if holds),
            "server_time": utc(row["received_ms"]),
            "schema_version": SCHEMA,
        }

    def _tokens(self, row: Mapping[str, Any], study: Study) -> dict[str | None, tuple[str | None, str | None]]:
        from clipsonic_listening_test.server.tokens import Shown
        from clipsonic_listening_test.store.sessions import assigned_page

        assigned = assigned_page(row["page"], row["block"], row["row"], json.loads(row["arrangement"]))
        shown = Shown(study, assigned, row["session_secret"], row["position"], row["attempt"])
        return {token: (slot.label, slot.thing) for token, slot in shown.slots.items()}


TABLES: Final[Mapping[str, Callable[[Exporter], Iterator[Row]]]] = {
    "ratings": Exporter.ratings,
    "choices": Exporter.choices,
    "listening": Exporter.listening,
    "fields": Exporter.fields,
    "pages": Exporter.pages,
    "sessions": Exporter.sessions,
    "events": Exporter.events,
}
_HEARD: Final = ("plays", "seconds_heard", "coverage", "first_play_ms", "last_move_ms")


def _without(table: Table) -> list[Any]:
    """A table's columns that `answer` does not name as well."""
    both = ("session", "position", "attempt") if table is tables.answer else ("session",)
    kept = [each for each in table.c if each.name not in both]
    return kept + ([tables.answer.c.attempt] if table is tables.answer else [])


def _place(page: Page, label: str) -> int:
    """Where a label stands on its page, 1 first."""
    return list(labels(page)).index(label) + 1


def _client(client: Mapping[str, Any]) -> Row:
    return {
        "client_browser": client.get("browser"),
        "client_rate_hz": client.get("rate_hz"),
        "client_output_latency_s": client.get("output_latency_s"),
    }


def _viewport(given: Any) -> str | None:
    return "x".join(f"{side:g}" for side in given) if isinstance(given, list) else given


def utc(milliseconds: int | None) -> str | None:
    """ISO 8601 in UTC."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
