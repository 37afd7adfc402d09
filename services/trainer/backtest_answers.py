"""What a backtest answers. Times are RFC 3339."""

from __future__ import annotations

from pydantic import BaseModel, Field

from faultline.alarms import Alarm
from faultline.readings import format_timestamp
from services.trainer.backtest_result import Backtest, Fault, Group, MachineBacktest, Tally


class AlarmAnswer(BaseModel):
    """An alarm."""

    opened_at: str = Field(examples=["2026-11-21T08:00:00.000Z"])
    closed_at: str | None = Field(description="Null while it is open, or when the replay ended.")
    peak_score: float = Field(description="1 is the boundary.", examples=[2.4])
    sensors: list[str] = Field(description="Those that contribute most at the peak.")
    model_version: str = Field(description="That opened it.", examples=["3"])


class GroupAnswer(BaseModel):
    """Alarms of one machine that overlap each other in time."""

    machine_id: str = Field(examples=["pump-07"])
    found_by: str = Field(
        description="`both`; `then`: raised at the time, and not by this version; `now`: raised by "
        "this version, and not at the time.",
        examples=["both"],
    )
    then: list[AlarmAnswer]
    now: list[AlarmAnswer]


class FaultAnswer(BaseModel):
    """A known fault, and how late it was found; null is not at all."""

    machine_id: str = Field(examples=["pump-07"])
    kind: str = Field(examples=["bearing_wear"])
    start: str = Field(examples=["2026-11-21T08:00:00.000Z"])
    end: str | None = Field(description="Null while it lasts.")
    then_delay_s: float | None
    now_delay_s: float | None
    was_live: bool = Field(
        description="Whether any version was in Production during a part of it; else it is not "
        "counted against those of the time."
    )


class TallyAnswer(BaseModel):
    """What the alarms of one side come to."""

    alarms: int
    false_alarms: int = Field(description="Those that no known fault explains.")
    machine_days: float = Field(description="The time outside known faults that it is of.")
    false_alarms_per_machine_day: float | None = Field(
        description="In that time; null where there is none."
    )
    faults: int = Field(description="Known ones that could have been found.")
    faults_found: int
    recall: float | None = Field(description="Part of those; null without any.")
    delay_s: float | None = Field(description="Median, to finding one.")


class MachineAnswer(BaseModel):
    """One machine."""

    machine_id: str = Field(examples=["pump-07"])
    readings: int
    start: str = Field(description="Its first reading.")
    end: str = Field(description="Its last reading.")
    verdicts: dict[str, int] = Field(description="Of this version, by status.")
    false_alarms_then: int
    false_alarms_now: int


class BacktestAnswer(BaseModel):
    """A version replayed over stored history, beside the alarms that there were."""

    model_name: str = Field(examples=["faultline-pump"])
    version: str = Field(examples=["3"])
    alarm_rule: str = Field(
        description="When this version's alarms open and close: as the predictor's settings say.",
        examples=[
            "an alarm opens at 6 failures of the last 10 readings, and closes at 10 in a row "
            "that are none"
        ],
    )
    readings: int
    machine_days: float = Field(description="The time outside known faults, of all machines.")
    verdicts: dict[str, int] = Field(description="Of this version, by status.")
    then: TallyAnswer = Field(
        description="The alarms that were raised, by whichever version was live. Time in which "
        "none was, and faults that lie in it, are not counted."
    )
    now: TallyAnswer = Field(description="The alarms that this version raises.")
    live_since: str | None = Field(
        description="When a version of the model was in Production first; null when none ever was."
    )
    learnt_readings: int = Field(
        description="Readings of the time range that this version learnt from, faults aside: on "
        "those it raises fewer alarms than on others."
    )
    alarms: list[GroupAnswer] = Field(description="By machine and time.")
    faults: list[FaultAnswer] = Field(description="By machine and time.")
    machines: list[MachineAnswer]


def backtest_answer(found: Backtest) -> BacktestAnswer:
    """A backtest as callers see it."""
    return BacktestAnswer(
        model_name=found.model_name,
        version=found.model_version,
        alarm_rule=found.alarm_rule,
        readings=sum(machine.readings for machine in found.machines),
        machine_days=found.machine_days,
        verdicts=_by_name(found),
        then=_tally(found.then),
        now=_tally(found.now),
        live_since=None if found.live_since_ms is None else format_timestamp(found.live_since_ms),
        learnt_readings=sum(machine.learnt for machine in found.machines),
        alarms=[_group(group) for machine in found.machines for group in machine.groups],
        faults=[_fault(fault) for machine in found.machines for fault in machine.faults],
        machines=[_machine(machine) for machine in found.machines],
    )


def _by_name(found: Backtest | MachineBacktest) -> dict[str, int]:
    return {status.value: count for status, count in sorted(found.verdicts.items())}


def _machine(machine: MachineBacktest) -> MachineAnswer:
    return MachineAnswer(
        machine_id=machine.machine_id,
        readings=machine.readings,
        start=format_timestamp(machine.start_ms),
        end=format_timestamp(machine.end_ms),
        verdicts=_by_name(machine),
        false_alarms_then=machine.false_then,
        false_alarms_now=machine.false_now,
    )


def _tally(tally: Tally) -> TallyAnswer:
    return TallyAnswer(**vars(tally))


def _group(group: Group) -> GroupAnswer:
    return GroupAnswer(
        machine_id=group.machine_id,
        found_by=group.found_by,
        then=[_alarm(alarm) for alarm in group.then],
        now=[_alarm(alarm) for alarm in group.now],
    )


def _alarm(alarm: Alarm) -> AlarmAnswer:
    return AlarmAnswer(
        opened_at=format_timestamp(alarm.opened_at_ms),
        closed_at=None if alarm.closed_at_ms is None else format_timestamp(alarm.closed_at_ms),
        peak_score=alarm.peak_score,
        sensors=[part.sensor for part in alarm.top_sensors[:3]],
        model_version=alarm.model_version,
    )


def _fault(fault: Fault) -> FaultAnswer:
    label = fault.label
    return FaultAnswer(
        machine_id=label.machine_id,
        kind=label.kind,
        start=format_timestamp(label.start_ms),
        end=None if label.end_ms is None else format_timestamp(label.end_ms),
        then_delay_s=fault.then_delay_s,
        now_delay_s=fault.now_delay_s,
        was_live=fault.was_live,
    )
