"""The schema's versions. A database is brought to this program's version when it is opened, after a copy of it.

An older database is copied beside itself (SQLite) or into `BACKUPS` (PostgreSQL) before it is changed; a database of a
newer program is refused. Each version is a module in `migrations/versions`, run by Alembic in one transaction.
"""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.store.copy import backup

MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 7_046_302_114  # arbitrary; two servers that start at once upgrade one after the other


def upgrade(engine: Engine, backups: Path, migrations: Path = MIGRATIONS) -> Path | None:
    """Bring the schema to the newest version, making it where there is none.

    Returns:
        The copy that was made first, or None if there was nothing to lose.

    Raises:
        ListeningTestError: the database was made by a newer version of this program.
    """
    script = ScriptDirectory(str(migrations))
    with engine.connect() as connection:
        found = current(connection)
    newest = script.get_current_head()
    if found == newest:
        return None
    if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
        raise ListeningTestError(
            f"the database has schema {found}, of a newer version; this one knows up to {newest}: upgrade clipsonic"
        )
    copied = _copy_first(engine, backups, found) if found is not None else None
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return copied


def current(connection: Connection) -> str | None:
    """The schema's version, or None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def must_be_newest(connection: Connection) -> None:
    """Refuse to read a database of another version.

    Raises:
        ListeningTestError: with what to do about it.
    """
    found = current(connection)
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if found != newest:
        todo = (
            "upgrade it with: clipsonic-listen serve STUDY"
            if found is None or found < str(newest)
            else "upgrade clipsonic"
        )
        raise ListeningTestError(f"the database has schema {found}; this version reads {newest}: {todo}")


def _copy_first(engine: Engine, backups: Path, found: str) -> Path:
    name = Path(str(engine.url.database)).name
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    copied = backups / f"{name}.before-{found}-{stamp}.sqlite"
    backup(engine, copied)
    return copied
