"""What operators and simulators have said of the stored readings, held against versions.

It reads the store and judges as the stream does; what is too little the gate decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from faultline.alarms import AlarmPolicy
from faultline.events import machine_type_of
from faultline.judge import Model
from faultline.labels import FaultLabel
from faultline.matching import KnownFault, match
from faultline.ports.stores import FleetStore, HistoryQuery, MachineRows
from services.trainer.gate_facts import KnownFaults
from services.trainer.rerun import lead_ms, rerun, usual_step_ms

_MOST_FAULTS = 50
_MOST_ROWS = 500_000


def known_faults(
    store: FleetStore,
    machine_type: str,
    candidate: Model,
    champion: Model | None,
    policy: AlarmPolicy,
) -> KnownFaults | None:
    """Count who finds how many of the newest known faults; None when there are none with readings.

    A fault is found by an alarm that it explains, see `faultline.matching`. At most 50 of them are
    looked at, and half a million readings.

    Raises `Unavailable` while the store is down.
    """
    # The one place to add what operators say of alarms, when there is such feedback: a confirmed
    # one is a known fault, and in a period that was marked as normal an alarm is false.
    machines = {one.machine_id for one in store.machines(machine_type)}
    labels = [label for label in store.labels() if label.machine_id in machines]
    models = [candidate] if champion is None else [candidate, champion]
    found = [0] * len(models)
    faults, room = 0, _MOST_ROWS
    for label in labels[: -_MOST_FAULTS - 1 : -1]:
        rows = _rows(store, machine_type, label, models, room)
        if rows is None:
            continue
        faults += 1
        room -= len(rows.timestamps_ms)
        for position, model in enumerate(models):
            found[position] += _finds(model, rows, label, policy)
        if room <= 0:
            break
    if not faults:
        return None
    return KnownFaults(faults, found[0], None if champion is None else found[1])


def _rows(
    store: FleetStore,
    machine_type: str,
    label: FaultLabel,
    models: Sequence[Model],
    most: int,
) -> MachineRows | None:
    """The readings of a fault, and enough before and after for an alarm; None without any."""
    around_ms = max(lead_ms(model) for model in models)
    query = HistoryQuery(
        machine_type=machine_type,
        start_ms=max(0, label.start_ms - around_ms),
        end_ms=None if label.end_ms is None else label.end_ms + around_ms,
        machines=(label.machine_id,),
        max_rows=most,
    )
    rows = next(iter(store.history(query)), None)
    if rows is None:
        return None
    during = rows.timestamps_ms >= label.start_ms
    if label.end_ms is not None:
        during &= rows.timestamps_ms < label.end_ms
    return rows if during.any() else None


def _finds(model: Model, rows: MachineRows, label: FaultLabel, policy: AlarmPolicy) -> bool:
    machine_type = machine_type_of(model.name)
    again = rerun(model, machine_type, rows, label.start_ms, policy)
    grace_ms = {machine_type: model.detector.window_rows * usual_step_ms(rows)}
    return match([KnownFault(label)], again.alarms, grace_ms).outcomes[0].detected
