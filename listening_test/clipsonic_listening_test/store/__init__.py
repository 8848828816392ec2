"""The database of a study: what participants did, and nothing that could be lost once it was acknowledged.

tables        every table, and what its columns mean
database      an engine for a URL: SQLite (WAL, synchronous FULL) or PostgreSQL, with the same SQL on both
migrate       the schema's versions (Alembic), a copy before each upgrade
writer        one thread that commits queued writes together and only then acknowledges them
sessions      opening, continuing and ending sessions; what has been given to whom
answers       saving a page's answer once; drafts; alerts
people        panel ids, kept apart under a keyed hash; erasing a participant
copy          a backup while the server runs
"""
