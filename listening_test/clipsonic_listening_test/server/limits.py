"""How often a session and an address may ask: token buckets in a bounded table, the longest unused dropped first."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from clipsonic_listening_test.server.refusal import Refusal

MOST_BUCKETS: Final = 20_000


@dataclass(frozen=True)
class Rate:
    """`burst` at once, then `per_second`."""

    burst: float
    per_second: float


@dataclass(frozen=True)
class Rates:
    """What is allowed. A class-room behind one address must pass; a loop in a script must not.

    session: requests of one session, but for sounds. media: sounds and pictures of one session. address: all requests
    of one address. opening: new sessions of one address. login: tries of one address at the monitor's login.
    """

    session: Rate = Rate(60, 10)
    media: Rate = Rate(600, 60)
    address: Rate = Rate(3000, 300)
    opening: Rate = Rate(100, 100 / 3600)
    login: Rate = Rate(10, 0.2)


@dataclass
class Limits:
    """The buckets. The clock is in seconds and never goes back."""

    rates: Rates = field(default_factory=Rates)
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[tuple[str, str], tuple[float, float]] = field(default_factory=OrderedDict)

    def session(self, id: str) -> None:
        """Count a request of a session. Raises Refusal `too_many`."""
        self._take("session", id, self.rates.session)

    def media(self, id: str) -> None:
        """Count a sound or picture."""
        self._take("media", id, self.rates.media)

    def address(self, address: str | None) -> None:
        """Count a request of an address. This machine itself is not limited: behind a proxy it is everybody."""
        if address is not None and not is_loopback(address):
            self._take("address", _network(address), self.rates.address)

    def opening(self, address: str | None) -> None:
        """Count a new session of an address."""
        if address is not None and not is_loopback(address):
            self._take("opening", _network(address), self.rates.opening)

    def login(self, address: str | None) -> None:
        """Count a try at the login, of this machine too."""
        self._take("login", _network(address or ""), self.rates.login)

    def __len__(self) -> int:
        return len(self._buckets)

    def _take(self, kind: str, who: str, rate: Rate) -> None:
        now = self.clock()
        left, since = self._buckets.pop((kind, who), (rate.burst, now))
        left = min(rate.burst, left + (now - since) * rate.per_second)
        enough = left >= 1
        self._buckets[kind, who] = (left - 1 if enough else left, now)
        while len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if not enough:
            raise Refusal(
                "too_many", f"too many requests of this {kind}", retry_after=_seconds((1 - left) / rate.per_second)
            )


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own. A name (a test client's, a UNIX socket's) is not an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _network(address: str) -> str:
    """IPv6 users have a /64 each."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def _seconds(wait: float) -> int:
    return max(1, int(wait) + 1)
