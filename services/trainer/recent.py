"""The newest stored rows of a machine type, to compare versions on. It judges nothing."""

from __future__ import annotations

import numpy as np

from faultline.detector import MachineHistory
from faultline.left_out import leave_out
from faultline.ports.stores import FleetStore, HistoryQuery
from faultline.rows import take
from services.trainer.dataset import Dataset, suspect

_MOST_ROWS = 100_000


def recent_rows(
    store: FleetStore, dataset: Dataset, most_rows: int = _MOST_ROWS
) -> tuple[MachineHistory, ...]:
    """Read about so many rows of all machines of the dataset's type, with its columns.

    Without what a fault or an open alarm covers, and what the request had excluded: see
    `services.trainer.dataset.suspect`.

    Raises `Unavailable` while the store is down.
    """
    machines = store.machines(dataset.machine_type)
    if not machines:
        return ()
    newest_ms = max(machine.last_seen_ms for machine in machines)
    span_ms = max(1, most_rows // len(machines)) * dataset.step_ms
    query = HistoryQuery(
        machine_type=dataset.machine_type,
        start_ms=max(0, newest_ms - span_ms),
        excluded=dataset.query.excluded,
        # Machines may send more often than those of the dataset.
        max_rows=2 * most_rows,
    )
    healthy, _ = leave_out(list(store.history(query)), suspect(store))
    return tuple(
        MachineHistory(
            rows.machine_id,
            rows.timestamps_ms,
            np.ascontiguousarray(take(rows.sensors, rows.values, dataset.sensors)),
        )
        for rows in healthy
    )
