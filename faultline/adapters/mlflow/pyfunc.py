"""A bundle as MLflow's own clients score with it: rows of a data frame in, verdicts out.

Imported by a version's `model.py`, and by nothing of Faultline: it needs pandas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # its types are a package apart
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from faultline.adapters.mlflow.scoring_files import OUTPUTS, OWN_COLUMNS
from faultline.alarms import AlarmPolicy
from faultline.bundle import read_bundle
from faultline.errors import InvalidReading
from faultline.judge import Explanation, Model, judge
from faultline.machine_state import MachineState
from faultline.readings import Reading, make_reading
from faultline.verdicts import Verdict

NOBODY = ""
"""The machine of rows that name none. No reading can: it has no baseline of its own."""

_TOP_SENSOR = Explanation(min_score=0.0, sensors=1)
_PART_ROWS = 4_096


class ScoringModel(PythonModel):
    """A version, loaded from its bundle. It keeps nothing between two calls."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle, verified; raises `InvalidBundle`."""
        bundle = read_bundle(Path(context.artifacts["bundle"]))
        self._model = Model(bundle.manifest.model_name, "", bundle.detector)
        self._machine_type = bundle.manifest.machine_type
        self._step_ms = int(context.model_config["step_ms"])

    def predict(  # type: ignore[override] # MLflow has both forms, and its type the longer one
        self, model_input: pd.DataFrame
    ) -> pd.DataFrame:
        """Judge rows, of a frame or as columns by name; see `score_frame`."""
        # `instances` and `inputs` of a request come as columns; MLflow warns of a type with both.
        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        return score_frame(self._model, self._machine_type, frame, self._step_ms)


def score_frame(model: Model, machine_type: str, frame: pd.DataFrame, step_ms: int) -> pd.DataFrame:
    """Judge the rows of a data frame as the stream would, every machine from an empty window on.

    Parameters
    ----------
    frame
        The rows of each machine in order of time. Columns: sensors, numbers with NaN or None where
        missing; if wanted ``machine_id``, and ``timestamp`` as RFC 3339, datetime or milliseconds
        since the epoch. Other columns are passed over.
    step_ms
        Between two rows of a machine, where there is no ``timestamp``.

    Returns
    -------
    DataFrame
        One row for each, with the same index: ``score`` (NaN where there is none), ``status``,
        ``cluster`` (-1 where there is none), ``known`` (False when far from every cluster),
        ``top_sensor`` and ``top_share`` (None and NaN where there is no score).

    Raises
    ------
    InvalidReading
        Naming the row, counted from 0, and what is wrong with it.
    """
    sensors = model.detector.sensors
    values = np.column_stack(
        [
            _numbers(frame[name], name)
            if name in frame.columns and name not in OWN_COLUMNS
            else np.full(len(frame), np.nan)
            for name in sensors
        ]
    )
    times = _times(frame)
    verdicts: dict[int, Verdict] = {}
    for machine_id, rows in _rows_by_machine(frame).items():
        readings: list[Reading] = []
        for position, row in enumerate(rows):
            at = step_ms * position if times is None else times[row]
            cells = [None if np.isnan(value) else value for value in values[row].tolist()]
            named = dict(zip(sensors, cells, strict=True))
            readings.append(_reading(row, machine_id, at, named, machine_type))
        verdicts.update(zip(rows, _judged(model, readings), strict=True))
    return _answer([verdicts[row] for row in range(len(frame))], frame.index)


def _judged(model: Model, readings: Sequence[Reading]) -> Iterator[Verdict]:
    state = MachineState()
    for start in range(0, len(readings), _PART_ROWS):
        part = readings[start : start + _PART_ROWS]
        judged = judge(model, state, part, AlarmPolicy(), _TOP_SENSOR)
        state = judged.state
        yield from judged.batch.verdicts


def _numbers(column: pd.Series, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise InvalidReading(f"column {name!r}: must hold numbers: {error}") from error


def _rows_by_machine(frame: pd.DataFrame) -> dict[str, Sequence[int]]:
    if "machine_id" not in frame.columns:
        return {NOBODY: range(len(frame))}
    grouped: dict[str, list[int]] = {}
    for row, machine_id in enumerate(frame["machine_id"].tolist()):
        grouped.setdefault(NOBODY if pd.isna(machine_id) else str(machine_id), []).append(row)
    return dict(grouped)


def _times(frame: pd.DataFrame) -> Sequence[Any] | None:
    if "timestamp" not in frame.columns:
        return None
    column = frame["timestamp"]
    if pd.api.types.is_datetime64_any_dtype(column):
        return [None if pd.isna(at) else at.to_pydatetime(warn=False) for at in column]
    return [None if pd.isna(at) else at for at in column.tolist()]


def _reading(
    row: int, machine_id: str, at: Any, sensors: dict[str, float | None], machine_type: str
) -> Reading:
    if at is None:
        raise InvalidReading(f"row {row}: timestamp: is missing")
    try:
        reading = make_reading(machine_id or "nobody", at, sensors, machine_type)
    except InvalidReading as error:
        raise InvalidReading(f"row {row}: {error}") from error
    return reading if machine_id else msgspec.structs.replace(reading, machine_id=NOBODY)


def _answer(given: Sequence[Verdict], index: pd.Index) -> pd.DataFrame:
    top = [one.contributions[0] if one.contributions else None for one in given]
    columns: dict[str, Any] = {
        "score": np.array([np.nan if one.score is None else one.score for one in given]),
        "status": [one.status.value for one in given],
        "cluster": np.array(
            [-1 if one.cluster is None else one.cluster for one in given], dtype=np.int64
        ),
        "known": np.array([one.known for one in given], dtype=np.bool_),
        "top_sensor": pd.Series(
            [None if one is None else one.sensor for one in top], dtype=object, index=index
        ),
        "top_share": np.array([np.nan if one is None else one.share for one in top]),
    }
    return pd.DataFrame({name: columns[name] for name in OUTPUTS}, index=index)
