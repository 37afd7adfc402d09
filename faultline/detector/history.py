"""What the detector learns from: the past rows of each machine.

Plain arrays: it must not know where they were stored or how they came.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class UnfitHistory(ValueError):
    """History that no detector can be fitted to; the text says what it lacks."""


@dataclass(frozen=True, eq=False)
class MachineHistory:
    """One machine's training rows in time order.

    Attributes
    ----------
    machine_id
        Names the machine in held-out blocks and timelines.
    timestamps_ms
        Shape (n,), int64, strictly increasing milliseconds.
    values
        Shape (n, d), float64, in the sensors' own units; NaN is a missing value. The columns
        are the `sensors` given to `fit`.

    Raises
    ------
    ValueError
        When the shapes disagree or the timestamps do not increase.
    """

    machine_id: str
    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.timestamps_ms.ndim != 1 or self.values.ndim != 2:
            raise ValueError(
                f"history of {self.machine_id!r}: timestamps must have the shape (n,) and values "
                f"(n, d); got {self.timestamps_ms.shape} and {self.values.shape}"
            )
        if len(self.timestamps_ms) != len(self.values):
            raise ValueError(
                f"history of {self.machine_id!r}: {len(self.timestamps_ms)} timestamps for "
                f"{len(self.values)} rows; give one per row"
            )
        backwards = np.flatnonzero(np.diff(self.timestamps_ms) <= 0)
        if backwards.size:
            row = int(backwards[0]) + 1
            raise ValueError(
                f"history of {self.machine_id!r}: row {row} is not later than the row before; "
                "sort the rows by time and drop duplicates"
            )
