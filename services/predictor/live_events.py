"""The events of the live stream: what a message becomes, and who wants it.

Each is one message of a topic, encoded at most once for all clients that want the same of it. Many
verdicts may come, so they are encoded by msgspec; the models of pydantic, which the lists answer
with, document them, and a test holds one against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import msgspec
from fastapi.sse import format_sse_event
from pydantic import BaseModel, Field

from faultline import alarms, drift, events, topics, verdicts
from faultline.alarms import AlarmEvent
from faultline.drift import DriftEvent
from faultline.errors import FaultlineError
from faultline.events import ModelEvent, ModelEventKind, machine_type_of
from faultline.ports.broker import Message, Partition
from faultline.readings import MAX_TIMESTAMP_MS, MIN_TIMESTAMP_MS, format_timestamp
from faultline.telemetry import logger
from faultline.verdicts import SensorContribution, Status, VerdictBatch
from services.predictor.answers import alarm_answer, why_of
from services.predictor.drift_api import event_answer

log = logger(__name__)


class Kind(StrEnum):
    """What an event tells of."""

    VERDICT = "verdict"
    ALARM = "alarm"
    MODEL = "model"
    DRIFT = "drift"


TOPICS = (topics.VERDICTS, topics.ALARMS, topics.MODEL_EVENTS, topics.DRIFT_EVENTS)
KINDS: Mapping[str, Kind] = dict(zip((topic.name for topic in TOPICS), Kind, strict=True))


class ModelNews(BaseModel):
    """What happened to a version."""

    event_id: str
    kind: ModelEventKind
    machine_type: str = Field(examples=["pump"])
    model_name: str = Field(examples=["faultline-pump"])
    model_version: str = Field(examples=["3"])
    at: str = Field(examples=["2026-11-21T08:00:00.000Z"])
    actor: str = Field(description="Who asked: `gate`, `api`, a user's name.")
    reason: str
    previous_version: str | None = Field(
        description="The version that was in Production before a promotion or a rollback."
    )


class Gap(BaseModel):
    """Events that the client did not get, and does not get any more."""

    reason: Literal["slow", "behind", "unknown_id"] = Field(
        description="`slow`: it read more slowly than events came. `behind`: it came back after "
        "more than is sent again, or than Kafka keeps. `unknown_id`: its `Last-Event-ID` is none "
        "of this stream's, which goes on from now."
    )
    missed: dict[Kind, int] = Field(
        description="How many, by kind. `behind`: of all machines, whatever was asked for. "
        "Empty where it cannot be known.",
        examples=[{"verdict": 120}],
    )


@dataclass(frozen=True)
class Wanted:
    """What a client asks for. Empty sets and None are no restriction.

    Attributes
    ----------
    kinds
        Never empty.
    status
        Of verdicts.
    """

    kinds: frozenset[Kind] = frozenset(Kind)
    machine_ids: frozenset[str] = frozenset()
    machine_type: str | None = None
    status: Status | None = None

    def of_machine(self, machine_id: str | None, machine_type: str) -> bool:
        """Whether it asks for that machine; None is what is about no single one."""
        return (not self.machine_ids or machine_id in self.machine_ids) and (
            self.machine_type in (None, machine_type)
        )


Content = VerdictBatch | AlarmEvent | ModelEvent | DriftEvent

_DECODERS: Mapping[Kind, Callable[[bytes], Content]] = {
    Kind.VERDICT: verdicts.decode,
    Kind.ALARM: alarms.decode,
    Kind.MODEL: events.decode,
    Kind.DRIFT: drift.decode,
}


class Unreadable(FaultlineError):
    """A message that is no event, or one that clients cannot be told."""


def decoded(message: Message) -> Content:
    """What a message of one of the topics holds.

    Raises
    ------
    Unreadable
        When it is none of its topic, or has a time that cannot be written.
    """
    try:
        content = _DECODERS[KINDS[message.partition.topic]](message.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    if not all(MIN_TIMESTAMP_MS <= time_ms <= MAX_TIMESTAMP_MS for time_ms in _times_ms(content)):
        raise Unreadable("it has a time outside the years 1970 to 2100")
    return content


def _times_ms(content: Content) -> Iterator[int]:
    """All that are written."""
    match content:
        case VerdictBatch():
            yield from (verdict.timestamp_ms for verdict in content.verdicts)
        case AlarmEvent(alarm=alarm):
            yield from (
                alarm.began_at_ms,
                alarm.opened_at_ms,
                alarm.updated_at_ms,
                alarm.peak_at_ms,
            )
            if alarm.closed_at_ms is not None:
                yield alarm.closed_at_ms
        case ModelEvent():
            yield content.at_ms
        case DriftEvent():
            yield from (content.at_ms, content.start_ms, content.end_ms)


@dataclass(frozen=True)
class LiveEvent:
    """What a message holds, and what clients are sent of it.

    Attributes
    ----------
    next_offset
        Where its partition goes on.
    """

    partition: Partition
    next_offset: int
    content: Content
    _frames: dict[Status | None, bytes | None] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """By its topic."""
        return KINDS[self.partition.topic]

    def frame(self, wanted: Wanted) -> bytes | None:
        """The event on the wire, without its id; None when the client does not want it."""
        content = self.content
        if self.kind not in wanted.kinds or not wanted.of_machine(*_about(content)):
            return None
        status = wanted.status if isinstance(content, VerdictBatch) else None
        if status not in self._frames:
            data = self._data(status)
            self._frames[status] = None if data is None else framed(self.kind, data)
        return self._frames[status]

    def _data(self, status: Status | None) -> str | None:
        try:
            return _data(self.content, status)
        except (ArithmeticError, ValueError) as error:
            # Such as drift over a threshold of 0: one message is not to end the stream of all.
            log.warning("an event cannot be told", topic=self.partition.topic, why=str(error))
            return None


def _about(content: Content) -> tuple[str | None, str]:
    """Machine and machine type."""
    if isinstance(content, ModelEvent):
        return None, machine_type_of(content.model_name)
    if isinstance(content, DriftEvent):
        return None, content.machine_type
    about = content.alarm if isinstance(content, AlarmEvent) else content
    return about.machine_id, about.machine_type


def framed(name: str, data: str) -> bytes:
    """An event on the wire, without an id."""
    return format_sse_event(event=name, data_str=data)


def with_id(frame: bytes, event_id: str) -> bytes:
    """The same with one."""
    return b"id: " + event_id.encode() + b"\n" + frame


def _data(content: Content, status: Status | None) -> str | None:
    if isinstance(content, VerdictBatch):
        return _verdicts_data(content, status)
    if isinstance(content, AlarmEvent):
        return alarm_answer(content.alarm).model_dump_json()
    if isinstance(content, DriftEvent):
        return event_answer(content).model_dump_json()
    return ModelNews(
        event_id=content.event_id,
        kind=content.kind,
        machine_type=machine_type_of(content.model_name),
        model_name=content.model_name,
        model_version=content.model_version,
        at=format_timestamp(content.at_ms),
        actor=content.actor,
        reason=content.reason,
        previous_version=content.previous_version,
    ).model_dump_json()


class _VerdictOnTheWire(msgspec.Struct):
    timestamp: str
    status: Status
    score: float | None
    cluster: int | None
    known: bool
    reason: str | None
    why: str | None
    contributions: tuple[SensorContribution, ...]
    health: dict[str, str]
    model_name: str | None
    model_version: str | None


class _VerdictsOnTheWire(msgspec.Struct):
    machine_id: str
    verdicts: list[_VerdictOnTheWire]


_encoder = msgspec.json.Encoder()


def _verdicts_data(batch: VerdictBatch, status: Status | None) -> str | None:
    """A `Verdicts`, newest first; None when none has the status."""
    told = [
        _VerdictOnTheWire(
            timestamp=format_timestamp(verdict.timestamp_ms),
            status=verdict.status,
            score=verdict.score,
            cluster=verdict.cluster,
            known=verdict.known,
            reason=verdict.reason,
            why=why_of(batch.machine_id, verdict),
            contributions=verdict.contributions,
            health=verdict.health,
            model_name=batch.model_name,
            model_version=batch.model_version,
        )
        for verdict in reversed(batch.verdicts)
        if status in (None, verdict.status)
    ]
    if not told:
        return None
    return _encoder.encode(_VerdictsOnTheWire(batch.machine_id, told)).decode()
