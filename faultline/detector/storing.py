"""Takes a detector apart for its two files, arrays and parameters, and reads them back.

It must not know how the files are written, nor what the parts mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from faultline.detector import parts
from faultline.detector.adaptation import AdaptationRule
from faultline.detector.health import HealthLimits
from faultline.detector.parts import Parameter

if TYPE_CHECKING:
    from faultline.detector.detector import Detector

_ARRAYS = (
    "centre",
    "scale",
    "spread",
    "change",
    "clusters",
    "covariance",
    "baselines",
    "between",
    "speed",
    "origin",
)
_LIMITS = ("low", "high", "longest_run", "longest_silence")


def arrays(detector: Detector) -> dict[str, NDArray[np.float64]]:
    """Take out what is an array; all of them float64."""
    taken = {name: getattr(detector, name) for name in _ARRAYS}
    if detector.limits is not None:
        for name in _LIMITS:
            taken[name] = getattr(detector.limits, name).astype(np.float64)
    return taken


def parameters(detector: Detector) -> dict[str, Parameter]:
    """Take out what is not an array."""
    return {
        "sensors": list(detector.sensors),
        "machines": list(detector.machines),
        "window_rows": detector.window_rows,
        "max_gap_ms": detector.max_gap_ms,
        "step_ms": detector.step_ms,
        "boundary": detector.boundary,
        "unknown_score": detector.unknown_score,
        "step_rows": detector.rule.step_rows,
        "follow_rows": detector.rule.follow_rows,
        "settle_ms": detector.rule.settle_ms,
    }


def fields_of(
    stored: Mapping[str, Parameter], stored_arrays: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Read the fields of the detector that `parameters` and `arrays` took apart.

    Raises
    ------
    ValueError
        When a part is absent or of the wrong kind.
    """
    limits = None
    if not stored_arrays.keys().isdisjoint(_LIMITS):
        limits = HealthLimits(
            low=parts.floats(stored_arrays, "low"),
            high=parts.floats(stored_arrays, "high"),
            longest_run=parts.wholes(stored_arrays, "longest_run"),
            longest_silence=parts.wholes(stored_arrays, "longest_silence"),
        )
    return {
        "sensors": parts.names(stored, "sensors"),
        "machines": parts.names(stored, "machines"),
        "window_rows": parts.whole(stored, "window_rows"),
        "max_gap_ms": parts.whole(stored, "max_gap_ms"),
        "step_ms": parts.whole(stored, "step_ms"),
        "boundary": parts.number(stored, "boundary"),
        "unknown_score": parts.number(stored, "unknown_score"),
        "rule": AdaptationRule(
            step_rows=parts.whole(stored, "step_rows"),
            follow_rows=parts.whole(stored, "follow_rows"),
            settle_ms=parts.whole(stored, "settle_ms"),
        ),
        "limits": limits,
        **{name: parts.floats(stored_arrays, name) for name in _ARRAYS},
    }
