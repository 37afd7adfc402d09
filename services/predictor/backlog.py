"""What was judged and waits to be scored by a second version: bounded, safe between threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from faultline.alarms import AlarmEvent
from faultline.machine_state import MachineState
from faultline.ports.broker import Partition
from faultline.readings import Reading
from faultline.verdicts import Verdict
from services.predictor.contest import Contest

_CELLS_OF_ONE = 64
"""A reading with more sensors counts for several, as does the window it comes after: the backlog is
bounded in bytes too."""


class ToCompare(NamedTuple):
    """Readings of one machine as the stream has judged them, for the other version to score.

    Attributes
    ----------
    before
        The machine's state before them.
    """

    partition: Partition
    before: MachineState | None
    readings: Sequence[Reading]
    contest: Contest
    verdicts: Sequence[Verdict]
    alarm_events: Sequence[AlarmEvent]

    @property
    def size(self) -> int:
        """How much of the backlog it takes."""
        widest = max(len(reading.sensors) for reading in self.readings)
        carried = 0 if self.before is None else self.before.window.values.size
        return len(self.readings) * max(1, widest // _CELLS_OF_ONE) + carried // _CELLS_OF_ONE


class Backlog:
    """First in, first out.

    Parameters
    ----------
    most_readings
        That wait at once.
    """

    def __init__(self, most_readings: int) -> None:
        self._most = most_readings
        self._waiting: deque[ToCompare] = deque()
        self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Readings that wait; wide ones count for several."""
        return self._size

    def put(self, judged: Sequence[ToCompare]) -> int:
        """Add what there is room for; returns how many readings there was none for."""
        dropped = 0
        with self._lock:
            for one in judged:
                if self._size + one.size > self._most:
                    dropped += len(one.readings)
                else:
                    self._waiting.append(one)
                    self._size += one.size
        return dropped

    def take(self) -> ToCompare | None:
        """The one that has waited longest; None when nothing waits."""
        with self._lock:
            if not self._waiting:
                return None
            one = self._waiting.popleft()
            self._size -= one.size
            return one

    def drop(self, partitions: Collection[Partition] | None) -> int:
        """Let go of what is of partitions, of all when None; returns how many readings."""
        with self._lock:
            before, self._waiting, self._size = self._waiting, deque(), 0
            dropped = 0
            for one in before:
                if partitions is None or one.partition in partitions:
                    dropped += len(one.readings)
                else:
                    self._waiting.append(one)
                    self._size += one.size
        return dropped
