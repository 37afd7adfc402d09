"""Which sensors were sick in a scored table, in how many rows and from when to when.

It must not know how that is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.offline.scoring import Scored
from faultline.offline.table import Table


@dataclass(frozen=True)
class Sickness:
    """One thing that was wrong with one sensor of one machine.

    Attributes
    ----------
    what
        ``missing``, ``silent``, ``stuck`` or ``out_of_range``.
    rows
        In how many rows.
    first, last
        The first and the last of them, rows of the table.
    """

    machine_id: str
    sensor: str
    what: str
    rows: int
    first: int
    last: int


def sick_sensors(scored: Scored, table: Table) -> list[Sickness]:
    """Find what was wrong with the sensors that the table has, the most rows first."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for row, (machine_id, health) in enumerate(zip(scored.machines, scored.health, strict=True)):
        for sensor, what in health.items():
            found.setdefault((machine_id, sensor, what), []).append(row)
    return sorted(
        (
            Sickness(*key, rows=len(rows), first=rows[0], last=rows[-1])
            for key, rows in found.items()
            if key[1] in table.sensors
        ),
        key=lambda one: (-one.rows, one.machine_id, one.sensor, one.what),
    )


def sick_spans(
    scored: Scored, rows: NDArray[np.int64], sensor: str, sicknesses: Sequence[str]
) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row of each unbroken stretch in which a sensor was sick."""
    sick = np.array([scored.health[row].get(sensor) in sicknesses for row in rows.tolist()])
    edges = np.flatnonzero(np.diff(np.concatenate(([False], sick, [False])).astype(np.int8)))
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield int(rows[first]), int(rows[after - 1])
