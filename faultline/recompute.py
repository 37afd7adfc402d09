"""Gives verdicts once more, from the stored readings and the versions that the stored ones name.

Pure: it judges as the stream does, and knows nothing of where readings, verdicts or models come
from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from faultline.alarms import AlarmPolicy
from faultline.errors import NotFound
from faultline.judge import Explanation, Model, judge
from faultline.machine_state import MachineState
from faultline.ports.stores import MachineRows, StoredVerdict
from faultline.readings import Reading
from faultline.verdicts import Status, Verdict

NO_CONTRIBUTIONS = Explanation(min_score=math.inf, sensors=0)
TOLERANCE = 1e-9
"""Scores that differ relatively by less are equal: sums are taken in another order when readings
come in other batches."""
_AT_ONCE = 8_192


class Recomputed(NamedTuple):
    """A verdict as it is stored and as it comes out again.

    Attributes
    ----------
    anew
        None where it cannot be given again: its reading is not stored, or it calls the reading
        late, which depends on the order of arrival.
    """

    stored: StoredVerdict
    anew: Verdict | None

    @property
    def differs(self) -> bool:
        """Whether status, cluster or the presence of a score is another."""
        kept, anew = self.stored.verdict, self.anew
        return (
            anew is None
            or kept.status is not anew.status
            or kept.cluster != anew.cluster
            or (kept.score is None) is not (anew.score is None)
        )

    @property
    def relative_difference(self) -> float | None:
        """Between the scores; None unless there are two."""
        one = self.stored.verdict.score
        other = None if self.anew is None else self.anew.score
        if one is None or other is None:
            return None
        scale = max(abs(one), abs(other))
        return 0.0 if scale == 0.0 else abs(one - other) / scale

    @property
    def equal(self) -> bool:
        """Whether it is the same verdict, the score within `TOLERANCE`."""
        return not self.differs and (self.relative_difference or 0.0) <= TOLERANCE


class Recomputation:
    """Judges one machine's readings again, in time order, changing models where its verdicts did.

    Calls after one another go on from the same state, so that a history may come in parts.

    Parameters
    ----------
    models
        By name and version.
    """

    def __init__(self, models: Mapping[tuple[str, str], Model]) -> None:
        self._models = models
        self._state: MachineState | None = None

    def fill(self, rows: MachineRows, verdicts: Sequence[StoredVerdict], model: Model) -> None:
        """Put the readings of these verdicts into the window; what was followed is forgotten."""
        readings = _readings(rows, verdicts)
        if readings:
            judgement = judge(model, self._state, readings, AlarmPolicy(), NO_CONTRIBUTIONS)
            self._state = MachineState(window=judgement.state.window)

    def judge(
        self,
        rows: MachineRows,
        verdicts: Sequence[StoredVerdict],
        explanation: Explanation = NO_CONTRIBUTIONS,
    ) -> Iterator[Recomputed]:
        """Give the next verdicts again.

        Parameters
        ----------
        rows
            Those that the verdicts are on, as far as they are stored; others are left out.
        verdicts
            In time order, later than those of the calls before.

        Raises
        ------
        NotFound
            When a verdict names a version that `models` lacks.
        """
        for judged_by, run in groupby(verdicts, key=_judged_by):
            model = self._model(judged_by, rows.machine_id)
            part: list[StoredVerdict] = []
            for stored in run:
                part.append(stored)
                if len(part) == _AT_ONCE:
                    yield from self._part(model, _readings(rows, part), part, explanation)
                    part = []
            yield from self._part(model, _readings(rows, part), part, explanation)

    def _model(
        self, judged_by: tuple[str, str | None, str | None], machine_id: str
    ) -> Model | None:
        _, name, version = judged_by
        if name is None or version is None:
            return None
        model = self._models.get((name, version))
        if model is None:
            raise NotFound(
                f"{machine_id} has verdicts of {name} version {version}, which is not registered"
            )
        return model

    def _part(
        self,
        model: Model | None,
        readings: Sequence[Reading],
        part: Sequence[StoredVerdict],
        explanation: Explanation,
    ) -> Iterator[Recomputed]:
        anew: dict[int, Verdict] = {}
        if readings:
            judgement = judge(model, self._state, readings, AlarmPolicy(), explanation)
            self._state = judgement.state
            anew = {verdict.timestamp_ms: verdict for verdict in judgement.batch.verdicts}
        for stored in part:
            yield Recomputed(stored, anew.get(stored.verdict.timestamp_ms))


def _readings(rows: MachineRows, part: Sequence[StoredVerdict]) -> list[Reading]:
    # A late reading never was in the window: in time order it would get there.
    on_time = [stored for stored in part if stored.verdict.status is not Status.LATE]
    times = np.array([stored.verdict.timestamp_ms for stored in on_time], dtype=np.int64)
    places = np.searchsorted(rows.timestamps_ms, times)
    stored_too = np.append(rows.timestamps_ms, -1)[places] == times
    return [
        _reading(rows, place, stored)
        for place, stored, there in zip(places.tolist(), on_time, stored_too.tolist(), strict=True)
        if there
    ]


def _reading(rows: MachineRows, row: int, stored: StoredVerdict) -> Reading:
    return Reading(
        machine_id=rows.machine_id,
        timestamp_ms=stored.verdict.timestamp_ms,
        sensors={
            name: None if math.isnan(value) else value
            for name, value in zip(rows.sensors, rows.values[row].tolist(), strict=True)
        },
        machine_type=stored.machine_type,
    )


def _judged_by(stored: StoredVerdict) -> tuple[str, str | None, str | None]:
    return stored.machine_type, stored.model_name, stored.model_version
