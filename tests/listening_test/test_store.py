"""The store, on SQLite and on PostgreSQL: its schema, its one writer, what is erased and what is copied."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from listening_rig import StudyMaker, block
from sqlalchemy import Connection, insert, select, text

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.store import people
from clipsonic_listening_test.store.copy import backup, copy_into
from clipsonic_listening_test.store.database import database_url, open_engine, sqlite_url
from clipsonic_listening_test.store.migrate import MIGRATIONS, current, upgrade
from clipsonic_listening_test.store.open import Store, opened, reading, writing
from clipsonic_listening_test.store.sessions import (
    Arrival,
    add_cookie,
    already_filled,
    begin,
    by_cookie,
    change,
    store_study,
)
from clipsonic_listening_test.store.tables import alert, metadata, session, setting
from clipsonic_listening_test.store.writer import StoreUnavailable
from clipsonic_listening_test.study import Study, load_study

SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
def upgrade():
    op.add_column("session", sa.Column("added", sa.Text(), nullable=False, server_default="new"))
"""


@pytest.fixture
def store(database: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    store = Store(database_url(database, tmp_path), tmp_path)
    yield store
    store.close()


def dealing_study(folder: Path, pages: int = 6, **members: object) -> Study:
    maker = StudyMaker(folder)
    trials = [maker.trial(f"t{n}", 2) for n in range(pages)]
    return load_study(maker.write([block("main", *trials, order="random", **members)]))


def arrive(store: Store, study: Study, now: int, person: str | None = None) -> str:
    arrival = Arrival("open", person, None, "en", "{}", "tab")
    return store.write_now(lambda connection: begin(connection, study, arrival, now)).id


def note(connection: Connection, detail: str) -> str:
    connection.execute(insert(alert), {"kind": "test", "detail": detail, "at_ms": 0})
    return detail


def details(store: Store) -> list[str]:
    return list(store.read_now(lambda connection: connection.execute(select(alert.c.detail)).scalars().all()))


# Schema


def test_migrations_make_the_tables_that_the_code_uses(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_opening_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    assert store.upgraded_from is None
    again = Store(store.url, tmp_path)
    assert again.upgraded_from is None and again.key == store.key
    again.close()


def test_an_older_database_is_copied_and_upgraded(store: Store, tmp_path: Path) -> None:
    """A second version of the schema, as a later release would bring it, over a database with a session in it."""
    study = dealing_study(tmp_path / "study")
    store.write_now(lambda connection: store_study(connection, study, "{}", 0))
    arrive(store, study, now=0)
    newer = shutil.copytree(MIGRATIONS, tmp_path / "newer")
    (newer / "versions" / "v0002_second.py").write_text(SECOND)
    copied = upgrade(store.engine, tmp_path, newer)
    assert copied is not None and copied.parent == tmp_path
    with store.engine.connect() as connection:
        assert current(connection) == "0002"
        assert connection.execute(text("SELECT added FROM session")).scalars().all() == ["new"]
    before = sqlite3.connect(copied)
    assert before.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    assert before.execute("SELECT count(*) FROM session").fetchone() == (1,)
    before.close()
    assert upgrade(store.engine, tmp_path, newer) is None
    with pytest.raises(ListeningTestError, match="schema 0002, of a newer version; this one knows up to 0001"):
        upgrade(store.engine, tmp_path)


def test_an_upgrade_that_fails_changes_nothing(store: Store, tmp_path: Path) -> None:
    newer = shutil.copytree(MIGRATIONS, tmp_path / "newer")
    (newer / "versions" / "v0002_second.py").write_text(SECOND + "    raise RuntimeError('half-way')\n")
    with pytest.raises(RuntimeError, match="half-way"):
        upgrade(store.engine, tmp_path, newer)
    with store.engine.connect() as connection:
        assert current(connection) == "0001"
        assert "added" not in {column["name"] for column in _columns(connection)}


def _columns(connection: Connection) -> list[dict[str, object]]:
    from sqlalchemy import inspect

    return [dict(column) for column in inspect(connection).get_columns("session")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sqlite://", "a database in memory would lose every answer"),
        ("sqlite:///:memory:", "a database in memory would lose every answer"),
        ("mysql://root@localhost/x", "--db names 'mysql'; expected a file, sqlite:///FILE or postgresql"),
        ("postgresql+asyncpg://x/y", "--db names 'postgresql+asyncpg'; expected"),
    ],
)
def test_other_databases_are_refused(given: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ListeningTestError, match=message.replace("+", r"\+")):
        database_url(given, tmp_path)


def test_urls(tmp_path: Path) -> None:
    assert database_url(None, tmp_path).database == str(tmp_path / "ratings.sqlite")
    assert database_url("elsewhere.sqlite", tmp_path).database == "elsewhere.sqlite"
    assert database_url("postgresql://me@host/db", tmp_path).drivername == "postgresql+psycopg"


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ListeningTestError, match="cannot be opened") as error:
        Store(database_url("postgresql://me:secret@127.0.0.1:1/db", tmp_path), tmp_path)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ListeningTestError, match="cannot be opened"):
        Store(sqlite_url(tmp_path / "absent" / "x.sqlite"), tmp_path)


def test_settings_that_durability_rests_on(store: Store) -> None:
    with store.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
            assert found == ["wal", 2]
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
            assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match="readonly|read-only"):
        store.read_now(lambda connection: note(connection, "x"))


# The writer


def test_a_write_is_there_when_it_is_acknowledged(store: Store) -> None:
    assert store.write_now(lambda connection: note(connection, "one")) == "one"
    assert details(store) == ["one"]


def test_waiting_writes_are_committed_together(store: Store) -> None:
    """While the writer is held, jobs queue up; they then share transactions, and all are there."""
    held, go = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        held.set()
        go.wait(10)

    transactions: list[int] = []
    original = store.writer._transact
    store.writer._transact = lambda jobs: (transactions.append(len(jobs)), original(jobs))[1]  # type: ignore[method-assign]
    first = store.writer.submit(hold)
    held.wait(10)
    futures = [store.writer.submit(lambda connection, n=n: note(connection, str(n))) for n in range(100)]
    go.set()
    wait([first, *futures], timeout=20)
    assert sorted(details(store)) == sorted(map(str, range(100)))
    assert transactions == [1, 64, 36]


def test_a_job_that_fails_undoes_itself_alone(store: Store) -> None:
    held, go = threading.Event(), threading.Event()
    store.writer.submit(lambda _: (held.set(), go.wait(10)))
    held.wait(10)

    def fail(connection: Connection) -> None:
        note(connection, "of the failed job")
        raise ValueError("its own fault")

    def twice(connection: Connection) -> None:
        note(connection, "also not")
        for _ in range(2):
            connection.execute(insert(setting), {"name": "same", "value": "x"})

    good = store.writer.submit(lambda connection: note(connection, "before"))
    bad = [store.writer.submit(fail), store.writer.submit(twice)]
    also_good = store.writer.submit(lambda connection: note(connection, "after"))
    go.set()
    assert (good.result(10), also_good.result(10)) == ("before", "after")
    with pytest.raises(ValueError, match="its own fault"):
        bad[0].result(10)
    with pytest.raises(Exception, match=r"UNIQUE|duplicate key"):
        bad[1].result(10)
    assert details(store) == ["before", "after"]


def test_what_the_database_refuses_is_not_acknowledged_and_harms_nobody_else(store: Store) -> None:
    held, go = threading.Event(), threading.Event()
    store.writer.submit(lambda _: (held.set(), go.wait(10)))
    held.wait(10)
    bad = store.writer.submit(lambda connection: connection.execute(text("SELECT * FROM nothing_of_this_name")))
    good = store.writer.submit(lambda connection: note(connection, "kept"))
    go.set()
    with pytest.raises(StoreUnavailable):
        bad.result(10)
    assert good.result(10) == "kept" and details(store) == ["kept"]
    assert store.writer.failure is None  # the commit after it succeeded


def test_closing_commits_what_waits(store: Store) -> None:
    held, go = threading.Event(), threading.Event()
    store.writer.submit(lambda _: (held.set(), go.wait(10)))
    held.wait(10)
    late = store.writer.submit(lambda connection: note(connection, "late"))
    closing = threading.Thread(target=store.writer.close)
    closing.start()
    go.set()
    closing.join(10)
    assert late.result(0) == "late" and details(store) == ["late"]
    with pytest.raises(StoreUnavailable):
        store.writer.submit(lambda connection: note(connection, "too late"))


# Sessions


def test_leases_end_and_pages_are_given_again(store: Store, tmp_path: Path) -> None:
    study = dealing_study(tmp_path / "study", 6, per_participant=3)
    store.write_now(lambda connection: store_study(connection, study, "{}", 0))
    minute = 60_000
    gone = arrive(store, study, now=0)
    filled = store.read_now(lambda connection: already_filled(connection, study, 1))
    assert sum(filled.pages.values()) == 3 and filled.groups == {"A": 1}
    store.write_now(lambda connection: change(connection, gone, position=1))  # answers one and leaves
    after = store.read_now(lambda connection: already_filled(connection, study, 41 * minute))
    assert sum(after.pages.values()) == 1 and after.groups == {}
    store.write_now(lambda connection: change(connection, gone, outcome="screened_out"))
    screened = store.read_now(lambda connection: already_filled(connection, study, 41 * minute))
    assert screened.pages == {}


def test_counts_differ_by_at_most_one_after_drop_outs(store: Store, tmp_path: Path) -> None:
    """Thirty sessions through the real tables, every third of which leaves in the middle; then enough others."""
    study = dealing_study(tmp_path / "study", 6, per_participant=2, ratings_per_page=8)
    store.write_now(lambda connection: store_study(connection, study, "{}", 0))
    now = 0
    from clipsonic_listening_test.assign import StudyFull

    try:
        for number in range(200):
            now += 60_000
            id = arrive(store, study, now)
            done = {"position": 1} if number % 3 == 0 else {"position": 2, "outcome": "complete"}
            store.write_now(lambda connection, id=id, done=done: change(connection, id, **done))
            if number % 3 == 0:
                now += 41 * 60_000
    except StudyFull:
        pass
    filled = store.read_now(lambda connection: already_filled(connection, study, now + 10**9))
    counts = [filled.pages[page] for page in study.pages]
    assert set(counts) <= {8, 9}


def test_sessions_have_numbers_of_their_own(store: Store, tmp_path: Path) -> None:
    study = dealing_study(tmp_path / "study")
    store.write_now(lambda connection: store_study(connection, study, "{}", 0))
    other = replace(study, digest="another version")
    store.write_now(lambda connection: store_study(connection, other, "{}", 0))
    arrival = Arrival("open", None, None, "en", "{}", "tab")
    futures = [
        store.writer.submit(lambda connection, s=s: begin(connection, s, arrival, 0))
        for s in (study, other)
        for _ in range(5)
    ]
    begun = [future.result(20) for future in futures]
    assert [each.number for each in begun] == [0, 1, 2, 3, 4] * 2
    assert len({each.participant for each in begun}) == len({each.secret for each in begun}) == 10


def test_two_stores_on_one_database_deal_one_after_the_other(store: Store, tmp_path: Path) -> None:
    """Two processes do not double a number, even when both deal at the same time."""
    study = dealing_study(tmp_path / "study")
    store.write_now(lambda connection: store_study(connection, study, "{}", 0))
    other = Store(store.url, tmp_path)
    arrival = Arrival("open", None, None, "en", "{}", "tab")
    futures = [
        each.writer.submit(lambda connection: begin(connection, study, arrival, 0))
        for _ in range(20)
        for each in (store, other)
    ]
    numbers = [future.result(30).number for future in futures]
    other.close()
    assert sorted(numbers) == list(range(40))


# People


def test_panel_ids_are_stored_once_and_under_this_databases_key(store: Store, tmp_path: Path) -> None:
    hash = people.keyed_hash(store.key, "prolific", "p-1")
    assert hash != people.keyed_hash("00" * 32, "prolific", "p-1")
    for _ in range(2):
        store.write_now(lambda connection: people.remember(connection, hash, "prolific", "p-1", {"SESSION_ID": "s"}, 0))
    assert store.read_now(lambda connection: people.visit_of(connection, hash)) == {"SESSION_ID": "s"}
    assert store.read_now(lambda connection: people.visit_of(connection, "unknown")) == {}


@pytest.mark.parametrize("keep", [False, True])
def test_erasing_leaves_nothing_that_leads_to_a_person(store: Store, tmp_path: Path, keep: bool) -> None:
    study = dealing_study(tmp_path / "study")
    store.write_now(lambda connection: store_study(connection, study, "{}", 0))
    hash = people.keyed_hash(store.key, "prolific", "pid-to-erase")
    store.write_now(lambda connection: people.remember(connection, hash, "prolific", "pid-to-erase", {}, 0))
    id = arrive(store, study, 0, hash)
    store.write_now(lambda connection: add_cookie(connection, id, "cookie", 0))
    other = arrive(store, study, 0)
    found = store.read_now(lambda connection: people.find(connection, store.key, "pid-to-erase"))
    assert found.sessions == (id,) and found.panel_id
    store.write_now(lambda connection: people.erase(connection, store.key, "pid-to-erase", keep_ratings=keep))
    store.scrub()
    rows = store.read_now(lambda connection: connection.execute(select(session.c.id, session.c.person)).all())
    assert sorted(rows) == sorted([(other, None), *([(id, None)] if keep else [])])
    assert store.read_now(lambda connection: by_cookie(connection, "cookie")) is None
    assert not store.read_now(lambda connection: people.find(connection, store.key, "pid-to-erase")).sessions
    if store.engine.dialect.name == "sqlite":
        files = [path.read_bytes() for path in tmp_path.glob("ratings.sqlite*")]
        assert files and not any(b"pid-to-erase" in data or hash.encode() in data for data in files)


# Copies


def test_a_backup_is_whole_and_can_be_served(store: Store, tmp_path: Path) -> None:
    study = dealing_study(tmp_path / "study")
    store.write_now(lambda connection: store_study(connection, study, "{}", 0))
    id = arrive(store, study, 7)
    store.write_now(lambda connection: note(connection, "kept"))
    out = tmp_path / "copies" / "copy.sqlite"
    with pytest.raises(ListeningTestError, match="is no folder"):
        backup(store.engine, out)
    out.parent.mkdir()
    assert backup(store.engine, out) == out.stat().st_size
    assert [path.name for path in out.parent.iterdir()] == ["copy.sqlite"]
    copied = Store(sqlite_url(out), tmp_path)
    assert copied.upgraded_from is None and copied.key == store.key
    assert copied.read_now(lambda connection: connection.execute(select(session.c.id)).scalars().all()) == [id]
    copied.write_now(lambda connection: note(connection, "more"))
    assert details(copied) == ["kept", "more"]
    copied.close()


def test_a_backup_made_under_writing_is_one_moment(store: Store, tmp_path: Path) -> None:
    """Each job writes two rows; no copy has one of them alone."""
    stop = threading.Event()

    def pair(connection: Connection) -> None:
        note(connection, "first")
        time.sleep(0.001)
        note(connection, "second")

    def write() -> None:
        while not stop.is_set():
            store.write_now(pair)

    writing_thread = threading.Thread(target=write)
    writing_thread.start()
    sizes = []
    for number in range(5):
        backup(store.engine, tmp_path / f"{number}.sqlite")
        found = sqlite3.connect(tmp_path / f"{number}.sqlite")
        counts = dict(found.execute("SELECT detail, count(*) FROM alert GROUP BY detail").fetchall())
        found.close()
        assert counts.get("first", 0) == counts.get("second", 0)
        sizes.append(counts.get("first", 0))
        time.sleep(0.05)
    stop.set()
    writing_thread.join()
    assert sizes[-1] > sizes[0]


def test_a_copy_moves_into_an_empty_database_and_no_other(store: Store, tmp_path: Path) -> None:
    study = dealing_study(tmp_path / "study")
    source = Store(sqlite_url(tmp_path / "source.sqlite"), tmp_path)
    source.write_now(lambda connection: store_study(connection, study, "{}", 0))
    id = arrive(source, study, 7)
    source.write_now(lambda connection: note(connection, "kept"))
    assert copy_into(source.engine, store.engine) > 8
    with store.engine.connect() as connection:
        assert connection.execute(select(session.c.id)).scalars().all() == [id]
        assert people.database_key(connection) == source.key
    store.write_now(lambda connection: note(connection, "the next id is free"))
    with pytest.raises(ListeningTestError, match="holds data already"):
        copy_into(source.engine, store.engine)
    source.close()


def test_commands_open_what_is_there(tmp_path: Path) -> None:
    with (
        pytest.raises(ListeningTestError, match=r"ratings\.sqlite does not exist; start the study with"),
        reading(None, tmp_path),
    ):
        pass
    with (
        opened_empty(tmp_path),
        pytest.raises(ListeningTestError, match="schema None; this version reads 0001"),
        reading(None, tmp_path),
    ):
        pass
    with writing(None, tmp_path):
        pass
    with reading(None, tmp_path) as connection:
        assert connection.execute(select(session.c.id)).all() == []
    with pytest.raises(ListeningTestError, match="is the database itself"), opened(None, tmp_path) as engine:
        backup(engine, tmp_path / "ratings.sqlite")


def opened_empty(folder: Path):  # type: ignore[no-untyped-def]
    engine = open_engine(sqlite_url(folder / "ratings.sqlite"))
    connection = engine.connect()
    connection.exec_driver_sql("CREATE TABLE other (x)")
    connection.commit()
    return connection
