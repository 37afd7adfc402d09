"""What an evaluation by injected faults comes to. Values only: it injects and scores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any, NamedTuple

from faultline.detector.injection import FaultKind

STRENGTHS = (1.0, 2.0, 4.0, 8.0)
"""Sizes of the faults, in standard deviations of the sensor's single rows in training."""


class Trial(NamedTuple):
    """One injected fault and what became of it.

    Attributes
    ----------
    kind, strength
        The fault; its strength is None where the kind has none.
    delay_rows, delay_ms
        From its first row to the row it was found at; None when it was not found.
    named
        Whether the finding names the faulty sensor; None when it was not found.
    """

    kind: FaultKind
    strength: float | None
    delay_rows: int | None
    delay_ms: int | None
    named: bool | None


@dataclass(frozen=True)
class FaultResult:
    """How a detector did on the faults of one kind.

    Attributes
    ----------
    kind
        A `FaultKind`.
    strength
        One of `STRENGTHS`; None for all of them, and for the kinds that have no strength.
    trials
        Faults injected; those that happened to change no value are not counted.
    recall
        The part of them that was found: by an alarm that opens while the fault lasts and at a row
        where the untouched rows have none open, or, where the sensor is stuck or drops out, by its
        health. None without trials.
    delay_rows, delay_s
        Median, of the faults found, from the first faulty row to the finding; 0 is that row.
    attribution
        The part of those found that named the faulty sensor: its health does, and an alarm does
        when the sensor has the largest contribution at the opening. None when none was found.
    """

    kind: str
    strength: float | None
    trials: int
    recall: float | None
    delay_rows: float | None
    delay_s: float | None
    attribution: float | None


@dataclass(frozen=True)
class InjectionReport:
    """What an evaluation came to.

    Attributes
    ----------
    by_kind, by_strength
        Over all strengths, and for each.
    false_alarms
        Alarms that opened on the untouched held-out rows.
    alarm_share
        The part of the scored untouched rows in alarm: one alarm that never ends counts one only.
    machine_days
        The time scored, of all machines together.
    held_out_rows
        Of all machines together.
    seconds
        The evaluation took, its fit included; `fit_seconds` are its fit alone.
    """

    by_kind: tuple[FaultResult, ...]
    by_strength: tuple[FaultResult, ...]
    false_alarms: int
    alarm_share: float
    machine_days: float
    held_out_rows: int
    fit_seconds: float = field(compare=False)
    seconds: float = field(compare=False)

    @property
    def recall(self) -> float | None:
        """Mean over the kinds. It depends on `STRENGTHS`: compare it between versions only."""
        known = [result.recall for result in self.by_kind if result.recall is not None]
        return fmean(known) if known else None

    @property
    def false_alarms_per_machine_day(self) -> float:
        """The price; see `is_extrapolated`."""
        return self.false_alarms / self.machine_days

    @property
    def is_extrapolated(self) -> bool:
        """Whether the price per day comes from less than one machine-day."""
        return self.machine_days < 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is undefined is None."""
        return {
            "recall": self.recall,
            "false_alarms_per_machine_day": self.false_alarms_per_machine_day,
            "false_alarms_per_machine_day_is_extrapolated": self.is_extrapolated,
            **asdict(self),
        }


@dataclass(frozen=True)
class NotEvaluated:
    """There is no report, for a reason in a sentence."""

    reason: str


def strengths_of(kind: FaultKind) -> tuple[float | None, ...]:
    """The strengths that a kind is tried at.

    Examples
    --------
    >>> strengths_of(FaultKind.OFFSET), strengths_of(FaultKind.STUCK)
    ((1.0, 2.0, 4.0, 8.0), (None,))
    """
    return STRENGTHS if kind.has_strength else (None,)


def results_by_kind(trials: Sequence[Trial]) -> tuple[FaultResult, ...]:
    """Sum trials up, one result per kind."""
    return tuple(
        _result(kind, None, [trial for trial in trials if trial.kind is kind]) for kind in FaultKind
    )


def results_by_strength(trials: Sequence[Trial]) -> tuple[FaultResult, ...]:
    """Sum trials up, one result per kind and strength."""
    return tuple(
        _result(
            kind,
            strength,
            [trial for trial in trials if (trial.kind, trial.strength) == (kind, strength)],
        )
        for kind in FaultKind
        for strength in strengths_of(kind)
    )


def _result(kind: FaultKind, strength: float | None, trials: Sequence[Trial]) -> FaultResult:
    delays_rows = [trial.delay_rows for trial in trials if trial.delay_rows is not None]
    delays_ms = [trial.delay_ms for trial in trials if trial.delay_ms is not None]
    named = [trial.named for trial in trials if trial.named is not None]
    return FaultResult(
        kind=str(kind),
        strength=strength,
        trials=len(trials),
        recall=len(delays_rows) / len(trials) if trials else None,
        delay_rows=float(median(delays_rows)) if delays_rows else None,
        delay_s=median(delays_ms) / 1000 if delays_ms else None,
        attribution=fmean(named) if named else None,
    )
