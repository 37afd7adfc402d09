"""Triggers: what starts trainings by itself, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from faultline.ports.jobs import JobState, TrainingRequest


class TriggerKind(StrEnum):
    """What starts a training."""

    SCHEDULE = "schedule"
    DRIFT = "drift"
    NEW_DATA = "new data"


class Suppressed(StrEnum):
    """Why a trigger started no training."""

    NO_READINGS = "no_readings"
    TRAINED_SINCE = "trained_since"
    BUSY = "busy"
    CHALLENGER_WAITING = "challenger_waiting"
    COOLDOWN = "cooldown"


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """A reason to train a machine type.

    Attributes
    ----------
    slot
        Names the occasion among those of its type and kind, the same for whoever sees it: the time
        of the schedule, the id of the drift event, how much new data since which training.
    since_ms
        When it came up, in milliseconds since the epoch.
    detail
        What it was, in words.
    """

    machine_type: str
    kind: TriggerKind
    slot: str
    since_ms: int
    detail: str


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an occasion.

    Attributes
    ----------
    at_ms
        When it was decided.
    job_id
        The training that it started; None when it was suppressed.
    suppressed
        Why it started none.
    attempt
        1 the first time that the occasion was decided, and more where it was put off before.
    """

    occasion: Occasion
    at_ms: int
    job_id: str | None
    suppressed: Suppressed | None
    attempt: int = 1


class Known(NamedTuple):
    """What is known of a machine type when it is decided.

    Attributes
    ----------
    has_readings
        Whether any reading of it is stored.
    busy
        Whether a training of it is queued or running.
    trained_ms
        When the last training that succeeded was queued.
    triggered_ms
        When a training was started by itself the last time.
    """

    has_readings: bool
    busy: bool
    trained_ms: int | None
    triggered_ms: int | None


class NewReadings(NamedTuple):
    """Readings that were stored since a training of the type ended last.

    Attributes
    ----------
    rows
        All there are, when none has ended.
    job_id
        That training's.
    """

    rows: int
    job_id: str | None


class TriggerLog(Protocol):
    """Every method raises `Unavailable` while the store is down."""

    def decide(
        self,
        occasion: Occasion,
        request: TrainingRequest,
        now_ms: int,
        cooldown_ms: int,
        *,
        challenger_waits: bool = False,
    ) -> Trigger | None:
        """Queue a training for an occasion, or write down why not, in one step.

        Of all trainers one decides. What was put off is decided again, see `is_put_off`; every
        decision keeps a row of its own.

        Parameters
        ----------
        challenger_waits
            Whether a version still gathers live readings, which a training would take from it.

        Returns
        -------
        Trigger or None
            None when nothing was decided that was not before.
        """

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[Trigger]:
        """What became of occasions, newest first."""

    def put_off(self) -> Sequence[Trigger]:
        """What is to be decided again: the newest drift and the newest time of the schedule.

        Of every machine type, where it was put off and has come to nothing else yet, see
        `is_put_off`. New data is not among it: it is counted anew.
        """

    def scheduled_since(self, machine_type: str, schedule: str, now_ms: int) -> int:
        """Since when a machine type has its schedule; from now on when it had another, or none.

        Milliseconds since the epoch.
        """

    def new_readings(self) -> Mapping[str, NewReadings]:
        """How many readings have come, for every machine type that has some.

        By the type that a machine had last, so those of a machine that has changed it count for the
        new one.
        """


_PUTS_OFF = {
    # Its next time comes by itself; only a challenger may take longer than that.
    TriggerKind.SCHEDULE: frozenset({Suppressed.CHALLENGER_WAITING}),
    # Told once, when it begins, and it lasts.
    TriggerKind.DRIFT: frozenset({Suppressed.BUSY, Suppressed.COOLDOWN}),
    TriggerKind.NEW_DATA: frozenset(Suppressed),
}


# A drift whose trainings go on failing is given up: what is wrong then waits for a person.
_MOST_ATTEMPTS = 10


def is_put_off(trigger: Trigger, job_state: JobState | None) -> bool:
    """Whether an occasion may start a training yet.

    It has started none, or is a drift whose training failed: it lasts, and nothing tells of it
    again. One that was cancelled is not wanted.

    Parameters
    ----------
    job_state
        Of the training that it started; None where there is none.
    """
    if trigger.job_id is None:
        return trigger.suppressed in _PUTS_OFF[trigger.occasion.kind]
    return (
        trigger.occasion.kind is TriggerKind.DRIFT
        and job_state is JobState.FAILED
        and trigger.attempt < _MOST_ATTEMPTS
    )


def is_told(trigger: Trigger | None, why_not: Suppressed | None) -> bool:
    """Whether an occasion that starts no training has been put off for the same reason before."""
    return trigger is not None and why_not is not None and why_not is trigger.suppressed


def suppression(
    occasion: Occasion,
    known: Known,
    now_ms: int,
    cooldown_ms: int,
    *,
    challenger_waits: bool,
) -> Suppressed | None:
    """Why an occasion starts no training; None when it does."""
    if not known.has_readings:
        return Suppressed.NO_READINGS
    if known.busy:
        return Suppressed.BUSY
    if known.trained_ms is not None and known.trained_ms >= occasion.since_ms:
        return Suppressed.TRAINED_SINCE
    if challenger_waits:
        return Suppressed.CHALLENGER_WAITING
    if known.triggered_ms is not None and now_ms - known.triggered_ms < cooldown_ms:
        return Suppressed.COOLDOWN
    return None
