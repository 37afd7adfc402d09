"""Fits a detector to files and writes the bundle that the trainer would register.

It knows files and folders; it must not know how what it returns is shown.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from faultline import __version__
from faultline.alarm_rule import alarm_rule, alarms_opened
from faultline.alarms import AlarmPolicy
from faultline.bundle import (
    ARRAYS,
    GOLDEN,
    MANIFEST,
    REFERENCE,
    golden_batch,
    write_bundle,
)
from faultline.data_version import data_version
from faultline.detector import MachineHistory, UnfitHistory
from faultline.detector.evaluation import InjectionReport, NotEvaluated, evaluate
from faultline.detector.fit import Fit, FitConfig, fit
from faultline.detector.grid import median_step_ms
from faultline.detector.reference import make_reference
from faultline.errors import Conflict, UntrainableHistory
from faultline.events import model_name
from faultline.offline.histories import Histories
from faultline.offline.output import unwritable
from faultline.offline.wording import count
from faultline.readings import format_timestamp
from faultline.rows import take

_BUNDLE_FILES = frozenset({MANIFEST, ARRAYS, GOLDEN, REFERENCE})
_DAY_MS = 86_400_000
_NOT_ASKED = NotEvaluated("it was not asked for")


@dataclass(frozen=True)
class ExpectedAlarms:
    """How many alarms the held-out history would have raised, scored by what it did not teach.

    Attributes
    ----------
    alarms
        Alarms opened by the rule of `faultline.alarms`.
    machine_days
        How long the scored history is, of all machines together.
    row_rate
        The part of its windows that score above 1.0.
    """

    alarms: int
    machine_days: float
    row_rate: float


@dataclass(frozen=True, eq=False)
class Learnt:
    """A fit, what it was made from, and what it finds of injected faults."""

    histories: Histories
    config: FitConfig
    fit: Fit
    evaluation: InjectionReport | NotEvaluated = _NOT_ASKED

    @property
    def silhouette(self) -> float | None:
        """Of the chosen clusters; None when there is one only, whose silhouette is undefined."""
        return self.fit.silhouette if self.fit.k > 1 else None

    @property
    def start_ms(self) -> int:
        """Time of the first row."""
        return min(int(machine.timestamps_ms[0]) for machine in self.histories.machines)

    @property
    def end_ms(self) -> int:
        """Time of the last row."""
        return max(int(machine.timestamps_ms[-1]) for machine in self.histories.machines)

    @property
    def rows(self) -> int:
        """Rows of all machines."""
        return sum(len(machine.timestamps_ms) for machine in self.histories.machines)

    def expected_alarms(self) -> ExpectedAlarms:
        """Run the alarm rule over the held-out scores."""
        step_ms = median_step_ms(self.histories.machines)
        windows = sum(len(timeline.scores) for timeline in self.fit.timelines)
        return ExpectedAlarms(
            alarms=sum(
                alarms_opened(timeline.scores, AlarmPolicy()) for timeline in self.fit.timelines
            ),
            machine_days=windows * step_ms / _DAY_MS,
            row_rate=self.fit.held_out_alarm_rate,
        )


def learn(histories: Histories, config: FitConfig) -> Learnt:
    """Fit a detector.

    Raises
    ------
    UntrainableHistory
        Saying what the history lacks.
    """
    try:
        return Learnt(histories, config, fit(histories.sensors, histories.machines, config))
    except UnfitHistory as error:
        raise UntrainableHistory(f"{error}{_fewer_than_given(histories)}") from error


def _fewer_than_given(histories: Histories) -> str:
    if not histories.doubled_rows:
        return ""
    return (
        f" ({histories.doubled_rows:,} of the {count(histories.rows_read, 'row')} were left out: "
        "their timestamp is that of a row before)"
    )


def evaluated(learnt: Learnt) -> Learnt:
    """Fit once more, without the end of the history, and see what faults injected there come to."""
    histories = learnt.histories
    rule = alarm_rule(AlarmPolicy())
    found = evaluate(histories.sensors, histories.machines, learnt.config, fit, rule)
    return replace(learnt, evaluation=found)


def require_free(folder: Path, overwrite: bool) -> None:
    """Check that a bundle may be written to a folder, before the work of making one.

    Raises
    ------
    Conflict
        When a bundle is there and `overwrite` is not given, or something else is there.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Conflict(f"{folder} is a file; give a folder for the model with --model")
    found = {entry.name for entry in folder.iterdir()}
    if found - _BUNDLE_FILES:
        raise Conflict(
            f"{folder} holds something else than a model ({sorted(found - _BUNDLE_FILES)[0]}); "
            "give a folder of the model's own with --model"
        )
    if found and not overwrite:
        raise Conflict(f"{folder} holds a model already; --overwrite replaces it")


def save(
    learnt: Learnt,
    folder: Path,
    *,
    machine_type: str,
    inputs: Sequence[Path],
    created_ms: int,
    timestamp_column: str = "timestamp",
) -> str:
    """Write the bundle, in place of the one that may be there; returns its sum.

    Parameters
    ----------
    inputs
        The files, for the bundle's lineage.
    created_ms
        Milliseconds since the epoch.
    timestamp_column
        Of the files; those to score have the same, unless it is said otherwise.

    Raises
    ------
    InvalidBundle
        When what was made does not hold. The former bundle is then still there.
    Unwritable
        When the folder cannot be written to.
    """
    with tempfile.TemporaryDirectory(prefix="faultline-model-") as work:
        made = Path(work) / "model"
        total = write_bundle(
            made,
            learnt.fit.detector,
            golden_batch(learnt.fit.detector, _most_scored(learnt)),
            model_name=model_name(machine_type),
            machine_type=machine_type,
            created_ms=created_ms,
            lineage=_lineage(learnt, machine_type, inputs, created_ms),
            summary={
                "k": learnt.fit.k,
                "silhouette": learnt.silhouette,
                "silhouette_rows": learnt.fit.silhouette_rows,
                "silhouette_metric": "euclidean",
                "held_out_alarm_rate": learnt.fit.held_out_alarm_rate,
                "settings": asdict(learnt.config),
                "timestamp_column": timestamp_column,
            },
            step_ms=median_step_ms(learnt.histories.machines),
            reference=make_reference(
                learnt.fit.detector,
                learnt.histories.sensors,
                learnt.histories.machines,
                [timeline.scores for timeline in learnt.fit.timelines],
            ),
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # The manifest last: until it is there, the sums do not agree and nobody loads it.
            for name in (ARRAYS, GOLDEN, REFERENCE, MANIFEST):
                shutil.copyfile(made / name, folder / name)
        except OSError as error:
            raise unwritable(folder, error) from error
    return total


def _lineage(
    learnt: Learnt, machine_type: str, inputs: Sequence[Path], created_ms: int
) -> dict[str, Any]:
    return {
        "machine_type": machine_type,
        "model_type": "kmeans-distance",
        "use_case": "machine failure detection",
        "training_date": format_timestamp(created_ms),
        "training_start": format_timestamp(learnt.start_ms),
        "training_end": format_timestamp(learnt.end_ms),
        "data_version": data_version(learnt.histories.sensors, learnt.histories.machines),
        "faultline_version": __version__,
        "inputs": [path.name for path in inputs],
        "rows": learnt.rows,
        "machines": [machine.machine_id for machine in learnt.histories.machines],
    }


def _most_scored(learnt: Learnt) -> MachineHistory:
    """The machine with the most scored windows, its columns as the detector's."""
    longest = max(learnt.fit.timelines, key=lambda timeline: len(timeline.scores)).machine_id
    history = next(one for one in learnt.histories.machines if one.machine_id == longest)
    return MachineHistory(
        longest,
        history.timestamps_ms,
        take(learnt.histories.sensors, history.values, learnt.fit.detector.sensors),
    )
