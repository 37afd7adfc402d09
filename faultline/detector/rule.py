"""What an evaluation needs to know of the rule by which scores become alarms."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class AlarmRule(NamedTuple):
    """How scores become what a person sees.

    Attributes
    ----------
    rows
        How many scored rows it looks back over.
    is_open
        From the scores of consecutive rows of one machine, shape (n,) with NaN where there is
        none, to whether an alarm is open at each row. It opens on rows that have a score.
    """

    rows: int
    is_open: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
