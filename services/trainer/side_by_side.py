"""A candidate beside the champion: both on the same held-out, most recent rows.

It measures; what is too much worse the gate decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faultline.detector import Detector, MachineHistory
from faultline.detector.evaluation import (
    InjectionReport,
    NotEvaluated,
    StandIn,
    alarm_share,
    measure_alike,
)
from services.trainer.champion import Contender
from services.trainer.dataset import Dataset
from services.trainer.evaluation import RULE
from services.trainer.gate_facts import Beside, Pair
from services.trainer.wording import names


def compare(
    candidate: Detector,
    stand_in: StandIn | NotEvaluated,
    champion: Contender,
    dataset: Dataset,
    seed: int,
) -> Beside:
    """Measure both on the last fifth of every history.

    Alarms on healthy rows are counted where neither has an advantage. Where the champion has not
    learnt from most of these rows, on those, and the stand-in counts for the candidate: neither has
    learnt from them. Where it has, on those that it has, and the candidate itself counts: both
    have. Injected faults are news to everyone, so for them the candidate itself counts always: only
    it shows what the end of the history has made of it.

    Parameters
    ----------
    stand_in
        The candidate fitted without that fifth; why there is none, if there is none.
    seed
        Of the injected faults.
    """
    version = champion.model.version
    chosen = dataset.query.sensors is not None
    absent = [name for name in champion.model.detector.sensors if name not in dataset.sensors]
    if absent and chosen:
        return Beside(version, unwatched=tuple(absent))
    notes = [f"no readings of {names(absent)}, which version {version} looks at"] if absent else []
    if isinstance(stand_in, NotEvaluated):
        notes.append(f"not compared with version {version} on held-out rows: {stand_in.reason}")
        return Beside(version, notes=tuple(notes))
    rows, learnt = _ground(stand_in.held_out, champion)
    reports = measure_alike(
        [candidate, champion.model.detector], dataset.sensors, rows, rule=RULE, seed=seed
    )
    refusals = [one.reason for one in reports if isinstance(one, NotEvaluated)]
    own, theirs = reports
    if isinstance(own, NotEvaluated) or isinstance(theirs, NotEvaluated):
        notes.append(f"not compared with version {version} on held-out rows: {refusals[0]}")
        return Beside(version, notes=tuple(notes))
    share = (
        own.alarm_share if learnt else alarm_share(stand_in.detector, dataset.sensors, rows, RULE)
    )
    notes.append(_told(rows, version, learnt))
    return Beside(
        version,
        alarm_share=None if share is None else Pair(share, theirs.alarm_share),
        recall=_recalls(own, theirs),
        notes=tuple(notes),
    )


def _ground(
    held_out: Sequence[MachineHistory], champion: Contender
) -> tuple[list[MachineHistory], bool]:
    """The rows that most are like, of those the champion has learnt from and the others."""
    learnt = [champion.learnt(history.timestamps_ms) for history in held_out]
    seen = sum(int(mask.sum()) for mask in learnt)
    of_learnt = 2 * seen > sum(len(mask) for mask in learnt)
    return [
        _those(history, mask if of_learnt else ~mask)
        for history, mask in zip(held_out, learnt, strict=True)
    ], of_learnt


def _those(history: MachineHistory, mask: NDArray[np.bool_]) -> MachineHistory:
    return MachineHistory(history.machine_id, history.timestamps_ms[mask], history.values[mask])


def _recalls(own: InjectionReport, theirs: InjectionReport) -> Pair | None:
    if own.recall is None or theirs.recall is None:
        return None
    return Pair(own.recall, theirs.recall)


def _told(rows: Sequence[MachineHistory], version: str, learnt: bool) -> str:
    count = sum(len(history.values) for history in rows)
    who = "both have" if learnt else "neither has"
    return f"compared with version {version} on the most recent {count:,} rows, which {who} learnt"
