"""Stored verdicts held against those computed anew from the stored readings and registered models.

Pure: it judges as the stream does, offline, and knows nothing of where the rows come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from faultline.alarms import AlarmPolicy
from faultline.demo.report import RecomputedReport
from faultline.errors import NotFound
from faultline.judge import Explanation, Model, judge
from faultline.machine_state import MachineState
from faultline.ports.stores import MachineRows, StoredVerdict
from faultline.readings import Reading
from faultline.verdicts import Verdict

_NO_CONTRIBUTIONS = Explanation(min_score=math.inf, sensors=0)


def recompute(
    rows: MachineRows, verdicts: Sequence[StoredVerdict], models: Mapping[str, Model]
) -> RecomputedReport:
    """Judge one machine's readings from its first one, changing models where its verdicts did.

    A verdict made by half a model, by another than it names, or from a window that was lost on the
    way, has another score than this.

    Parameters
    ----------
    rows
        All that is stored of the machine.
    verdicts
        All of its verdicts, in time order.
    models
        By version.

    Raises
    ------
    NotFound
        When a verdict names a version that `models` lacks.
    """
    readings = {reading.timestamp_ms: reading for reading in _readings(rows, verdicts)}
    state: MachineState | None = None
    scores = differing = 0
    largest = 0.0
    versions: list[str] = []
    for version, run in _runs(verdicts):
        if version is not None and version not in models:
            raise NotFound(f"{rows.machine_id} has verdicts of version {version}, not registered")
        judged = [
            readings[stored.verdict.timestamp_ms]
            for stored in run
            if stored.verdict.timestamp_ms in readings
        ]
        differing += len(run) - len(judged)
        if version is not None and version not in versions:
            versions.append(version)
        if not judged:
            continue
        model = None if version is None else models[version]
        judgement = judge(model, state, judged, AlarmPolicy(), _NO_CONTRIBUTIONS)
        state = judgement.state
        stored_at = {stored.verdict.timestamp_ms: stored.verdict for stored in run}
        for anew in judgement.batch.verdicts:
            kept = stored_at[anew.timestamp_ms]
            if _differs(kept, anew):
                differing += 1
            elif kept.score is not None and anew.score is not None:
                scores += 1
                largest = max(largest, _relative_difference(kept.score, anew.score))
    return RecomputedReport(
        machine_id=rows.machine_id,
        verdicts=len(verdicts),
        scores=scores,
        versions=tuple(versions),
        differing=differing,
        largest_relative_difference=largest,
    )


def _readings(rows: MachineRows, verdicts: Sequence[StoredVerdict]) -> Iterator[Reading]:
    machine_type = verdicts[0].machine_type if verdicts else ""
    for timestamp_ms, values in zip(rows.timestamps_ms.tolist(), rows.values.tolist(), strict=True):
        yield Reading(
            machine_id=rows.machine_id,
            timestamp_ms=timestamp_ms,
            sensors={
                name: None if math.isnan(value) else value
                for name, value in zip(rows.sensors, values, strict=True)
            },
            machine_type=machine_type,
        )


def _runs(
    verdicts: Sequence[StoredVerdict],
) -> Iterator[tuple[str | None, Sequence[StoredVerdict]]]:
    """Cut verdicts in time order into stretches of one version."""
    begin = 0
    for end in range(1, len(verdicts) + 1):
        version = verdicts[begin].model_version
        if end == len(verdicts) or verdicts[end].model_version != version:
            yield version, verdicts[begin:end]
            begin = end


def _differs(kept: Verdict, anew: Verdict) -> bool:
    return (
        kept.status is not anew.status
        or kept.cluster != anew.cluster
        or (kept.score is None) is not (anew.score is None)
    )


def _relative_difference(one: float, other: float) -> float:
    scale = max(abs(one), abs(other))
    return 0.0 if scale == 0.0 else abs(one - other) / scale
