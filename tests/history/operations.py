"""What clients did and how it ended, in the words of Jepsen: it was so, it was not, who knows."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from faultline.readings import Reading


class Outcome(StrEnum):
    """`unknown`: there was no answer, or one that says so; it may have happened all the same."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Way(StrEnum):
    """Where readings were sent."""

    HTTP = "http"
    TOPIC = "topic"


@dataclass(frozen=True)
class Operation:
    """One attempt to hand something over.

    Attributes
    ----------
    machine_id
        Whose client it is; one machine's attempts come one after another.
    value
        The message or the body.
    readings
        The valid ones in it, in order.
    invoked, completed
        Places in the history: what was completed before another was invoked came first.
    """

    machine_id: str
    way: Way
    value: bytes
    readings: Sequence[Reading]
    invoked: int = -1
    completed: int = -1
    outcome: Outcome = Outcome.UNKNOWN


@dataclass
class History:
    """All that was done, written down by many threads."""

    operations: list[Operation] = field(default_factory=list)
    acknowledged: int = 0
    """Readings, those that were sent again among them."""
    unknown: Counter[Way] = field(default_factory=Counter)
    """Attempts."""
    _moment: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def record(self, operation: Operation, attempt: Callable[[Operation], Outcome]) -> Outcome:
        """Attempt it and write down how it ended."""
        invoked = self._now()
        outcome = attempt(operation)
        with self._changed:
            self._moment += 1
            done = replace(operation, invoked=invoked, completed=self._moment, outcome=outcome)
            self.operations.append(done)
            if outcome is Outcome.ACKNOWLEDGED:
                self.acknowledged += len(operation.readings)
            self.unknown[operation.way] += outcome is Outcome.UNKNOWN
            self._changed.notify_all()
        return outcome

    def wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something holds of the history; returns whether it does."""
        with self._changed:
            return self._changed.wait_for(done, timeout_s)

    def _now(self) -> int:
        with self._changed:
            self._moment += 1
            return self._moment
