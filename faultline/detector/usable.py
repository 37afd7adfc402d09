"""Says which sensors can be learnt from: none that is constant, absent or a copy. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from faultline.detector.copies import Likeness, Signature, compare, signature
from faultline.detector.history import MachineHistory
from faultline.detector.scale import PRECISION_SHARE

_DIFFERENCE = {Likeness.EQUAL: "", Likeness.AFFINE: " but for scale and offset"}


def unusable_sensors(sensors: Sequence[str], histories: Sequence[MachineHistory]) -> dict[str, str]:
    """Name the sensors that can't be learnt from, each with the reason.

    Those with no value, with one value only, present in less than half of the rows, or the same
    as one before them: its copy would count every deviation twice, and since each sensor is
    centred and scaled by its own values, one in other units is the same copy.
    """
    reasons: dict[str, str] = {}
    rows = sum(len(history.values) for history in histories)
    originals: dict[int, Signature] = {}
    for column, name in enumerate(sensors):
        values = _column(histories, column)
        present = values[np.isfinite(values)]
        if not present.size:
            reasons[name] = "all values are missing"
        elif np.ptp(present) <= PRECISION_SHARE * np.abs(present).max():
            reasons[name] = f"constant: always {present[0]:g}"
        elif 2 * present.size < rows:
            missing = 100 * (1 - present.size / rows)
            reasons[name] = f"missing in {missing:.0f} % of the rows"
        else:
            own = signature(values)
            original = _original(values, own, originals, histories)
            if original is None:
                originals[column] = own
            else:
                reasons[name] = f"the same as {sensors[original[0]]}{original[1]}"
    return reasons


def _original(
    values: NDArray[np.float64],
    own: Signature,
    originals: Mapping[int, Signature],
    histories: Sequence[MachineHistory],
) -> tuple[int, str] | None:
    """Find the column that `values` are a copy of, and what is different all the same."""
    for column, signature_ in originals.items():
        if own.may_match(signature_):
            likeness = compare(_column(histories, column), values)
            if likeness is not None:
                return column, _DIFFERENCE[likeness]
    return None


def _column(histories: Sequence[MachineHistory], column: int) -> NDArray[np.float64]:
    return np.concatenate([history.values[:, column] for history in histories])
