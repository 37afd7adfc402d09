"""Made-up sensors for the benchmarks of speed, whose figures do not hang on what the rows say."""

from __future__ import annotations

import numpy as np

from bench.recordings import Rows

SENSORS = 16
REGIMES = 4
_STRETCH_ROWS = 100


def running_machine(rows: int, seed: int = 0) -> Rows:
    """Readings of a machine that changes between four regimes, shape (rows, 16)."""
    rng = np.random.default_rng(seed)
    levels = np.random.default_rng(0).normal(scale=4.0, size=(REGIMES, SENSORS))
    visits = rng.integers(REGIMES, size=-(-rows // _STRETCH_ROWS))
    values: Rows = levels[np.repeat(visits, _STRETCH_ROWS)[:rows]]
    return values + rng.normal(size=(rows, SENSORS))
