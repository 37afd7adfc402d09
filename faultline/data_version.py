"""Names the rows that a model learnt from, whether they came from a database or from files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from faultline.detector import MachineHistory


def data_version(sensors: Sequence[str], histories: Sequence[MachineHistory]) -> str:
    """Name the rows: the same rows have the same name, whenever and wherever they are read.

    SHA-256, in hex, over: the sensors' names as a JSON array; then per machine, in the order given,
    its id as JSON, the number of its rows, their times as little-endian int64 milliseconds, and
    their values row by row as little-endian float64, every missing value as one and the same NaN.

    Parameters
    ----------
    histories
        By machine id.
    """
    digest = hashlib.sha256(msgspec.json.encode(list(sensors)))
    for history in histories:
        digest.update(msgspec.json.encode([history.machine_id, len(history.timestamps_ms)]))
        digest.update(np.ascontiguousarray(history.timestamps_ms, dtype="<i8").data)
        digest.update(_canonical(history.values).data)
    return digest.hexdigest()


def _canonical(values: NDArray[np.float64]) -> NDArray[np.float64]:
    canonical = np.ascontiguousarray(values, dtype="<f8")
    return np.where(np.isnan(canonical), np.nan, canonical)
