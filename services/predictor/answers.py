"""The predictor's answers over HTTP, as their readers see them. Times are RFC 3339 in UTC.

Predictions, which may be many, have a module of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from faultline.alarms import Alarm, AlarmState
from faultline.detector import sentence
from faultline.events import machine_type_of
from faultline.ports.stores import MachineSummary, StoredVerdict
from faultline.readings import format_timestamp
from faultline.verdicts import SensorContribution, Status, Verdict
from services.predictor.loader import Refusal
from services.predictor.slot import Loaded, Origin

_TIME = ["2026-11-21T08:00:00.000Z"]
_WHY = [
    "pump-07: efficiency 55.6, expected 59.0 to 59.3 (62 % of the deviation); flow_1 low (31 %)"
]


class ContributionAnswer(BaseModel):
    """One sensor's part in a score."""

    sensor: str = Field(examples=["vibration"])
    share: float = Field(description="Its part of the deviation; all parts add up to 1.")
    observed: float = Field(description="Mean over the window, in the sensor's own unit.")
    expected: float = Field(
        description="What it should be in the nearest cluster, given the other sensors where the "
        "model knows how they move together."
    )
    expected_low: float = Field(description="Nearly all ordinary values lie above this, ...")
    expected_high: float = Field(description="... and below this.")
    direction: Literal["high", "low"] = Field(description="Above or below what was expected.")


class VerdictAnswer(BaseModel):
    """What a version says of one reading."""

    timestamp: str = Field(description="The reading's time.", examples=_TIME)
    status: Status = Field(
        description="`failure` means a score above 1.0. `new_normal`: beyond every cluster, but in "
        "a state that has lasted so long that it is normal now; the alarm that it raised stays "
        "open and no longer grows."
    )
    score: float | None = Field(
        description="Distance to the nearest cluster over the boundary: 1.0 is the boundary, "
        "higher is worse. Null where nothing was scored.",
        examples=[0.42],
    )
    cluster: int | None = Field(description="The nearest cluster.", examples=[2])
    known: bool = Field(description="False when the reading is far from every cluster.")
    reason: str | None = Field(
        description="A code, where the status needs one. `SENSOR_FAULT`: a failure only because "
        "of sensors that are stuck or out of their range; `health` names them.",
        examples=["SENSOR_FAULT"],
    )
    why: str | None = Field(
        description="The contributions in one plain sentence, null without any; of a prediction "
        "`no_model`, which machine types have a model.",
        examples=_WHY,
    )
    contributions: list[ContributionAnswer] = Field(
        description="Largest first. Stored verdicts have those near or above the boundary only."
    )
    health: dict[str, str] = Field(
        description="What is wrong with single sensors.", examples=[{"pressure": "missing"}]
    )
    model_name: str | None = Field(examples=["faultline-pump"])
    model_version: str | None = Field(description="The version that gave it.", examples=["3"])


class Verdicts(BaseModel):
    """A machine's verdicts, newest first."""

    machine_id: str = Field(examples=["pump-07"])
    verdicts: list[VerdictAnswer]


class AlarmAnswer(BaseModel):
    """One episode of bad verdicts on one machine."""

    alarm_id: str
    machine_id: str = Field(examples=["pump-07"])
    machine_type: str = Field(examples=["pump"])
    state: AlarmState
    began_at: str = Field(description="The first bad reading that counted.", examples=_TIME)
    opened_at: str = Field(description="The reading that opened it.", examples=_TIME)
    updated_at: str = Field(examples=_TIME)
    closed_at: str | None = Field(examples=_TIME)
    peak_score: float = Field(examples=[3.7])
    peak_at: str = Field(examples=_TIME)
    bad_readings: int = Field(
        description="Readings above the boundary since it began, as of `updated_at`: while it "
        "lasts it is told anew when its peak has grown."
    )
    top_sensors: list[ContributionAnswer] = Field(description="Largest parts at the peak.")
    why: str = Field(description="The same in one plain sentence.", examples=_WHY)
    model_name: str = Field(examples=["faultline-pump"])
    model_version: str = Field(description="The version that opened it.", examples=["3"])


class Alarms(BaseModel):
    """Alarms, newest first."""

    alarms: list[AlarmAnswer]


class MachineAnswer(BaseModel):
    """A machine: what it is, when it was heard, how it does."""

    machine_id: str = Field(examples=["pump-07"])
    machine_type: str = Field(examples=["pump"])
    first_seen: str = Field(description="Time of its first reading.", examples=_TIME)
    last_seen: str = Field(description="Time of its last reading.", examples=_TIME)
    readings: int = Field(description="How many are stored.")
    last_verdict: VerdictAnswer | None
    open_alarm: AlarmAnswer | None


class Machines(BaseModel):
    """Machines, by id."""

    machines: list[MachineAnswer]


class RefusedVersion(BaseModel):
    """A version in Production that this replica would not take."""

    version: str = Field(examples=["4"])
    reason: str
    at: str = Field(examples=_TIME)


class ModelAnswer(BaseModel):
    """What judges a machine type at this moment, in this replica."""

    machine_type: str = Field(examples=["pump"])
    name: str = Field(examples=["faultline-pump"])
    version: str | None = Field(description="Null while there is none.", examples=["3"])
    loaded_since: str | None = Field(examples=_TIME)
    source: Origin | None = Field(
        description="`disk`: the last good version, until the registry is heard."
    )
    sensors: list[str] = Field(description="Those it uses.")
    window_rows: int | None = Field(description="How many readings it looks back over.")
    refused: list[RefusedVersion] = Field(description="Versions in Production that it refuses.")


class Models(BaseModel):
    """All machine types with a version, loaded or refused."""

    models: list[ModelAnswer]


def verdict_answer(stored: StoredVerdict) -> VerdictAnswer:
    """A stored verdict."""
    verdict: Verdict = stored.verdict
    return VerdictAnswer(
        timestamp=format_timestamp(verdict.timestamp_ms),
        status=verdict.status,
        score=verdict.score,
        cluster=verdict.cluster,
        known=verdict.known,
        reason=verdict.reason,
        why=why_of(stored.machine_id, verdict),
        contributions=_contributions(verdict.contributions),
        health=verdict.health,
        model_name=stored.model_name,
        model_version=stored.model_version,
    )


def why_of(machine_id: str, verdict: Verdict) -> str | None:
    """A verdict's contributions in one sentence."""
    return sentence(machine_id, verdict.contributions) if verdict.contributions else None


def _contributions(parts: Sequence[SensorContribution]) -> list[ContributionAnswer]:
    return [
        ContributionAnswer(
            sensor=part.sensor,
            share=part.share,
            observed=part.observed,
            expected=part.expected,
            expected_low=part.expected_low,
            expected_high=part.expected_high,
            direction=part.direction,
        )
        for part in parts
    ]


def alarm_answer(alarm: Alarm) -> AlarmAnswer:
    """A stored alarm."""
    return AlarmAnswer(
        alarm_id=alarm.alarm_id,
        machine_id=alarm.machine_id,
        machine_type=alarm.machine_type,
        state=alarm.state,
        began_at=format_timestamp(alarm.began_at_ms),
        opened_at=format_timestamp(alarm.opened_at_ms),
        updated_at=format_timestamp(alarm.updated_at_ms),
        closed_at=None if alarm.closed_at_ms is None else format_timestamp(alarm.closed_at_ms),
        peak_score=alarm.peak_score,
        peak_at=format_timestamp(alarm.peak_at_ms),
        bad_readings=alarm.bad_readings,
        top_sensors=_contributions(alarm.top_sensors),
        why=alarm.why,
        model_name=alarm.model_name,
        model_version=alarm.model_version,
    )


def machine_answer(machine: MachineSummary) -> MachineAnswer:
    """A machine as it is stored."""
    last, alarm = machine.last_verdict, machine.open_alarm
    return MachineAnswer(
        machine_id=machine.machine_id,
        machine_type=machine.machine_type,
        first_seen=format_timestamp(machine.first_seen_ms),
        last_seen=format_timestamp(machine.last_seen_ms),
        readings=machine.readings,
        last_verdict=None if last is None else verdict_answer(last),
        open_alarm=None if alarm is None else alarm_answer(alarm),
    )


def model_answer(name: str, loaded: Loaded | None, refusal: Refusal | None) -> ModelAnswer:
    """A model: what is loaded of it, and what is refused."""
    model = None if loaded is None else loaded.model
    return ModelAnswer(
        machine_type=machine_type_of(name),
        name=name,
        version=None if model is None else model.version,
        loaded_since=None if loaded is None else format_timestamp(loaded.loaded_at_ms),
        source=None if loaded is None else loaded.source,
        sensors=[] if model is None else list(model.detector.sensors),
        window_rows=None if model is None else model.detector.window_rows,
        refused=[]
        if refusal is None
        else [
            RefusedVersion(
                version=refusal.version,
                reason=refusal.reason,
                at=format_timestamp(refusal.at_ms),
            )
        ],
    )
