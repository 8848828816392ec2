"""The owner's login: a token printed at the start, good once, exchanged for a cookie. There is no password."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from typing import Final

LOGIN_S: Final = 12 * 3600.0
_MOST: Final = 100


class Logins:
    """Who is logged in. Kept in memory: a restart prints a new token."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self._used = False
        self._cookies: OrderedDict[str, float] = OrderedDict()

    def exchange(self, token: str) -> str | None:
        """A cookie for the token, once; None for anything else."""
        right = secrets.compare_digest(token.encode(), self.token.encode())
        if not right or self._used:
            return None
        self._used = True
        return self.admit()

    def admit(self) -> str:
        """A new cookie."""
        cookie = secrets.token_urlsafe(24)
        self._cookies[_hash(cookie)] = time.monotonic()
        while len(self._cookies) > _MOST:
            self._cookies.popitem(last=False)
        return cookie

    def knows(self, cookie: str) -> bool:
        """Whether a cookie is logged in."""
        since = self._cookies.get(_hash(cookie))
        return since is not None and time.monotonic() - since < LOGIN_S

    def leave(self, cookie: str) -> None:
        """Log a cookie out."""
        self._cookies.pop(_hash(cookie), None)


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
