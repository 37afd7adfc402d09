"""A bounded sample of the recent normal readings of one machine type. Knows no reference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rows(NamedTuple):
    """Readings and what was said of them, in time order within each machine.

    Attributes
    ----------
    machine
        Shape (n,): a number for each machine.
    timestamps_ms, cluster, score
        Shape (n,).
    values
        Shape (n, d): in the sensors' own units, less what the machine is known to differ by.
    """

    machine: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    cluster: NDArray[np.int64]
    score: NDArray[np.float64]
    values: NDArray[np.float64]

    def taken(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Rows:
        """Some of the rows."""
        return Rows(
            self.machine[rows],
            self.timestamps_ms[rows],
            self.cluster[rows],
            self.score[rows],
            self.values[rows],
        )

    @property
    def machines(self) -> int:
        """Of how many machines they are."""
        return len(np.unique(self.machine))


class DriftSample:
    """The last rows of each machine, thinned evenly in time to what there is room for.

    Time is the readings' own. Of each machine at most one row is kept per slot; slots get twice as
    long whenever the room is full, so that it holds half to all of the rows that it may, and half
    as long, look by look, while three quarters of it are free.

    Parameters
    ----------
    sensors
        How many columns the values have.
    window_ms
        Of each machine, so far back from its last row.
    most_rows
        Of all machines together.
    """

    def __init__(self, sensors: int, window_ms: int, most_rows: int) -> None:
        self._window_ms = window_ms
        self._slot_ms = 1
        self._count = 0
        self._rows = _room(most_rows, sensors)
        self._numbers: dict[str, int] = {}
        self._next_number = 0
        self._latest_ms: dict[int, int] = {}
        self._heard_s: dict[int, float] = {}

    def __len__(self) -> int:
        return self._count

    def wanted(self, machine_id: str, timestamps_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of a machine's next rows are kept: the first of each slot.

        Where time goes back, because a clock was ahead or readings are judged again, what was kept
        from there on makes way.
        """
        if not len(timestamps_ms):
            return np.zeros(0, dtype=np.int64)
        number = self._numbers.get(machine_id)
        latest_ms = -1 if number is None else self._latest_ms[number]
        if number is not None and timestamps_ms[0] <= latest_ms:
            latest_ms = self._gone_back(number, int(timestamps_ms[0]))
        slots = timestamps_ms // self._slot_ms
        before = np.concatenate(([latest_ms // self._slot_ms], slots[:-1]))
        return np.flatnonzero(slots > np.maximum.accumulate(before))

    def add(self, machine_id: str, rows: Rows, now_s: float) -> None:
        """Keep rows of one machine, whose number is filled in here.

        Parameters
        ----------
        now_s
            When they were heard of: a machine that falls silent is let go after the window.
        """
        number = self._numbers.setdefault(machine_id, self._next_number)
        self._next_number = max(self._next_number, number + 1)
        self._heard_s[number] = now_s
        self._latest_ms.setdefault(number, -1)
        if len(rows.cluster):
            self._latest_ms[number] = int(rows.timestamps_ms[-1])
        at = 0
        while at < len(rows.cluster):
            if self._count == len(self._rows.cluster):
                self._make_room()
            part = rows.taken(slice(at, at + len(self._rows.cluster) - self._count))
            own = slice(self._count, self._count + len(part.cluster))
            for kept, new in zip(self._rows, part, strict=True):
                kept[own] = new
            self._rows.machine[own] = number
            self._count += len(part.cluster)
            at += len(part.cluster)

    def rows(self, now_s: float) -> Rows:
        """The rows of the window, machine after machine in time order; not to be kept for long."""
        self._drop_old(now_s)
        if self._slot_ms > 1 and self._count < len(self._rows.cluster) // 4:
            # Many fell silent: of the others there is room for more.
            self._slot_ms //= 2
        rows = self._rows.taken(slice(0, self._count))
        order = np.lexsort((rows.timestamps_ms, rows.machine))
        return rows.taken(order)

    def resize(self, most_rows: int) -> None:
        """Have room for another number of rows."""
        if most_rows == len(self._rows.cluster):
            return
        while self._count > most_rows:
            self._thin()
        kept = self._rows.taken(slice(0, self._count))
        self._rows = _room(most_rows, kept.values.shape[1])
        for room, column in zip(self._rows, kept, strict=True):
            room[: self._count] = column

    def _gone_back(self, number: int, first_ms: int) -> int:
        own = (self._rows.machine == number)[: self._count]
        times = self._rows.timestamps_ms[: self._count]
        self._keep(~(own & (times >= first_ms)))
        left = self._rows.timestamps_ms[: self._count][self._rows.machine[: self._count] == number]
        self._latest_ms[number] = int(left.max()) if len(left) else -1
        return self._latest_ms[number]

    def _make_room(self) -> None:
        self._drop_old(None)
        while self._count > len(self._rows.cluster) // 2:
            self._thin()

    def _drop_old(self, now_s: float | None) -> None:
        """Drop what is before each machine's window and, told the time, machines not heard of."""
        machine = self._rows.machine[: self._count]
        oldest = np.zeros(self._next_number, dtype=np.int64)
        for number, latest_ms in self._latest_ms.items():
            oldest[number] = latest_ms - self._window_ms
        if now_s is not None:
            silent = {
                number
                for number, heard_s in self._heard_s.items()
                if heard_s < now_s - self._window_ms / 1_000
            }
            for number in silent:
                oldest[number] = np.iinfo(np.int64).max
            self._numbers = {
                name: number for name, number in self._numbers.items() if number not in silent
            }
            for number in silent:
                del self._latest_ms[number], self._heard_s[number]
        self._keep(self._rows.timestamps_ms[: self._count] > oldest[machine])

    def _thin(self) -> None:
        """Make the slots twice as long and keep the first row of each."""
        self._slot_ms *= 2
        rows = self._rows.taken(slice(0, self._count))
        order = np.lexsort((rows.timestamps_ms, rows.machine))
        slots = rows.timestamps_ms[order] // self._slot_ms
        machine = rows.machine[order]
        is_first = np.ones(self._count, dtype=np.bool_)
        is_first[1:] = (np.diff(slots) > 0) | (np.diff(machine) > 0)
        keep = np.zeros(self._count, dtype=np.bool_)
        keep[order[is_first]] = True
        # Many machines with a row each are no slots to merge: some go.
        if keep.all():
            keep[::2] = False
        self._keep(keep)

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        if keep.all():
            return
        kept = self._rows.taken(slice(0, self._count)).taken(keep)
        self._count = len(kept.cluster)
        for room, column in zip(self._rows, kept, strict=True):
            room[: self._count] = column


def _room(rows: int, sensors: int) -> Rows:
    return Rows(
        np.zeros(rows, dtype=np.int64),
        np.zeros(rows, dtype=np.int64),
        np.zeros(rows, dtype=np.int64),
        np.zeros(rows),
        np.zeros((rows, sensors)),
    )
