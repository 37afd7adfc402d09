"""The dataset: the history of a machine type as one table per machine, with the same columns.

It leaves out known faults and open alarms, and decides nothing else about sensors or rows; the fit
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from faultline.alarms import AlarmState
from faultline.data_version import data_version
from faultline.detector import MachineHistory
from faultline.errors import (
    FaultlineError,
    InvalidBundle,
    NotFound,
    Unavailable,
    UntrainableHistory,
)
from faultline.events import model_name
from faultline.left_out import Cause, LeftOut, leave_out
from faultline.ports.jobs import TrainingRequest
from faultline.ports.registry import ModelRegistry, ModelVersion
from faultline.ports.stores import FleetStore, HistoryQuery, MachineRows
from faultline.reproduction import recall
from faultline.rows import take
from services.trainer.absent import require_known
from services.trainer.newest import newest, unread
from services.trainer.wording import names

# Different sensors of one type: every machine's table has a column for each of them.
MAX_SENSORS = 4_096

# One per machine is open at most.
_MOST_ALARMS = 1_000_000


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
    query
        What was read, its time range that of the rows that there are.
    left_out
        Periods that nothing is learnt from.
    left_out_rows
        Readings that were read and left out.
    """

    machine_type: str
    sensors: tuple[str, ...]
    histories: tuple[MachineHistory, ...]
    data_version: str
    query: HistoryQuery
    left_out: tuple[LeftOut, ...] = ()
    left_out_rows: int = 0

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

    @property
    def step_ms(self) -> int:
        """The usual time between two readings of a machine; 1 when there are no two."""
        steps = [np.diff(history.timestamps_ms) for history in self.histories]
        return int(np.median(np.concatenate(steps))) if any(map(len, steps)) else 1


def read_dataset(store: FleetStore, request: TrainingRequest, max_rows: int) -> Dataset:
    """Read what a request asks for, less what a fault or an open alarm covers; see `suspect`.

    Without a start that is asked for, of a longer history the newest readings are read.

    Parameters
    ----------
    max_rows
        Readings of all machines together, at most.

    Raises
    ------
    UntrainableHistory
        When there is nothing, something that was asked for by name is not there, or it is more
        than `max_rows` from the start that was asked for, or than `MAX_SENSORS`.
    Unavailable
        While the store is down, or when it took in so many earlier readings meanwhile that what is
        newest is to be looked up again.
    """
    asked = HistoryQuery(
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
    query = asked if request.start_ms is not None else newest(store, asked, max_rows)
    found: set[str] = set()
    machines: list[MachineRows] = []
    rows = 0
    for machine in store.history(query):
        rows += len(machine.timestamps_ms)
        if rows > max_rows:
            raise _too_many(request, max_rows)
        found.update(machine.sensors)
        if len(found) > MAX_SENSORS:
            raise UntrainableHistory(
                f"the machines of type {request.machine_type!r} have more than {MAX_SENSORS} "
                "different sensors; name those to learn from, or choose fewer machines"
            )
        if len(machine.timestamps_ms):
            machines.append(machine)
    if not machines and request.machines is None:
        require_known(store, request.machine_type)
        raise UntrainableHistory(
            f"no readings of machine type {request.machine_type!r} in the time range; widen it"
        )
    _require(request, machines)
    healthy, left_out = leave_out(machines, suspect(store))
    if not healthy:
        causes = " and ".join(sorted({period.cause.value for period in left_out}))
        raise UntrainableHistory(
            f"all readings of machine type {request.machine_type!r} in the time range are left out "
            f"({causes}); what is normal can be learnt from others only: widen the range"
        )
    sensors = tuple(sorted(found if request.sensors is None else set(request.sensors)))
    histories = tuple(
        MachineHistory(
            machine.machine_id,
            machine.timestamps_ms,
            # In the order of memory in which a snapshot is read, so that no sum can differ.
            np.ascontiguousarray(take(machine.sensors, machine.values, sensors)),
        )
        for machine in healthy
    )
    return Dataset(
        request.machine_type,
        sensors,
        histories,
        data_version(sensors, histories),
        replace(
            query,
            start_ms=min(int(machine.timestamps_ms[0]) for machine in machines),
            end_ms=max(int(machine.timestamps_ms[-1]) for machine in machines) + 1,
            machines=tuple(machine.machine_id for machine in machines),
            max_rows=None,
            max_sensors=None,
        ),
        (*unread(asked, query), *left_out),
        rows - sum(len(machine.timestamps_ms) for machine in healthy),
    )


def _too_many(request: TrainingRequest, max_rows: int) -> FaultlineError:
    of_type = f"the history of machine type {request.machine_type!r}"
    if request.start_ms is None:
        return Unavailable(f"{of_type} grew while it was read; its newest readings are read anew")
    return UntrainableHistory(
        f"{of_type} has more than {max_rows:,} readings; choose a shorter time range or fewer "
        "machines"
    )


def recall_dataset(
    registry: ModelRegistry, store: FleetStore, machine_type: str, wanted: str, max_rows: int
) -> Dataset:
    """Bring back the rows of an earlier version.

    Parameters
    ----------
    wanted
        The version's number, or the begin of its data version.

    Raises
    ------
    UntrainableHistory
        When there is no such version, or its rows cannot be had any more.
    Unavailable
        While the registry or the store is down.
    """
    try:
        version = _version_with(registry.versions(model_name(machine_type)), wanted)
        recipe, histories = recall(registry, version, lambda: store, max_rows=max_rows)
    except (NotFound, InvalidBundle) as error:
        raise UntrainableHistory(f"dataset version {wanted!r}: {error}") from error
    return Dataset(
        machine_type,
        recipe.sensors,
        histories,
        recipe.data_version,
        recipe.query,
        recipe.left_out,
        recipe.left_out_rows,
    )


def _version_with(versions: Sequence[ModelVersion], wanted: str) -> ModelVersion:
    for version in versions:
        of_data = version.tags.get("data_version", "").startswith(wanted) and len(wanted) > 9
        if version.version == wanted or of_data:
            return version
    there = names([version.version for version in versions]) or "none"
    raise NotFound(
        "the model has no version of that number or with such data (the versions' tag "
        f"data_version); it has {there}"
    )


def suspect(store: FleetStore) -> list[LeftOut]:
    """The periods that may hold a fault: what is learnt becomes normal, and is never found again.

    Labelled faults, and alarms from their first bad reading on. A closed alarm that nobody has
    confirmed counts as normal running: machines return to that by themselves.
    """
    # The one place to add alarms that operators confirm, when there is such feedback.
    labels = [
        LeftOut(
            cause=Cause.FAULT_LABEL,
            machine_id=label.machine_id,
            start_ms=label.start_ms,
            end_ms=label.end_ms,
            what=label.kind,
        )
        for label in store.labels()
    ]
    alarms = [
        LeftOut(
            cause=Cause.OPEN_ALARM,
            machine_id=alarm.machine_id,
            start_ms=alarm.began_at_ms,
            end_ms=None,
            what=alarm.alarm_id,
        )
        for alarm in store.alarms(state=AlarmState.OPEN, limit=_MOST_ALARMS)
    ]
    return labels + alarms


def _require(request: TrainingRequest, machines: Sequence[MachineRows]) -> None:
    what = f"machine type {request.machine_type!r}"
    if request.machines is not None:
        absent = sorted(set(request.machines) - {machine.machine_id for machine in machines})
        if absent:
            raise UntrainableHistory(
                f"no readings of {', '.join(map(repr, absent))} ({what}) in the time range; check "
                "the names and the range"
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
