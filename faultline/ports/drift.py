"""Drift events, kept by the recorder: what drifted, when, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from faultline.drift import DriftEvent


class DriftLog(Protocol):
    """Raises `Unavailable` while the store is down."""

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[DriftEvent]:
        """The events of a machine type, of all when None, newest first."""
