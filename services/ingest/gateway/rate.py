"""How many readings a second each client may send. Knows nothing of HTTP."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from cachetools import LRUCache

from faultline.errors import Overloaded

# Who has been silent the longest is forgotten first, and with him what he is over.
_MAX_CLIENTS = 10_000


class TooFast(Overloaded):
    """A client is over its rate.

    Attributes
    ----------
    wait_s
        Whole seconds until it may send again.
    """

    def __init__(self, rate: float, wait_s: int) -> None:
        super().__init__(
            f"more than {rate:g} readings a second came from this client; send the same again in "
            f"{wait_s} s, and more slowly (FAULTLINE_GATEWAY_CLIENT_READINGS_PER_S)"
        )
        self.wait_s = wait_s


class _Bucket(NamedTuple):
    tokens: float
    at_s: float


class Rate:
    """A token bucket for each client that may be overdrawn. Used from one event loop.

    A request is let in while there is anything in its client's bucket, and then takes as many
    tokens as it has readings: so a batch of any size gets through, and the rate holds on average.
    The bucket holds one second's worth.

    Parameters
    ----------
    readings_per_s
        For each client; None is no bound.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, readings_per_s: float | None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._rate = readings_per_s
        self._clock = clock
        self._buckets: LRUCache[str, _Bucket] = LRUCache(_MAX_CLIENTS)

    def let_in(self, client: str) -> None:
        """Raise `TooFast` when a client has to wait."""
        if self._rate is None:
            return
        tokens = self._tokens(client, self._rate)
        if tokens <= 0:
            # The least bit above nothing is enough.
            raise TooFast(self._rate, math.floor(-tokens / self._rate) + 1)

    def charge(self, client: str, readings: int) -> None:
        """Count what a client has sent."""
        if self._rate is not None:
            left = self._tokens(client, self._rate) - readings
            self._buckets[client] = _Bucket(left, self._clock())

    def _tokens(self, client: str, rate: float) -> float:
        bucket = self._buckets.get(client)
        if bucket is None:
            return rate
        return min(rate, bucket.tokens + rate * (self._clock() - bucket.at_s))
