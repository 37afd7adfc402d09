"""Where a source's readings go. A source knows this protocol and nothing of what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from faultline.readings import Reading


class Sink(Protocol):
    """Takes readings; one machine's keep their order."""

    def send(self, readings: Sequence[Reading]) -> None:
        """Hand readings over; may return before they have arrived.

        Raises
        ------
        Unavailable
            When the other side cannot be reached, after the sink's own retries.
        InvalidReading
            When the other side refuses them.
        """

    def flush(self) -> None:
        """Return once everything sent before has arrived. Raises as `send` does."""
