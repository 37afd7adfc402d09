"""In what a file is unlike the rows that a model learnt from: their order and their pace."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faultline.offline.table import Table

# Rows a little quicker or slower than in training make no difference that anyone would see.
_OTHER_PACE = 1.5


def usual_step_ms(table: Table, machine: str) -> float | None:
    """The median time from a row to a later one of the same machine; None without two such rows.

    Parameters
    ----------
    machine
        Whose rows they are in a table without a machine column.
    """
    steps = _steps(table, machine)
    later = steps[steps > 0]
    return float(np.median(later)) if later.size else None


def is_newest_first(table: Table, machine: str) -> bool:
    """Whether most rows of a machine are earlier than the row before."""
    steps = _steps(table, machine)
    return bool((steps < 0).sum() > steps.size / 2)


def is_other_pace(step_ms: float, learnt_ms: float) -> bool:
    """Whether rows come at another rate than those that were learnt from.

    >>> is_other_pace(3_000, 1_000), is_other_pace(1_100, 1_000), is_other_pace(100, 1_000)
    (True, False, True)
    """
    return max(step_ms / learnt_ms, learnt_ms / step_ms) >= _OTHER_PACE


def _steps(table: Table, machine: str) -> NDArray[np.int64]:
    steps = [np.diff(table.timestamps_ms[rows]) for rows in table.rows_by_machine(machine).values()]
    return np.concatenate(steps)
