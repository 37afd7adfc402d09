"""Refuses a detector whose parts do not fit together or hold values that cannot be. NumPy only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

MOST_CELLS = 20_000_000
"""Values that one machine's window may hold: 160 MB."""

if TYPE_CHECKING:
    from faultline.detector.detector import Detector


def check(detector: Detector) -> None:
    """Check all but whether the covariance is positive definite.

    Raises
    ------
    ValueError
        Saying what is wrong.
    """
    d = len(detector.sensors)
    if d == 0 or len(set(detector.sensors)) != d:
        raise ValueError(f"a detector needs distinct sensors; got {list(detector.sensors)}")
    if len(set(detector.machines)) != len(detector.machines):
        raise ValueError("a machine has one baseline; some machines are named twice")
    _check_window(detector)
    c = d * detector.segments
    expected = {
        "centre": (c,),
        "scale": (c,),
        "spread": (d,),
        "change": (d,) if detector.change.size else (0,),
        "clusters": (max(1, len(detector.clusters)), c),
        "covariance": (c, c) if detector.covariance.size else (0, 0),
        "baselines": (len(detector.machines), c) if detector.machines else (0, 0),
        "between": (c,) if detector.between.size else (0,),
        "speed": (c,) if detector.speed.size else (0,),
        "origin": (d,) if detector.origin.size else (0,),
    }
    for name, shape in expected.items():
        array: NDArray[np.float64] = getattr(detector, name)
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(
                f"{name} must be finite with the shape {shape}; got the shape {array.shape}"
            )
    if not (
        (detector.scale > 0).all()
        and (detector.spread >= 0).all()
        and (detector.between >= 0).all()
    ):
        raise ValueError("every scale must be positive, no spread and no variance negative")
    for name in ("boundary", "unknown_score"):
        number: float = getattr(detector, name)
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{name} must be a positive number; got {number!r}")
    if detector.limits is not None and len(detector.limits.low) != d:
        raise ValueError(f"the limits are of {len(detector.limits.low)} sensors; must be of {d}")


def _check_window(detector: Detector) -> None:
    d = len(detector.sensors)
    if detector.window_rows < 1 or detector.max_gap_ms < 1 or detector.step_ms < 0:
        raise ValueError(
            f"window_rows and max_gap_ms must be at least 1, step_ms at least 0; got "
            f"{detector.window_rows}, {detector.max_gap_ms} and {detector.step_ms}"
        )
    if detector.window_rows * d > MOST_CELLS:
        raise ValueError(
            f"a window of {detector.window_rows} rows of {d} sensors has more than {MOST_CELLS:,} "
            "values"
        )
