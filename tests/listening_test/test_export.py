"""What was collected comes out whole, tidy, without panel ids, in every format."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from listening_rig import answer_to, full_study, rating_study

from clipsonic_listening_test.columns import COLUMNS
from clipsonic_listening_test.export import TABLES, Exporter
from clipsonic_listening_test.formats import SUFFIX, escape_formula, write_table

Serve = Callable[..., Any]
FORMULA = '=HYPERLINK("http://evil.test"; "x")'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_study(tmp_path_factory.mktemp("made") / "study", panel={"kind": "prolific", "codes": {"complete": "C"}})


@pytest.fixture
def taken(serve_here: Serve, made: Path) -> Any:
    """A study that one participant has taken, with a formula in the questionnaire, and another has begun."""
    here = serve_here(made)
    rater = here.rater()
    rater.start(201, PROLIFIC_PID="pid77", STUDY_ID="s", SESSION_ID="v")
    while rater.state["finished"] is None:
        answer = answer_to(rater.view)
        if rater.view["type"] == "headphones":
            answer["headphones"] = here.quietest(rater)(rater.view)
        if rater.view["type"] == "questionnaire":
            answer["fields"] = {"device": "other", "which": FORMULA, "liked": 7, "age": None}
        rater.save(answer)
    here.later(3)
    other = here.rater()
    other.start(201, PROLIFIC_PID="pid78", STUDY_ID="s", SESSION_ID="v")
    other.next()
    return here


def tables_of(here: Any) -> dict[str, list[dict[str, Any]]]:
    with here.store.readers.connect() as connection:
        exporter = Exporter(connection)
        return {name: list(exporter.table(name)) for name in TABLES}


def test_every_answer_is_there_in_its_columns(taken: Any) -> None:
    tables = tables_of(taken)
    for name, columns in COLUMNS.items():
        assert tables[name], name
        assert all(set(row) == set(columns) for row in tables[name]), name
    assert len(tables["ratings"]) == len(taken.rows("rating")) == 12
    assert len(tables["choices"]) == 2 and len(tables["pages"]) == 14 and len(tables["sessions"]) == 2
    assert len(tables["listening"]) == len(taken.rows("listening"))
    assert len(tables["events"]) == 7  # one on each trial
    assert "pid7" not in json.dumps(tables)


def test_ratings_say_what_they_are_of(taken: Any) -> None:
    rows = {row["stimulus_id"]: row for row in tables_of(taken)["ratings"]}
    hidden = rows["m-hidden"]
    assert (hidden["role"], hidden["system"], hidden["page"], hidden["pass"]) == (
        "hidden_reference",
        None,
        "mushra",
        "fidelity",
    )
    ours = rows["m-a"]
    mine = next(row for row in taken.rows("page") if (row["session"], row["page"]) == (ours["session"], "mushra"))
    arranged = json.loads(mine["arrangement"])["stimuli"]
    assert ours["position"] == arranged.index(3) + 1 and ours["label"] == "ABCD"[arranged.index(3)]
    assert ours["score"] == 50 + arranged.index(3) and ours["unset"] is False and ours["missing"] is None
    assert (ours["n_plays"], ours["seconds_heard"], ours["coverage"]) == (2, 1.0, 1.0)
    assert (ours["first_play_ms"], ours["last_move_ms"], ours["page_ms"]) == (100, 900, 1234)
    assert ours["order_seed"].startswith("3/mushra/") and ours["config_hash"] == taken.study.digest
    assert ours["server_time"] == "2027-01-15T08:00:00.000Z" and ours["outcome"] == "complete"
    assert ours["client_browser"] == "test" and ours["flags"] == "" and ours["schema_version"] == 1
    assert rows["training-s0"]["training"] is True and rows["training-s0"]["flags"] == "training"
    assert rows["check-s1"]["flags"] == "instructed"
    assert rows["relevance-s0"]["prompt_id"] == "p1"


def test_choices_say_what_stood_against_what(taken: Any) -> None:
    pair, abx = tables_of(taken)["choices"]
    assert {pair["system_a"], pair["system_b"]} == {"ours", "theirs"}
    assert pair["choice"] == "A" and pair["stimulus_id"] == pair["stimulus_a"] and pair["system"] == pair["system_a"]
    assert pair["correct"] is None and abx["correct"] in (True, False)


def test_events_name_their_stimulus(taken: Any) -> None:
    for row in tables_of(taken)["events"]:
        assert row["event"] == "play" and row["at_ms"] == 12.5 and row["label"] == "A"
        assert row["stimulus_id"] in taken.study.stimuli


def test_fields_pages_and_sessions(taken: Any) -> None:
    tables = tables_of(taken)
    fields = {row["field"]: row["value"] for row in tables["fields"]}
    assert fields == {"device": "other", "which": FORMULA, "liked": 7, "age": None}
    pages = {row["page"]: row for row in tables["pages"] if row["participant"] == tables["sessions"][0]["participant"]}
    assert pages["consent"]["consent"] is True and pages["headphones"]["passed"] is True
    assert pages["volume"]["volume"] == 0.5 and pages["check"]["passed"] is True
    first, second = tables["sessions"]
    assert (first["outcome"], second["outcome"]) == ("complete", None)
    assert (first["pages_answered"], second["pages_answered"]) == (13, 1)
    assert second["begun"] == "2027-01-15T08:03:00.000Z" and second["finished"] is None


@pytest.mark.parametrize("format", list(SUFFIX))
def test_every_format_holds_the_same(taken: Any, tmp_path: Path, format: str) -> None:
    with taken.store.readers.connect() as connection:
        exporter = Exporter(connection)
        for name, columns in COLUMNS.items():
            path = tmp_path / f"{name}{SUFFIX[format]}"
            count = write_table(path, exporter.table(name), format, list(columns))  # type: ignore[arg-type]
            expected = list(exporter.table(name))
            found = read(path, format)
            assert count == len(found) == len(expected)
            assert list(found[0]) == list(columns) or format == "jsonl"
            for row, given in zip(found, expected, strict=True):
                for column in ("session", "page", "stimulus_id", "score"):
                    if column in given:
                        assert str(row[column] if row[column] is not None else "") == str(
                            given[column] if given[column] is not None else ""
                        )
    assert not list(tmp_path.glob(".*"))


def read(path: Path, format: str) -> list[dict[str, Any]]:
    if format == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if format == "parquet":
        import pyarrow.parquet

        found: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        return found
    with path.open(encoding="utf-8-sig" if format == "spreadsheet-csv" else "utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_formula_runs_in_no_spreadsheet_and_stays_what_it_is_for_machines(taken: Any, tmp_path: Path) -> None:
    with taken.store.readers.connect() as connection:
        exporter = Exporter(connection)
        for format in ("csv", "spreadsheet-csv"):
            write_table(tmp_path / f"{format}.csv", exporter.table("fields"), format, list(COLUMNS["fields"]))  # type: ignore[arg-type]
    plain = [row["value"] for row in read(tmp_path / "csv.csv", "csv")]
    escaped = [row["value"] for row in read(tmp_path / "spreadsheet-csv.csv", "spreadsheet-csv")]
    assert FORMULA in plain and f"'{FORMULA}" in escaped and FORMULA not in escaped


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_run(start: str) -> None:
    assert escape_formula(f"{start}1") == f"'{start}1"
    assert escape_formula(-1.5) == -1.5 and escape_formula("a=b") == "a=b" and escape_formula(None) is None


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    for format, suffix in SUFFIX.items():
        path = tmp_path / f"{format}{suffix}"
        assert write_table(path, iter(()), format, ["session", "score"]) == 0  # type: ignore[arg-type]
    assert (tmp_path / "csv.csv").read_bytes() == b"session,score\r\n"
    assert read(tmp_path / "parquet.parquet", "parquet") == []


def test_a_write_that_fails_leaves_the_table_before(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, [{"a": 1}], "csv", ["a"])

    def broken() -> Any:
        yield {"a": 2}
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_table(path, broken(), "csv", ["a"])
    assert path.read_bytes() == b"a\r\n1\r\n" and [each.name for each in tmp_path.iterdir()] == ["t.csv"]


def test_what_played_the_sounds_is_known_once_they_were_played(serve_here: Serve, tmp_path: Path) -> None:
    """A browser has no sound device when the session begins; the pages that follow tell of it."""
    here = serve_here(rating_study(tmp_path / "study"))
    rater = here.rater()
    rater.start(201)
    rater.next()
    device = {"rate_hz": 48_000, "output_latency_s": 0.02, "max_channels": 2}
    rater.save(answer_to(rater.view, client=device))
    rater.save(answer_to(rater.view, client={"rate_hz": 48_000, "output_latency_s": None}))
    tables = tables_of(here)
    (session,) = tables["sessions"]
    assert session["client_max_channels"] == 2
    for row in (session, *tables["ratings"]):
        assert (row["client_rate_hz"], row["client_output_latency_s"]) == (48_000, 0.02)


def test_late_and_imported_answers_say_so(serve_here: Serve, tmp_path: Path) -> None:
    from clipsonic_listening_test.server.importing import import_answers

    here = serve_here(rating_study(tmp_path / "study", 2))
    rater = here.rater()
    rater.start(201)
    rater.next()
    here.later(24 * 60 + 1)
    content = {"schema": 1, "kind": "answers", "study": "tiny", "participant": rater.state["participant"]}
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(content | {"answers": [answer_to(rater.view)]}))
    assert import_answers(here.service, path).stored == 1
    assert {row["flags"] for row in tables_of(here)["ratings"]} == {"late;imported"}


def test_what_was_erased_is_not_exported(taken: Any) -> None:
    from clipsonic_listening_test.store.people import erase

    key = taken.store.key
    taken.store.write_now(lambda connection: erase(connection, key, "pid77", keep_ratings=True))
    tables = tables_of(taken)
    assert len(tables["ratings"]) == 12 and tables["fields"] == [] and tables["events"] == []
    assert tables["sessions"][0]["participant"].startswith("erased-")
    taken.store.write_now(lambda connection: erase(connection, key, "pid78", keep_ratings=False))
    assert len(tables_of(taken)["sessions"]) == 1
