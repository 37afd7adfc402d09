"""A machine's window: its last raw rows. It knows sensors by name and nothing of any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def rows_since_gap(timestamps_ms: NDArray[np.int64], max_gap_ms: int) -> NDArray[np.int64]:
    """Count for each row the rows since the first, or since the last gap; itself included.

    Parameters
    ----------
    timestamps_ms
        Shape (n,), strictly increasing.
    max_gap_ms
        A longer step is a gap.

    Returns
    -------
    ndarray
        Shape (n,), int64, at least 1.

    Examples
    --------
    >>> rows_since_gap(np.array([0, 10, 20, 90, 100]), max_gap_ms=50)
    array([1, 2, 3, 1, 2])
    """
    position = np.arange(len(timestamps_ms), dtype=np.int64)
    start = np.zeros_like(position)
    start[1:] = np.where(np.diff(timestamps_ms) > max_gap_ms, position[1:], 0)
    np.maximum.accumulate(start, out=start)
    return position - start + 1


@dataclass(frozen=True, eq=False)
class Window:
    """The last raw rows of one machine, oldest first.

    Raw, so that it outlives the model: after a reload the new model goes on from the same rows.

    Attributes
    ----------
    sensors
        Names of the columns.
    timestamps_ms
        Shape (m,), int64, strictly increasing.
    values
        Shape (m, d), float64, in the sensors' own units; NaN is a missing value.

    Examples
    --------
    >>> window = Window(("a", "b"), np.array([1000]), np.array([[1.0, 2.0]]))
    >>> window.aligned(("b", "c")).values
    array([[ 2., nan]])
    """

    sensors: tuple[str, ...]
    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        expected = (len(self.timestamps_ms), len(self.sensors))
        if self.values.shape != expected:
            raise ValueError(
                f"window values have the shape {self.values.shape}; {expected[0]} timestamps and "
                f"{expected[1]} sensors ask for {expected}"
            )

    def __len__(self) -> int:
        return len(self.timestamps_ms)

    @classmethod
    def empty(cls, sensors: Sequence[str]) -> Window:
        """Build the window of a machine of which nothing has been seen yet."""
        return cls(tuple(sensors), np.empty(0, dtype=np.int64), np.empty((0, len(sensors))))

    def aligned(self, sensors: Sequence[str]) -> Window:
        """Rearrange the same rows to the columns `sensors`; those it does not have are missing."""
        wanted = tuple(sensors)
        if wanted == self.sensors:
            return self
        column = {name: position for position, name in enumerate(self.sensors)}
        values = np.full((len(self), len(wanted)), np.nan)
        for position, name in enumerate(wanted):
            if name in column:
                values[:, position] = self.values[:, column[name]]
        return Window(wanted, self.timestamps_ms, values)

    def precedes(self, timestamps_ms: NDArray[np.int64]) -> bool:
        """Whether some times (n,) strictly increase, and are all later than the window's last."""
        if len(timestamps_ms) > 1 and not (timestamps_ms[1:] > timestamps_ms[:-1]).all():
            return False
        if not len(timestamps_ms) or not len(self.timestamps_ms):
            return True
        return timestamps_ms.item(0) > self.timestamps_ms.item(-1)

    def check_next(self, timestamps_ms: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Refuse rows that cannot follow: times (n,) and values (n, d).

        Raises
        ------
        ValueError
            When the shapes disagree or a row comes too late.
        """
        expected = (len(timestamps_ms), len(self.sensors))
        if values.shape != expected:
            raise ValueError(
                f"values have the shape {values.shape}; {expected[0]} timestamps and "
                f"{expected[1]} sensors ask for {expected}"
            )
        if not self.precedes(timestamps_ms):
            raise ValueError(
                "timestamps must strictly increase and be later than the window's last; take late "
                "and duplicate rows out first"
            )

    def followed_by(
        self, timestamps_ms: NDArray[np.int64], values: NDArray[np.float64], keep_rows: int
    ) -> Window:
        """Return the window after some more rows, of which it keeps the last `keep_rows`."""
        if len(timestamps_ms) >= keep_rows:
            return Window(self.sensors, timestamps_ms, values).last(keep_rows)
        old = max(0, len(self) - (keep_rows - len(timestamps_ms)))
        return Window(
            self.sensors,
            np.concatenate((self.timestamps_ms[old:], timestamps_ms)),
            np.concatenate((self.values[old:], values)),
        )

    def last(self, rows: int) -> Window:
        """Return the last so many rows, or all there are."""
        if len(self) <= rows:
            return self
        # Copies: a slice would keep all rows in memory.
        return Window(self.sensors, self.timestamps_ms[-rows:].copy(), self.values[-rows:].copy())
