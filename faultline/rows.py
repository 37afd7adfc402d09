"""Turns readings into rows of a machine's window: which count, in which columns. NumPy only.

Knows no model: it keeps whatever sensors a machine sends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from faultline.detector import Window
from faultline.machine_state import LateRun
from faultline.readings import MAX_SENSORS

MAX_LATE_ROWS = 128
"""After so many late readings in a row, in order among themselves, it is the window that is wrong:
one reading of a clock that was ahead would make all that follow late."""


def sift(
    kept_ms: NDArray[np.int64], times: NDArray[np.int64], keep_rows: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell readings that come in order from those that come again or too late.

    Parameters
    ----------
    kept_ms
        Shape (m,): times of the rows kept, strictly increasing.
    times
        Shape (n,): times of the new readings, in the order they came.
    keep_rows
        How many of the last rows can be recognised.

    Returns
    -------
    in_order
        Shape (n,): later than all before.
    duplicate
        Shape (n,): the same time as one of the `keep_rows` last rows before it.

    Examples
    --------
    >>> sift(np.array([10, 20]), np.array([30, 20, 25, 30, 40]), keep_rows=2)
    (array([ True, False, False, False,  True]), array([False,  True, False,  True, False]))
    """
    last = kept_ms[-1] if len(kept_ms) else np.iinfo(np.int64).min
    latest_before = np.maximum.accumulate(np.concatenate(([last], times)))[:-1]
    in_order = times > latest_before
    rows = np.concatenate((kept_ms, times[in_order]))
    # How many rows there were before each reading: it is compared with the last of those alone,
    # as if the readings had come one by one.
    rows_before = len(kept_ms) + np.cumsum(in_order) - in_order
    position = np.searchsorted(rows, times)
    same = rows[np.minimum(position, len(rows) - 1)] == times
    duplicate = ~in_order & same & (position >= rows_before - keep_rows)
    return in_order, duplicate


def late_run(
    late: LateRun,
    times: NDArray[np.int64],
    in_order: NDArray[np.bool_],
    duplicate: NDArray[np.bool_],
) -> tuple[LateRun, int]:
    """Follow the late readings that come one after another.

    Parameters
    ----------
    late
        The run before.
    times, in_order, duplicate
        Shape (n,) each: the new readings, and what `sift` says of them.

    Returns
    -------
    LateRun
        The run after them, or at its `MAX_LATE_ROWS` rows.
    int
        How many readings that takes: n unless the run gets full before.
    """
    rows, last_ms = late.rows, late.last_ms
    for position in np.flatnonzero(~duplicate).tolist():
        if in_order[position]:
            rows = 0
            continue
        at_ms = int(times[position])
        rows = rows + 1 if rows and at_ms > last_ms else 1
        last_ms = at_ms
        if rows == MAX_LATE_ROWS:
            return LateRun(rows, last_ms, late.given_up_ms), position + 1
    run = LateRun(rows, last_ms, late.given_up_ms) if rows else LateRun(0, -1, late.given_up_ms)
    return run, len(times)


def columns_of(
    known: tuple[str, ...], sensors: Sequence[Mapping[str, float | None]]
) -> tuple[str, ...]:
    """Name the columns that rows need: those known, then new ones as they appear.

    Examples
    --------
    >>> columns_of(("a",), [{"b": 1.0, "a": 2.0}, {"c": None}])
    ('a', 'b', 'c')
    """
    if len(sensors) == 1 and tuple(sensors[0]) == known:
        return known
    # Most readings of a machine have the same sensors in the same order: each order is read once.
    return tuple(dict.fromkeys(chain(known, *dict.fromkeys(map(tuple, sensors)))))


def values_of(
    columns: tuple[str, ...], sensors: Sequence[Mapping[str, float | None]]
) -> NDArray[np.float64]:
    """Put readings into rows, shape (n, columns), NaN where missing.

    Examples
    --------
    >>> values_of(("a", "b"), [{"b": 1.0, "a": 2.0}, {"b": None}])
    array([[ 2.,  1.],
           [nan, nan]])
    """
    if not sensors:
        return np.empty((0, len(columns)))
    if all(tuple(row) == columns for row in sensors):
        rows = [list(row.values()) for row in sensors]
    else:
        rows = [list(map(row.get, columns)) for row in sensors]
    # NumPy reads None as NaN when it is asked for floats.
    return np.array(rows, dtype=np.float64)


def take(
    columns: tuple[str, ...], values: NDArray[np.float64], wanted: tuple[str, ...]
) -> NDArray[np.float64]:
    """Take the columns `wanted`, NaN for those that are not there.

    Examples
    --------
    >>> take(("a", "b"), np.array([[1.0, 2.0]]), ("b", "c"))
    array([[ 2., nan]])
    """
    if columns == wanted:
        return values
    position = {name: index for index, name in enumerate(columns)}
    found = np.array([position.get(name, -1) for name in wanted])
    absent = found < 0
    if not columns:
        return np.full((len(values), len(wanted)), np.nan)
    taken = values[:, found]
    taken[:, absent] = np.nan
    return taken


def tidied(window: Window, needed: tuple[str, ...]) -> Window:
    """Drop columns without any value, and bound those of a machine that goes on naming new sensors.

    Of more than `MAX_SENSORS` columns, those `needed` stay, then those that had a value most
    recently.

    Examples
    --------
    >>> rows = np.array([[1.0, np.nan, 3.0]])
    >>> tidied(Window(("a", "b", "c"), np.array([0]), rows), ()).sensors
    ('a', 'c')
    """
    present = ~np.isnan(window.values)
    kept = np.flatnonzero(present.any(axis=0))
    if len(kept) > MAX_SENSORS:
        age = present[::-1].argmax(axis=0)
        age[np.isin(np.array(window.sensors, dtype=object), needed)] = -1
        kept = np.sort(kept[np.argsort(age[kept], kind="stable")[:MAX_SENSORS]])
    if len(kept) == len(window.sensors):
        return window
    return Window(
        tuple(window.sensors[column] for column in kept.tolist()),
        window.timestamps_ms,
        np.ascontiguousarray(window.values[:, kept]),
    )
