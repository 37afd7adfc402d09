"""The dataset: the history of a machine type as one table per machine, with the same columns.

It leaves out known faults, and decides nothing else about sensors or rows; the fit does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faultline.data_version import data_version
from faultline.detector import MachineHistory
from faultline.errors import UntrainableHistory
from faultline.labels import FaultLabel
from faultline.ports.jobs import TrainingRequest
from faultline.ports.stores import FleetStore, HistoryQuery, MachineRows
from faultline.rows import take

# Different sensors of one type: every machine's table has a column for each of them.
MAX_SENSORS = 4_096


@dataclass(frozen=True, eq=False)
class Dataset:
    """What one training learns from.

    Attributes
    ----------
    sensors
        The columns of every history, sorted.
    histories
        One per machine, by id.
    data_version
        See `data_version`.
    faults
        Known faults whose readings were left out.
    faulty_rows
        How many readings these were.
    """

    machine_type: str
    sensors: tuple[str, ...]
    histories: tuple[MachineHistory, ...]
    data_version: str
    faults: tuple[FaultLabel, ...] = ()
    faulty_rows: int = 0

    @property
    def rows(self) -> int:
        """Readings of all machines."""
        return sum(len(history.timestamps_ms) for history in self.histories)

    @property
    def start_ms(self) -> int:
        """Time of the first reading."""
        return min(int(history.timestamps_ms[0]) for history in self.histories)

    @property
    def end_ms(self) -> int:
        """Time of the last reading."""
        return max(int(history.timestamps_ms[-1]) for history in self.histories)


def read_dataset(store: FleetStore, request: TrainingRequest, max_rows: int) -> Dataset:
    """Read what a request asks for, less the readings of each machine that a fault label covers.

    Parameters
    ----------
    max_rows
        Readings of all machines together, at most.

    Raises
    ------
    UntrainableHistory
        When there is nothing, something that was asked for by name is not there, or it is more
        than `max_rows` or `MAX_SENSORS`.
    Unavailable
        While the store is down.
    """
    query = HistoryQuery(
        machine_type=request.machine_type,
        start_ms=request.start_ms,
        end_ms=request.end_ms,
        machines=request.machines,
        sensors=request.sensors,
        excluded=request.excluded,
        # One more, to tell the history that is too long from the one that just fits.
        max_rows=max_rows + 1,
        max_sensors=MAX_SENSORS,
    )
    found: set[str] = set()
    machines: list[MachineRows] = []
    rows = 0
    for machine in store.history(query):
        rows += len(machine.timestamps_ms)
        if rows > max_rows:
            raise UntrainableHistory(
                f"the history of machine type {request.machine_type!r} has more than {max_rows} "
                "readings; choose a shorter time range or fewer machines"
            )
        found.update(machine.sensors)
        if len(found) > MAX_SENSORS:
            raise UntrainableHistory(
                f"the machines of type {request.machine_type!r} have more than {MAX_SENSORS} "
                "different sensors; name those to learn from, or choose fewer machines"
            )
        if len(machine.timestamps_ms):
            machines.append(machine)
    _require(request, machines)
    healthy, faults = _without_faults(machines, store.labels())
    if not healthy:
        raise UntrainableHistory(
            f"all readings of machine type {request.machine_type!r} in the time range are labelled "
            "as faults; what is normal can be learnt from others only: widen the range"
        )
    sensors = tuple(sorted(found if request.sensors is None else set(request.sensors)))
    histories = tuple(
        MachineHistory(
            machine.machine_id,
            machine.timestamps_ms,
            take(machine.sensors, machine.values, sensors),
        )
        for machine in healthy
    )
    return Dataset(
        request.machine_type,
        sensors,
        histories,
        data_version(sensors, histories),
        faults,
        rows - sum(len(machine.timestamps_ms) for machine in healthy),
    )


def _without_faults(
    machines: Sequence[MachineRows], labels: Sequence[FaultLabel]
) -> tuple[list[MachineRows], tuple[FaultLabel, ...]]:
    """The machines' healthy rows, and the labels that took any away.

    A fault that is learnt becomes normal, and is never found again.
    """
    of_machine: dict[str, list[FaultLabel]] = {}
    for label in labels:
        of_machine.setdefault(label.machine_id, []).append(label)
    healthy: list[MachineRows] = []
    effective: list[FaultLabel] = []
    for machine in machines:
        times = machine.timestamps_ms
        keep = np.ones(len(times), dtype=np.bool_)
        for label in of_machine.get(machine.machine_id, ()):
            faulty = times >= label.start_ms
            if label.end_ms is not None:
                faulty &= times < label.end_ms
            if faulty.any():
                effective.append(label)
                keep &= ~faulty
        if keep.any():
            healthy.append(
                MachineRows(machine.machine_id, machine.sensors, times[keep], machine.values[keep])
            )
    return healthy, tuple(effective)


def _require(request: TrainingRequest, machines: Sequence[MachineRows]) -> None:
    what = f"machine type {request.machine_type!r}"
    if request.machines is not None:
        absent = sorted(set(request.machines) - {machine.machine_id for machine in machines})
        if absent:
            raise UntrainableHistory(
                f"no readings of {', '.join(map(repr, absent))} ({what}) in the time range; check "
                "the names and the range"
            )
    if not machines:
        raise UntrainableHistory(
            f"no readings of {what} in the time range; send readings first, or widen the range"
        )
    if request.sensors is not None:
        found = {name for machine in machines for name in machine.sensors}
        absent = sorted(set(request.sensors) - found)
        if absent:
            raise UntrainableHistory(
                f"no readings of the sensors {', '.join(map(repr, absent))} ({what}); "
                + (
                    f"there are: {', '.join(sorted(found))}"
                    if found
                    else "check the names: none of them was ever sent"
                )
            )
