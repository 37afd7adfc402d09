"""What the bridge asks of an MQTT client, and the bounded room between the client and the bridge.

Knows nothing of a client's library.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

# What an arrival costs beside its topic and payload.
_OVERHEAD_BYTES = 512
# Readings take some ten times the memory of their payloads.
_BATCH_BYTES = 4 * 1024 * 1024


class Arrival(NamedTuple):
    """A message that came.

    Attributes
    ----------
    number, connection, qos
        With what it is acknowledged: its packet identifier, on which connection it came, and
        whether its sender asks for it (0: no).
    retained
        True when the broker had it from before the subscription.
    arrived_ms
        When it came, since the epoch.
    """

    topic: str
    payload: bytes
    number: int
    connection: int
    qos: int
    retained: bool
    arrived_ms: int

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return len(self.topic) + len(self.payload) + _OVERHEAD_BYTES


class Inlet(Protocol):
    """A client of an MQTT broker: what comes it puts into an `Intake`; it reconnects by itself."""

    def open(self) -> None:
        """Begin; returns at once, whether the broker is there or not."""

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Tell the broker that it may forget them.

        Those of an earlier connection are left out: they come again, and are acknowledged then.
        """

    def check(self) -> str | None:
        """None, or why nothing comes."""

    def close(self) -> None:
        """Disconnect. The broker keeps the session."""


class Intake:
    """Arrivals that wait or are under way, bounded in number and in bytes.

    The client's thread waits in `put` while there is no room, so the broker is not read from.
    """

    def __init__(self, capacity: int, capacity_bytes: int) -> None:
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._changed = threading.Condition()
        self._waiting: deque[Arrival] = deque()
        self._held = 0
        self._held_bytes = 0
        self._closed = False

    def __len__(self) -> int:
        return self._held

    def put(self, arrival: Arrival) -> bool:
        """Add one, when there is room; False when it was closed: the arrival is not taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(arrival))
            if self._closed:
                return False
            self._waiting.append(arrival)
            self._held += 1
            self._held_bytes += arrival.size
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float) -> list[Arrival]:
        """Those that wait, in their order; they keep their room until they are released.

        As many as may be taken apart at once: one at least, about 4 MiB.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)
            taken: list[Arrival] = []
            size = 0
            while self._waiting and (not taken or size + self._waiting[0].size <= _BATCH_BYTES):
                taken.append(self._waiting.popleft())
                size += taken[-1].size
            return taken

    def release(self, arrivals: Sequence[Arrival]) -> None:
        """Give back the room of those that are done with."""
        with self._changed:
            self._held -= len(arrivals)
            self._held_bytes -= sum(arrival.size for arrival in arrivals)
            self._changed.notify_all()

    def close(self) -> None:
        """Let nothing more in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, arrival: Arrival) -> bool:
        # One that alone is over the bound would otherwise never get through.
        return not self._held or (
            self._held < self._capacity and self._held_bytes + arrival.size <= self._capacity_bytes
        )
