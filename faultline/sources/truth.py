"""Labels from rows: consecutive rows of one machine under one fault become one known fault."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from faultline.labels import FaultLabel
from faultline.sources.recording import LabelledReading


class OpenFault(NamedTuple):
    """A fault that has begun and not ended, and its machine's last row."""

    label: FaultLabel
    last_ms: int


class FaultRuns:
    """Follows the rows of any number of machines and tells when a fault begins and ends.

    Parameters
    ----------
    under_way
        What was open where rows before have ended.

    Examples
    --------
    >>> from faultline.readings import make_reading
    >>> runs = FaultRuns()
    >>> def row(second: int, fault: str) -> LabelledReading:
    ...     return LabelledReading(make_reading("rig-1", second * 1_000, {"flow": 1.0}), fault)
    >>> runs.observe(row(0, ""))
    ()
    >>> [label.kind for label in runs.observe(row(1, "leak"))]
    ['leak']
    >>> [label.end_ms for label in runs.observe(row(2, ""))]
    [2000]
    """

    def __init__(self, under_way: Iterable[OpenFault] = ()) -> None:
        self._open: dict[str, FaultLabel] = {}
        self._last_ms: dict[str, int] = {}
        for label, last_ms in under_way:
            self._open[label.machine_id] = label
            self._last_ms[label.machine_id] = last_ms

    def open(self) -> tuple[OpenFault, ...]:
        """What is open after the rows so far."""
        return tuple(
            OpenFault(label, self._last_ms[machine_id]) for machine_id, label in self._open.items()
        )

    def observe(self, row: LabelledReading) -> tuple[FaultLabel, ...]:
        """Take the next row; returns what changed by it.

        Returns
        -------
        tuple of FaultLabel
            The fault that ended with `end_ms` set, then the one that began with none.
        """
        reading, kind = row
        machine_id = reading.machine_id
        self._last_ms[machine_id] = reading.timestamp_ms
        running = self._open.get(machine_id)
        if (running.kind if running is not None else "") == kind:
            return ()
        changes: list[FaultLabel] = []
        if running is not None:
            changes.append(_ended(self._open.pop(machine_id), reading.timestamp_ms))
        if kind:
            began = FaultLabel(
                machine_id=machine_id, kind=kind, start_ms=reading.timestamp_ms, source="operator"
            )
            self._open[machine_id] = began
            changes.append(began)
        return tuple(changes)

    def close(self) -> tuple[FaultLabel, ...]:
        """End what is still open, a millisecond after its machine's last row."""
        ended = tuple(
            _ended(label, self._last_ms[machine_id] + 1) for machine_id, label in self._open.items()
        )
        self._open.clear()
        return ended


def _ended(label: FaultLabel, end_ms: int) -> FaultLabel:
    return FaultLabel(
        machine_id=label.machine_id,
        kind=label.kind,
        start_ms=label.start_ms,
        end_ms=end_ms,
        source=label.source,
    )


def fault_labels(rows: Iterable[LabelledReading]) -> tuple[FaultLabel, ...]:
    """All faults in rows, each with its end, by machine and start."""
    runs = FaultRuns()
    labels = [label for row in rows for label in runs.observe(row) if label.end_ms is not None]
    labels.extend(runs.close())
    return tuple(sorted(labels, key=lambda label: (label.machine_id, label.start_ms)))
