"""Fills windows from stored readings: of machines whose kept rows are fewer than a model looks at.

That is so after snapshots were lost, and under a model with a longer window. Asked of the store in
a loop of its own, bounded; while that takes, or when the store is down, a machine warms up by its
readings.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

import numpy as np

from faultline.detector import Window
from faultline.errors import Unavailable
from faultline.events import machine_type_of
from faultline.judge import Model
from faultline.ports.clock import Clock
from faultline.ports.stores import FleetStore, HistoryQuery, MachineRows
from faultline.rows import columns_of
from faultline.telemetry import logger
from services.predictor.metrics import Metrics

log = logger(__name__)

_MAX_WAITING = 10_000
_CELLS = 16 * 1024 * 1024
"""Numbers of the windows that were found and not taken yet, 128 MB."""
_CELLS_OF_ONE = 4 * 1024 * 1024
"""Read of one machine at most, 32 MB."""
_MAX_REMEMBERED = 100_000
_TRIES = 5
_SLACK = 1.5
"""Rows are asked for by time: so much longer than so many rows usually take."""
_MOST_TIMES = 20
"""Of a machine that was much faster before, so many times the rows are read, and no more."""
_TURN_S = 0.2


class _Wanted(NamedTuple):
    """Rows of a machine up to the first that is kept, that one included."""

    machine_id: str
    machine_type: str
    sensors: tuple[str, ...]
    first_ms: int
    step_ms: int
    rows: int
    due_s: float
    tries: int = 1


class OlderRows:
    """What the store has of machines from before the rows that are kept.

    The stream asks and takes; the loops read. None waits for another. A machine is read for once in
    its turn; one that fails is asked for again by a loop of its own, so that it holds up no other
    whose rows can be had.

    Parameters
    ----------
    retry_s
        The recorder may be behind the stream, or the store down: asked again after so long, a few
        times.
    """

    def __init__(
        self, store: FleetStore, *, metrics: Metrics, clock: Clock, retry_s: float
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._retry_s = retry_s
        self._waiting: deque[_Wanted] = deque()
        self._again: deque[_Wanted] = deque()
        self._found: dict[str, Window] = {}
        self._found_cells = 0
        self._asked: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def ask(self, machine_id: str, window: Window, model: Model) -> None:
        """Have a machine's older rows read, if the model looks back beyond its window. Asks once.

        Of a machine with one row it is not known yet how far back in time that is.
        """
        needed = model.detector.rows_needed
        key = (machine_id, model.name, model.version)
        if not 2 <= len(window) < needed or key in self._asked:
            return
        if len(self._asked) >= _MAX_REMEMBERED:
            self._asked.clear()
        self._asked.add(key)
        step_ms = int(np.median(np.diff(window.timestamps_ms)))
        wanted = _Wanted(
            machine_id,
            machine_type_of(model.name),
            columns_of(window.sensors, [dict.fromkeys(model.detector.sensors)]),
            int(window.timestamps_ms[0]),
            max(1, step_ms),
            needed,
            self._clock.monotonic_s(),
        )
        with self._lock:
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(wanted)
                return
        self._metrics.warm_ups.labels("too_many").inc()

    def take(self, machine_id: str) -> Window | None:
        """What was found for a machine, once."""
        if not self._found:
            return None
        with self._lock:
            return self._let_go(machine_id)

    def run(self, stop: threading.Event) -> None:
        """Read what is asked for until told to stop."""
        while not stop.is_set():
            if not self.step():
                stop.wait(_TURN_S)

    def run_again(self, stop: threading.Event) -> None:
        """Read for those that failed, until told to stop."""
        while not stop.is_set():
            if not self.step_again():
                stop.wait(_TURN_S)

    def step(self) -> bool:
        """Read for the machine that has waited longest; False when none waits."""
        with self._lock:
            if not self._waiting:
                return False
            wanted = self._waiting.popleft()
        self._try(wanted)
        return True

    def step_again(self) -> bool:
        """The same of those that failed; False when it is nobody's time yet."""
        with self._lock:
            # They wait equally long, so the first in is the first due.
            if not self._again or self._again[0].due_s > self._clock.monotonic_s():
                return False
            wanted = self._again.popleft()
        self._try(wanted)
        return True

    def _try(self, wanted: _Wanted) -> None:
        outcome = self._read(wanted)
        if outcome is None and wanted.tries < _TRIES:
            later = wanted._replace(
                due_s=self._clock.monotonic_s() + self._retry_s, tries=wanted.tries + 1
            )
            with self._lock:
                if len(self._again) < _MAX_WAITING:
                    self._again.append(later)
                    return
            outcome = "too_many"
        self._metrics.warm_ups.labels(outcome or "not_to_be_had").inc()

    def _keep(self, machine_id: str, window: Window) -> None:
        with self._lock:
            self._let_go(machine_id)
            self._found[machine_id] = window
            self._found_cells += window.values.size
            while self._found_cells > _CELLS or len(self._found) > _MAX_WAITING:
                # Of machines that are not heard any more.
                self._let_go(next(iter(self._found)))

    def _let_go(self, machine_id: str) -> Window | None:
        window = self._found.pop(machine_id, None)
        if window is not None:
            self._found_cells -= window.values.size
        return window

    def _read(self, wanted: _Wanted) -> str | None:
        """Read once; None when it is worth another try."""
        span_ms = int(_SLACK * wanted.rows * wanted.step_ms)
        query = HistoryQuery(
            machine_type=wanted.machine_type,
            machines=[wanted.machine_id],
            sensors=wanted.sensors,
            start_ms=wanted.first_ms - span_ms,
            end_ms=wanted.first_ms + 1,
            max_rows=max(
                wanted.rows,
                min(_MOST_TIMES * wanted.rows, _CELLS_OF_ONE // max(1, len(wanted.sensors))),
            ),
        )
        try:
            rows = next(iter(self._store.history(query)), None)
        except Unavailable as error:
            log.info("older rows cannot be read", machine=wanted.machine_id, why=str(error))
            return None
        # Without the first row that is kept, rows between may not be stored yet.
        if rows is None or rows.timestamps_ms[-1] != wanted.first_ms:
            return None
        if len(rows.timestamps_ms) == 1:
            return "nothing_older"
        self._keep(wanted.machine_id, _window(rows, wanted))
        return "filled"


def _window(rows: MachineRows, wanted: _Wanted) -> Window:
    return (
        Window(rows.sensors, rows.timestamps_ms, rows.values)
        .last(wanted.rows)
        .aligned(wanted.sensors)
    )


def preceded_by(window: Window, older: Window) -> Window:
    """Put rows before a window that are from before its first.

    Only where `older` reaches up to that one: there must be no rows between.

    Examples
    --------
    >>> window = Window(("a",), np.array([30, 40]), np.array([[3.0], [4.0]]))
    >>> older = Window(("a",), np.array([10, 20, 30]), np.array([[1.0], [2.0], [3.0]]))
    >>> preceded_by(window, older).timestamps_ms
    array([10, 20, 30, 40])
    """
    if not len(window) or not len(older):
        return window
    first_ms = window.timestamps_ms[0]
    before = int(np.searchsorted(older.timestamps_ms, first_ms))
    if before == 0 or before == len(older):
        return window
    columns = columns_of(window.sensors, [dict.fromkeys(older.sensors)])
    rows = older.aligned(columns)
    return Window(
        columns,
        np.concatenate((rows.timestamps_ms[:before], window.timestamps_ms)),
        np.concatenate((rows.values[:before], window.aligned(columns).values)),
    )
