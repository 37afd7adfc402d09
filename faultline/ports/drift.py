"""Drift: the events that the recorder keeps, and what each replica has counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from faultline.drift import DriftEvent, DriftPart


class DriftLog(Protocol):
    """Every method raises `Unavailable` while the store is down."""

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[DriftEvent]:
        """The events of a machine type, of all when None, newest first."""

    def keep(self, part: DriftPart, oldest_ms: int) -> None:
        """Put a replica's part of a machine type in place of its former one.

        Parameters
        ----------
        oldest_ms
            Parts of all replicas that were counted before this are dropped.
        """

    def parts(self, since_ms: int) -> Sequence[DriftPart]:
        """All parts that were counted since then, by machine type and replica."""
