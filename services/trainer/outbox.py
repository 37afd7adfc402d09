"""The outbox: events of what has happened to versions are published from the logs, never lost.

It knows the logs and the broker, and not the registry.
"""

from __future__ import annotations

import threading

from faultline.errors import Unavailable
from faultline.ports.gate_log import DecisionState, GateLog
from faultline.ports.promotions import PromotionLog, PromotionState
from services.trainer.announcer import Announcer
from services.trainer.change_events import event_of, events_of

_ANNOUNCE_S = 1.0


class Outbox:
    """Publishes what the logs have and nobody has published. Safe to share between threads."""

    def __init__(
        self, promotion_log: PromotionLog, gate_log: GateLog, announcer: Announcer
    ) -> None:
        self._promotion_log = promotion_log
        self._gate_log = gate_log
        self._announcer = announcer
        self._announcing = threading.Lock()

    def announce(self, name: str | None = None) -> None:
        """Publish all events of a model, or of all: what the gate decided, then what was changed.

        Raises
        ------
        Unavailable
            When the broker has not taken them in time; they stay to be announced.
        """
        # Two of our threads would publish everything twice; of two processes that is harmless.
        if not self._announcing.acquire(timeout=_ANNOUNCE_S):
            raise Unavailable("events are being published, and that takes long")
        try:
            for decision in self._gate_log.unfinished(name):
                if decision.state is DecisionState.APPLIED:
                    self._announcer.announce([event_of(decision)])
                    self._gate_log.advance(decision, DecisionState.TOLD)
            for change in self._promotion_log.unfinished(name):
                if change.state is PromotionState.DONE:
                    self._announcer.announce(events_of(change))
                    self._promotion_log.mark_announced(change.promotion_id)
        finally:
            self._announcing.release()
