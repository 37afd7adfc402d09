"""A candidate beside the champion: both on the same held-out, most recent rows.

It measures; what is too much worse the gate decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultline.detector import Detector, MachineHistory
from faultline.detector.evaluation import (
    AlarmRule,
    InjectionReport,
    NotEvaluated,
    StandIn,
    alarm_share,
    in_alarm,
    measure_alike,
)
from services.trainer.champion import Contender
from services.trainer.dataset import Dataset
from services.trainer.evaluation import SKIPPED
from services.trainer.gate_facts import Beside, Pair
from services.trainer.wording import names


def compare(
    candidate: Detector,
    stand_in: StandIn | NotEvaluated,
    champion: Contender,
    dataset: Dataset,
    *,
    rule: AlarmRule,
    seed: int,
) -> Beside:
    """Measure both on the last fifth of every history.

    Alarms on healthy rows are counted where neither has an advantage. Where the champion has not
    learnt from most of these rows, on those, and the stand-in counts for the candidate: neither has
    learnt from them. Where it has, on those that it has, and the candidate itself counts: both
    have. Injected faults are news to everyone, so for them the candidate itself counts always: only
    it shows what the end of the history has made of it.

    Rows in alarm by the champion are disputed: a fault, or what is normal now. They are left out of
    both, or a champion that is right about them would be called blind and loud; how many of them
    the candidate has learnt as normal is a figure of its own.

    Where the fifth is too short for the longer of the two windows, all rows take its place.

    Parameters
    ----------
    stand_in
        The candidate fitted without that fifth; why there is none, if there is none.
    rule
        By which the predictor raises alarms.
    seed
        Of the injected faults.
    """
    version = champion.model.version
    chosen = dataset.query.sensors is not None
    absent = [name for name in champion.model.detector.sensors if name not in dataset.sensors]
    if absent and chosen:
        return Beside(version, unwatched=tuple(absent))
    notes = [f"no readings of {names(absent)}, which version {version} looks at"] if absent else []
    if stand_in is SKIPPED:
        notes.append(f"not compared with version {version} on held-out rows: {SKIPPED.reason}")
        return Beside(version, notes=tuple(notes))
    # A fault's size goes by the champion: the spreads of one that has learnt a fault are wide.
    detectors = [champion.model.detector, candidate]
    refusal = ""
    theirs_open = in_alarm(champion.model.detector, dataset.sensors, dataset.histories, rule)
    own_open = in_alarm(candidate, dataset.sensors, dataset.histories, rule)
    silenced = sum(
        int((theirs & ~own).sum()) for theirs, own in zip(theirs_open, own_open, strict=True)
    )
    for ground in _grounds(stand_in, champion, dataset, theirs_open):
        theirs, own = measure_alike(detectors, dataset.sensors, ground.rows, rule=rule, seed=seed)
        if isinstance(own, InjectionReport) and isinstance(theirs, InjectionReport):
            notes.append(ground.told(version))
            share = own.alarm_share if ground.learnt else None
            if ground.stand_in is not None:
                share = alarm_share(ground.stand_in, dataset.sensors, ground.rows, rule)
            return Beside(
                version,
                alarm_share=None if share is None else Pair(share, theirs.alarm_share),
                recall=_recalls(own, theirs),
                silenced=silenced / dataset.rows,
                notes=tuple(notes),
            )
        refusal = next(one.reason for one in (theirs, own) if isinstance(one, NotEvaluated))
    notes.append(f"not compared with version {version} on held-out rows: {refusal}")
    return Beside(version, silenced=silenced / dataset.rows, notes=tuple(notes))


class _Ground(NamedTuple):
    """Rows to compare on.

    Attributes
    ----------
    learnt
        Whether the champion has learnt from them, as the candidate has.
    stand_in
        A candidate that has learnt from none of them; None when there is none.
    what
        Which rows they are.
    """

    rows: Sequence[MachineHistory]
    learnt: bool
    stand_in: Detector | None
    what: str

    def told(self, version: str) -> str:
        """In a sentence, what was compared on what."""
        count = sum(len(history.values) for history in self.rows)
        if self.learnt:
            whose = "which both have learnt"
        elif self.stand_in is not None:
            whose = "which neither has learnt"
        else:
            whose = f"which version {version} has not learnt: by injected faults only"
        return f"compared with version {version} on {self.what} {count:,} undisputed rows, {whose}"


def _grounds(
    stand_in: StandIn | NotEvaluated,
    champion: Contender,
    dataset: Dataset,
    disputed: Sequence[NDArray[np.bool_]],
) -> Iterator[_Ground]:
    """The last fifth; where that is too short for the longer of the two windows, everything."""
    if isinstance(stand_in, StandIn):
        ends = [
            mask[len(mask) - len(history.values) :]
            for history, mask in zip(stand_in.held_out, disputed, strict=True)
        ]
        rows, learnt = _alike(stand_in.held_out, champion, ends)
        yield _Ground(rows, learnt, None if learnt else stand_in.detector, "the most recent")
    rows, learnt = _alike(dataset.histories, champion, disputed)
    yield _Ground(rows, learnt, None, "all of the")


def _alike(
    histories: Sequence[MachineHistory],
    champion: Contender,
    disputed: Sequence[NDArray[np.bool_]],
) -> tuple[list[MachineHistory], bool]:
    """Of the rows that the champion has learnt from and the others, those that are more.

    Without those that are disputed.
    """
    learnt = [champion.learnt(history.timestamps_ms) for history in histories]
    seen = sum(int(mask.sum()) for mask in learnt)
    of_learnt = 2 * seen > sum(len(mask) for mask in learnt)
    return [
        _those(history, (mask if of_learnt else ~mask) & ~doubt)
        for history, mask, doubt in zip(histories, learnt, disputed, strict=True)
    ], of_learnt


def _those(history: MachineHistory, mask: NDArray[np.bool_]) -> MachineHistory:
    return MachineHistory(history.machine_id, history.timestamps_ms[mask], history.values[mask])


def _recalls(own: InjectionReport, theirs: InjectionReport) -> Pair | None:
    if own.recall is None or theirs.recall is None:
        return None
    return Pair(own.recall, theirs.recall)
