"""The keeper: drops what has outlived its retention, and has the next month's tables ready.

Every recorder has one. Several at once are harmless: of two, one drops.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from faultline.errors import Unavailable
from faultline.ports.clock import Clock
from faultline.ports.retention import Kept, RetentionStore
from faultline.readings import format_timestamp
from faultline.retention import Outcome, Retention, enforce
from faultline.telemetry import logger
from services.ingest.recorder.metrics import RecorderMetrics

log = logger(__name__)

_EVERY_S = 3_600.0
# What cannot be dropped now is tried again soon: each try holds others up for a moment at most.
_AGAIN_S = 60.0


class Keeper:
    """Looks again and again for what is too old."""

    def __init__(
        self, store: RetentionStore, retention: Retention, metrics: RecorderMetrics, clock: Clock
    ) -> None:
        self._store = store
        self._retention = retention
        self._metrics = metrics
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop. A database that is down, or refuses, is waited for."""
        while not stop.is_set():
            try:
                wait_s = _EVERY_S if self.look() else _AGAIN_S
            except Unavailable as error:
                log.warning("what is too old cannot be looked for; waiting", why=str(error))
                wait_s = _AGAIN_S
            stop.wait(wait_s)

    def look(self) -> bool:
        """Prepare tables and drop what is too old, once.

        Returns
        -------
        bool
            False when something of it cannot be dropped now, and is still there.

        Raises
        ------
        Unavailable
            While the database is down.
        """
        now_ms = self._clock.now_ms()
        self._store.prepare(now_ms)
        outcomes = enforce(self._store, self._retention, now_ms)
        for outcome in outcomes:
            self._tell(outcome)
        self._measure(outcomes)
        return all(outcome.in_use is None for outcome in outcomes)

    def _tell(self, outcome: Outcome) -> None:
        expired = outcome.expired
        told = {"what": expired.name, "until": format_timestamp(expired.until_ms)}
        if outcome.in_use is not None:
            log.warning(
                "too old, and cannot be dropped now; left for later", **told, why=outcome.in_use
            )
            return
        if outcome.dropped:
            log.info("too old; dropped", **told, rows=expired.rows, size_bytes=expired.size_bytes)
            self._metrics.dropped.labels(expired.kind.value).inc()
            self._metrics.dropped_rows.labels(expired.kind.value).inc(expired.rows or 0)

    def _measure(self, outcomes: Sequence[Outcome]) -> None:
        left = [outcome.expired.kind for outcome in outcomes if outcome.in_use is not None]
        for kind in Kept:
            self._metrics.left.labels(kind.value).set(left.count(kind))
