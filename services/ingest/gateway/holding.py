"""How many bytes of requests the gateway holds at once. Knows nothing of HTTP."""

from __future__ import annotations

import threading
from types import TracebackType

from faultline.errors import FaultlineError, Overloaded


class NeverFits(FaultlineError):
    """One request alone is over the bound of all: sending it again never helps."""


class Holding:
    """A bound on the bodies of all requests under way: as sent, unpacked and decoded together.

    Safe to share between threads.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._held = 0
        self._lock = threading.Lock()

    @property
    def capacity_bytes(self) -> int:
        """What may be held at most."""
        return self._capacity

    @property
    def held_bytes(self) -> int:
        """What is held now."""
        return self._held

    def add(self, size: int) -> None:
        """Hold more.

        Raises
        ------
        Overloaded
            When that would be over the bound. A single request may fill it alone.
        """
        with self._lock:
            if self._held + size > self._capacity:
                raise Overloaded(
                    f"{self._held} bytes of requests are under way, and {size} more would be over "
                    f"the bound of {self._capacity}; slow down and send the same again "
                    "(FAULTLINE_GATEWAY_HELD_BYTES)"
                )
            self._held += size

    def drop(self, size: int) -> None:
        """Let go of as much."""
        with self._lock:
            self._held -= size


class Held:
    """One request's part of it, let go of at the end of the block."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._own = 0

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._holding.drop(self._own)
        self._own = 0

    def add(self, size: int) -> None:
        """Hold more for this request.

        Raises
        ------
        NeverFits
            When it alone would be over the bound.
        Overloaded
            When all together would be.
        """
        if self._own + size > self._holding.capacity_bytes:
            raise NeverFits(
                f"this request alone takes more than the {self._holding.capacity_bytes} bytes of "
                "all that are under way; send the readings in several requests "
                "(FAULTLINE_GATEWAY_HELD_BYTES)"
            )
        self._holding.add(size)
        self._own += size
