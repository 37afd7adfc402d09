"""Verdicts as they were heard: when each version spoke first, and whether two spoke of one reading.

The store keeps one verdict of a reading; only who listens knows whether there was another.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from faultline.ports.clock import Clock
from faultline.verdicts import VerdictBatch


class HeardVerdicts:
    """Listens; may be asked from another thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._first_s: dict[tuple[str, str], float] = {}
        self._version: dict[str, dict[int, str]] = defaultdict(dict)
        self._twice: set[tuple[str, int]] = set()

    def hear(self, batch: VerdictBatch) -> None:
        """Take note of a machine's verdicts; those without a version are nobody's."""
        name, version = batch.model_name, batch.model_version
        if name is None or version is None:
            return
        with self._lock:
            self._first_s.setdefault((name, version), self._clock.monotonic_s())
            given = self._version[batch.machine_id]
            for verdict in batch.verdicts:
                # Said again by the same version is what a restart does, and no contradiction.
                if given.setdefault(verdict.timestamp_ms, version) != version:
                    self._twice.add((batch.machine_id, verdict.timestamp_ms))

    def first_s(self, name: str, version: str) -> float | None:
        """When a version was heard first, by the monotonic clock; None when it never was."""
        with self._lock:
            return self._first_s.get((name, version))

    def by_two_versions(self) -> int:
        """Readings that two versions have judged."""
        with self._lock:
            return len(self._twice)
