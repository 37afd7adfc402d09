"""The golden batch of a bundle: rows and the scores that they must give wherever they are scored.

It knows the detector and one file's content, and nothing of the other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultline import bundle_files as files
from faultline.detector import Detector, MachineHistory, RowState, Scores, Window
from faultline.errors import InvalidBundle

GOLDEN = "golden.npz"

_GOLDEN_ROWS = 64
_RELATIVE = 1e-9
_ABSOLUTE = 1e-12


@dataclass(frozen=True, eq=False)
class GoldenBatch:
    """Rows of one machine and the scores that they must give, from an empty window on.

    Attributes
    ----------
    timestamps_ms
        Shape (n,), int64.
    values
        Shape (n, d), columns as the detector's sensors; NaN where missing.
    score
        Shape (n,): NaN where a row has none.
    state, cluster
        Shape (n,), int64, as in `faultline.detector.Scores`.
    machine
        Shape (1,), int64: which of the detector's machines it is, whose own baseline is then a
        part of what is verified; -1 for one without a baseline.
    """

    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    score: NDArray[np.float64]
    state: NDArray[np.int64]
    cluster: NDArray[np.int64]
    machine: NDArray[np.int64]

    def rescored(self, detector: Detector) -> Scores:
        """Score the rows anew; raises ValueError when they can't be."""
        [index] = self.machine.tolist()
        machine_id = None if index < 0 else detector.machines[index]
        return _score(detector, machine_id, self.timestamps_ms, self.values)


def golden_batch(
    detector: Detector, history: MachineHistory, rows: int = _GOLDEN_ROWS
) -> GoldenBatch:
    """Score stretches of a machine's history: of every cluster it is seen in, the last rows.

    Parameters
    ----------
    history
        Columns as the detector's sensors.
    rows
        How many scored rows, shared between the clusters; the rows of their windows come on top.

    Raises
    ------
    ValueError
        When no row of the history can be scored.
    """
    machine_id = history.machine_id if history.machine_id in detector.machines else None
    scores = _score(detector, machine_id, history.timestamps_ms, history.values)
    clusters = np.unique(scores.cluster[scores.state == RowState.SCORED])
    if not clusters.size:
        raise ValueError(
            f"no row of {history.machine_id!r} can be scored; take another machine's history"
        )
    taken = np.zeros(len(scores), dtype=np.bool_)
    for cluster in clusters:
        for row in np.flatnonzero(scores.cluster == cluster)[-max(1, rows // len(clusters)) :]:
            taken[max(0, row - detector.window_rows + 1) : row + 1] = True
    timestamps_ms = history.timestamps_ms[taken].astype(np.int64)
    values = history.values[taken].astype(np.float64)
    scores = _score(detector, machine_id, timestamps_ms, values)
    index = -1 if machine_id is None else detector.machines.index(machine_id)
    return GoldenBatch(
        timestamps_ms,
        values,
        scores.score,
        scores.state.astype(np.int64),
        scores.cluster.astype(np.int64),
        np.array([index], dtype=np.int64),
    )


def _score(
    detector: Detector,
    machine_id: str | None,
    timestamps_ms: NDArray[np.int64],
    values: NDArray[np.float64],
) -> Scores:
    empty = Window.empty(detector.sensors)
    return detector.score(empty, timestamps_ms, values, machine_id=machine_id)[0]


def verify_golden(detector: Detector, content: bytes) -> None:
    """Score a bundle's golden batch anew; raises `InvalidBundle` when it comes out otherwise."""
    golden = _golden(detector, files.unpack(GOLDEN, content))
    # A forged window would otherwise ask for more memory than there is.
    if detector.window_rows > len(golden.state):
        raise InvalidBundle(
            f"{GOLDEN}: {len(golden.state)} rows are no window of {detector.window_rows}"
        )
    if not -1 <= golden.machine[0] < len(detector.machines):
        raise InvalidBundle(
            f"{GOLDEN}: is of machine {golden.machine[0]}, and the detector has "
            f"{len(detector.machines)}"
        )
    if not (golden.state == RowState.SCORED).any():
        raise InvalidBundle(f"{GOLDEN}: no row of the golden batch has a score")
    try:
        # Altered numbers may overflow; the comparison then says so.
        with np.errstate(all="ignore"):
            scores = golden.rescored(detector)
    except ValueError as error:
        raise InvalidBundle(f"{GOLDEN}: cannot be scored: {error}") from error
    same = (
        np.array_equal(scores.state, golden.state)
        and np.array_equal(scores.cluster, golden.cluster)
        and np.allclose(scores.score, golden.score, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)
    )
    if not same:
        raise InvalidBundle(
            f"{GOLDEN}: the golden batch does not give the scores that it gave in training; the "
            "detector was altered, or this Faultline scores otherwise"
        )


def _golden(detector: Detector, arrays: Mapping[str, NDArray[Any]]) -> GoldenBatch:
    rows = len(arrays["timestamps_ms"]) if "timestamps_ms" in arrays else 0
    expected = {
        "timestamps_ms": (np.int64, (rows,)),
        "values": (np.float64, (rows, len(detector.sensors))),
        "score": (np.float64, (rows,)),
        "state": (np.int64, (rows,)),
        "cluster": (np.int64, (rows,)),
        "machine": (np.int64, (1,)),
    }
    if set(arrays) != set(expected):
        raise InvalidBundle(f"{GOLDEN}: holds {sorted(arrays)}; must be {sorted(expected)}")
    for name, (dtype, shape) in expected.items():
        array = arrays[name]
        if array.dtype != dtype or array.shape != shape:
            raise InvalidBundle(
                f"{GOLDEN}: {name} is {array.dtype} of the shape {array.shape}; must be "
                f"{np.dtype(dtype)} of {shape}"
            )
    return GoldenBatch(**arrays)
