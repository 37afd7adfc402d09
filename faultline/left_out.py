"""What is left out of the rows that a detector learns from, and why. Knows no store."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np

from faultline.ports.stores import MachineRows


class Cause(StrEnum):
    """Why a period is left out."""

    FAULT_LABEL = "fault label"
    OPEN_ALARM = "open alarm"
    EXCLUDED = "excluded by the request"
    OLDER = "older than the newest that one training reads"


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A period that nothing is learnt from.

    Attributes
    ----------
    machine_id
        None: of every machine.
    start_ms, end_ms
        Milliseconds since the epoch, end excluded; None while it lasts.
    what
        The label's kind, or the alarm's id.
    readings
        How many it took away, also those that another period takes too. None where they were not
        even read.
    """

    cause: Cause
    machine_id: str | None
    start_ms: int
    end_ms: int | None
    what: str = ""
    readings: int | None = None


def leave_out(
    machines: Sequence[MachineRows], periods: Sequence[LeftOut]
) -> tuple[list[MachineRows], tuple[LeftOut, ...]]:
    """Take away the rows that periods cover.

    Returns
    -------
    list
        Machines with what remains; those with nothing are dropped.
    tuple
        The periods that took anything away, with how much.
    """
    remaining: list[MachineRows] = []
    taken: dict[LeftOut, int] = {}
    for machine in machines:
        times = machine.timestamps_ms
        keep = np.ones(len(times), dtype=np.bool_)
        for period in periods:
            if period.machine_id not in {None, machine.machine_id}:
                continue
            covered = times >= period.start_ms
            if period.end_ms is not None:
                covered &= times < period.end_ms
            if covered.any():
                taken[period] = taken.get(period, 0) + int(covered.sum())
                keep &= ~covered
        if keep.any():
            remaining.append(
                MachineRows(machine.machine_id, machine.sensors, times[keep], machine.values[keep])
            )
    return remaining, tuple(
        msgspec.structs.replace(period, readings=rows) for period, rows in taken.items()
    )
