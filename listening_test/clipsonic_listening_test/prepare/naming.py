"""Ids from names of folders and files, so that a name can be found again from its id.

An id is 1 to 64 of A-Z a-z 0-9 _ -. Another character becomes a hyphen, as long as no two names become one id and a
letter or digit is left; the name itself stays in the study as the path of each source. Anything else is refused, with
every offending name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError

LONGEST: Final = 64


def ids_of(names: Iterable[str], what: str) -> dict[str, str]:
    """An id for each name; `what` says in errors whose names they are, e.g. "prompt".

    Raises:
        ListeningTestError: names that would share an id, are too long, or hold no letter or digit.
    """
    ids = {name: re.sub(r"[^A-Za-z0-9_-]", "-", name) for name in dict.fromkeys(names)}
    owners: dict[str, list[str]] = {}
    for name, id in ids.items():
        owners.setdefault(id, []).append(name)
    bad = [name for name, id in ids.items() if len(id) > LONGEST or not re.search("[A-Za-z0-9]", id)]
    bad += [name for shared in owners.values() if len(shared) > 1 for name in shared if name not in bad]
    if bad:
        listed = ", ".join(repr(name) for name in bad)
        raise ListeningTestError(
            f"{len(bad)} {what} names cannot be ids: {listed}; rename them to 1 to {LONGEST} of A-Z a-z 0-9 _ -, "
            "each to one of its own"
        )
    return ids


def changed(ids: dict[str, str], what: str) -> list[str]:
    """A line that says which names were changed into ids, or none."""
    pairs = [f"{name!r} is {id}" for name, id in ids.items() if name != id]
    return [f"ids of {len(pairs)} {what} names: {', '.join(pairs)}"] if pairs else []


def joined(*parts: str) -> str:
    """One id out of several: joined by "__" where that is short enough and can be taken apart, else with a digest."""
    plain = "__".join(parts)
    if len(plain) <= LONGEST and not any("__" in part or part[:1] == "_" or part[-1:] == "_" for part in parts):
        return plain
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    return f"{plain[: LONGEST - 13]}-{digest}"


def prefixed(prefix: str, id: str) -> str:
    """An id for what is made of another thing with an id, such as the repeat of a page."""
    plain = f"{prefix}-{id}"
    return plain if len(plain) <= LONGEST else joined(prefix, id)
