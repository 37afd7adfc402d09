"""Explains one row of a table: which sensors deviate, by how much, and what came before and after.

It judges as the stream does, from the first row on; it must not know how this is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.alarms import AlarmPolicy
from faultline.errors import InvalidReading, NotFound
from faultline.judge import EVERYTHING, Explanation, Model, judge
from faultline.machine_state import MachineState
from faultline.offline.scoring import PART_ROWS, readings
from faultline.offline.table import Table, dated_unit
from faultline.sources.delimited import timestamp_ms
from faultline.verdicts import SensorContribution, Verdict

_UNEXPLAINED = Explanation(min_score=float("inf"), sensors=0)
_POLICY = AlarmPolicy()
_NEAREST = 2


@dataclass(frozen=True, eq=False)
class Explained:
    """A row, and the rows around it.

    Attributes
    ----------
    timestamp
        As it stands in the file.
    verdict
        With every contribution, if the row has a score.
    around, verdicts
        Shape (m,): rows of the table about it, itself among them, and what is said of each.
    """

    machine_id: str
    timestamp: str
    row: int
    verdict: Verdict
    around: NDArray[np.int64]
    verdicts: Sequence[Verdict]

    @property
    def contributions(self) -> Sequence[SensorContribution]:
        """The largest first."""
        return self.verdict.contributions


def explain_row(
    model: Model, table: Table, row: int, machine_id: str, machine_type: str, *, around_rows: int
) -> Explained:
    """Judge a machine's rows up to a row, and `around_rows` beyond.

    Parameters
    ----------
    row
        Of the table; one of the machine's.
    around_rows
        How many rows before and after are judged with all their contributions.
    """
    own = table.rows_by_machine(machine_id)[machine_id]
    filled = own[table.filled()[own]]
    place = int(np.searchsorted(filled, row))
    first, last = max(0, place - around_rows), min(len(filled), place + around_rows + 1)
    state = MachineState()
    for start in range(0, first, PART_ROWS):
        part = filled[start : min(first, start + PART_ROWS)]
        given = readings(table, part, machine_id, machine_type)
        state = judge(model, state, given, _POLICY, _UNEXPLAINED).state
    around = filled[first:last]
    given = readings(table, around, machine_id, machine_type)
    verdicts = judge(model, state, given, _POLICY, EVERYTHING).batch.verdicts
    return Explained(
        machine_id, table.timestamps[row], row, verdicts[place - first], around, verdicts
    )


def choose_machine(table: Table, asked_for: str | None, otherwise: str) -> str:
    """Choose the machine whose row is explained.

    Parameters
    ----------
    asked_for
        By the user; None for the only one of the file.
    otherwise
        Its name in a table without a machine column.

    Raises
    ------
    NotFound
        When it is not in the file, or there are several to choose from.
    """
    if table.machine_ids is None:
        return asked_for or otherwise
    machines = list(table.rows_by_machine(otherwise))
    if asked_for is None and len(machines) == 1:
        return machines[0]
    if asked_for not in machines:
        said = "is of several machines" if asked_for is None else f"has no machine {asked_for!r}"
        raise NotFound(f"{table.path}: {said}; name one of {_some(machines)} with --machine")
    return asked_for


def find_row(table: Table, at: str, machine_id: str) -> int:
    """Find a machine's row by its time, written as in the file or otherwise.

    Raises
    ------
    NotFound
        When there is none, or none with a value: naming the nearest ones.
    """
    own = table.rows_by_machine(machine_id)[machine_id]
    rows = own[table.filled()[own]]
    written = [row for row in rows.tolist() if table.timestamps[row].strip() == at.strip()]
    if written:
        return int(written[0])
    try:
        at_ms = timestamp_ms(at.strip(), dated_unit(at) or table.timestamp_unit)
    except InvalidReading as error:
        raise NotFound(f"--at {at}: {error}; {_extent(table, rows)}") from error
    same = rows[table.timestamps_ms[rows] == at_ms]
    if same.size:
        return int(same[0])
    distance = np.abs(table.timestamps_ms[rows] - at_ms)
    nearest = np.sort(rows[np.argsort(distance, kind="stable")[:_NEAREST]])
    raise NotFound(
        f"{table.path}: {machine_id} has no row with a value at {at}; the nearest are "
        f"{' and '.join(table.timestamps[row] for row in nearest.tolist())}"
    )


def _extent(table: Table, rows: NDArray[np.int64]) -> str:
    if not rows.size:
        return "the machine has no row with a value"
    return f"the rows are from {table.timestamps[rows[0]]} to {table.timestamps[rows[-1]]}"


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
