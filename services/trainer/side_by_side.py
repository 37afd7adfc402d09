"""A candidate beside the champion: both on the same rows, the most recent where that is possible.

It measures; what is too much worse the gate decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from services.trainer.grounds import Ground, grounds
from services.trainer.wording import names

_NOT_LOOKED_AT = (
    "alarms, injected faults and what it has silenced were not looked at: without those sensors it "
    "is refused anyway"
)


def compare(
    candidate: Detector,
    stand_in: StandIn | NotEvaluated,
    champion: Contender,
    dataset: Dataset,
    recent: Sequence[MachineHistory],
    *,
    rule: AlarmRule,
    seed: int,
) -> Beside:
    """Measure both on the first ground that is long enough; see `services.trainer.grounds`.

    Alarms on healthy rows are counted where the candidate has no advantage: never on rows that it
    has learnt from and the champion has not. Injected faults are news to everyone, so for them the
    candidate itself counts always: only it shows what the end of the history has made of it.

    Rows in alarm by the champion are disputed: a fault, or what is normal now. They are left out of
    both, or a champion that is right about them would be called blind and loud; how many of them
    the candidate has learnt as normal is a figure of its own.

    Parameters
    ----------
    stand_in
        The candidate fitted without the last fifth; why there is none, if there is none.
    recent
        The newest stored rows of the machine type, with the dataset's columns.
    rule
        By which the predictor raises alarms.
    seed
        Of the injected faults.
    """
    version = champion.model.version
    theirs = champion.model.detector
    chosen = dataset.query.sensors is not None
    absent = [name for name in theirs.sensors if name not in dataset.sensors]
    if absent and chosen:
        return Beside(version, unwatched=tuple(absent), notes=(_NOT_LOOKED_AT,))
    notes = [f"no readings of {names(absent)}, which version {version} looks at"] if absent else []
    if stand_in is SKIPPED:
        notes.append(f"not compared with version {version} on held-out rows: {SKIPPED.reason}")
        return Beside(version, notes=tuple(notes))
    doubts = in_alarm(theirs, dataset.sensors, dataset.histories, rule)
    own = in_alarm(candidate, dataset.sensors, dataset.histories, rule)
    silenced = sum(int((one & ~other).sum()) for one, other in zip(doubts, own, strict=True))
    found = Beside(version, missing=_too_short(theirs, candidate, rule))
    for ground in grounds(
        candidate,
        stand_in,
        champion,
        dataset,
        recent,
        doubts=doubts,
        recent_doubts=in_alarm(theirs, dataset.sensors, recent, rule),
    ):
        tried = _on(ground, candidate, champion, dataset.sensors, rule=rule, seed=seed)
        # The first ground that tells anything, unless a later one tells all.
        if tried is not None and (found.recall is None or tried.missing is None):
            found = tried
        if found.missing is None:
            break
    notes += found.notes
    return replace(found, silenced=silenced / dataset.rows, notes=tuple(notes))


def _on(
    ground: Ground,
    candidate: Detector,
    champion: Contender,
    sensors: Sequence[str],
    *,
    rule: AlarmRule,
    seed: int,
) -> Beside | None:
    """Measure both on some rows; None where those are too few."""
    version = champion.model.version
    # A fault's size goes by the champion: the spreads of one that has learnt a fault are wide.
    detectors = [champion.model.detector, candidate]
    theirs, own = measure_alike(detectors, sensors, ground.rows, rule=rule, seed=seed)
    if isinstance(own, NotEvaluated) or isinstance(theirs, NotEvaluated):
        return None
    judged = ground.judged_by_alarms
    share = None if judged is None else own.alarm_share
    if judged is not None and judged is not candidate:
        share = alarm_share(judged, sensors, ground.rows, rule)
    recall = _recalls(own, theirs)
    missing = [
        *(["its false alarms (it has learnt from the rows itself)"] if share is None else []),
        *(["the faults that it finds (none could be injected)"] if recall is None else []),
    ]
    return Beside(
        version,
        alarm_share=None if share is None else Pair(share, theirs.alarm_share),
        recall=recall,
        times=ground.times,
        missing=" and ".join(missing) or None,
        notes=(ground.told(version),),
    )


def _too_short(theirs: Detector, own: Detector, rule: AlarmRule) -> str:
    least = 2 * max(theirs.window_rows, own.window_rows) + rule.rows
    return (
        "its false alarms and the faults that it finds (two windows and the alarm rule take "
        f"{least} healthy readings in a row of one machine)"
    )


def _recalls(own: InjectionReport, theirs: InjectionReport) -> Pair | None:
    if own.recall is None or theirs.recall is None:
        return None
    return Pair(own.recall, theirs.recall)
