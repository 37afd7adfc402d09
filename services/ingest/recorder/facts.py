"""What the other topics say: verdicts, alarms, labels, comparisons, drift. Checks what is kept.

Faultline alone writes them, so a refusal here is a defect; but it must not stop the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from faultline import alarms, comparisons, drift, labels, topics, verdicts
from faultline.alarms import AlarmEvent
from faultline.comparisons import BINS, Comparison
from faultline.drift import DriftEvent
from faultline.errors import InvalidReading
from faultline.labels import FaultLabel
from faultline.readings import MAX_TIMESTAMP_MS, MIN_TIMESTAMP_MS, check_machine_id
from faultline.verdicts import VerdictBatch

Fact: TypeAlias = VerdictBatch | AlarmEvent | FaultLabel | Comparison | DriftEvent

_DECODERS: Mapping[str, Callable[[bytes], Fact]] = {
    topics.VERDICTS.name: verdicts.decode,
    topics.ALARMS.name: alarms.decode,
    topics.LABELS.name: labels.decode,
    topics.MODEL_COMPARISONS.name: comparisons.decode,
    topics.DRIFT_EVENTS.name: drift.decode,
}
NAMES: Mapping[str, str] = {
    topics.VERDICTS.name: "verdict",
    topics.ALARMS.name: "alarm",
    topics.LABELS.name: "label",
    topics.MODEL_COMPARISONS.name: "comparison",
    topics.DRIFT_EVENTS.name: "drift",
}


# Indexed, and PostgreSQL's index entries end at about 2,700 bytes.
_MAX_NAME_LENGTH = 256
_MAX_INTEGER = 2**31 - 1
_MAX_BIGINT = 2**63 - 1


class InvalidFact(InvalidReading):
    """A message of the topics with facts that is none of its topic."""


def decode_fact(topic: str, value: bytes) -> Fact:
    """Decode a message of one of these topics.

    Raises
    ------
    InvalidFact
        When it has another shape, or holds what the store cannot.
    """
    try:
        fact = _DECODERS[topic](value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidFact(f"message is no {NAMES[topic]}: {error}") from error
    if b"\\u0000" in value:
        raise InvalidFact("message has a NUL character, which the database cannot hold")
    match fact:
        case VerdictBatch():
            for verdict in fact.verdicts:
                _check_count("cluster", verdict.cluster, _MAX_INTEGER)
            _check(fact.machine_id, *(verdict.timestamp_ms for verdict in fact.verdicts))
        case AlarmEvent(alarm=alarm):
            _check_name("event_id", fact.event_id)
            _check_name("alarm_id", alarm.alarm_id)
            _check_count("bad_readings", alarm.bad_readings, _MAX_BIGINT)
            _check(
                alarm.machine_id,
                alarm.began_at_ms,
                alarm.opened_at_ms,
                alarm.updated_at_ms,
                alarm.peak_at_ms,
                alarm.closed_at_ms,
            )
        case FaultLabel():
            _check_name("kind", fact.kind)
            _check(fact.machine_id, fact.start_ms, fact.end_ms)
        case Comparison():
            _check_comparison(fact)
        case DriftEvent():
            _check_drift(fact)
    return fact


def _check_comparison(fact: Comparison) -> None:
    for name in (*fact.pair[:3], fact.counter_id):
        _check_name("name", name)
    for bundle_sha256 in fact.pair[3:]:
        if len(bundle_sha256) > _MAX_NAME_LENGTH:
            _check_name("sha256", bundle_sha256)
    for side in (fact.champion, fact.challenger):
        if len(side.scores) != BINS:
            raise InvalidFact(f"scores: {len(side.scores)} bins given, must be {BINS}")
        for count in (side.failures, side.alarms, *side.scores):
            _check_count("count", count, _MAX_BIGINT)
    _check_count("readings", fact.readings, _MAX_BIGINT)
    _check_count("agreed", fact.agreed, fact.readings)
    _check_times(fact.since_ms, fact.until_ms)


def _check_drift(fact: DriftEvent) -> None:
    for name in (fact.event_id, fact.machine_type, fact.model_name, fact.model_version):
        _check_name("name", name)
    _check_count("readings", fact.readings, _MAX_BIGINT)
    _check_count("machines", fact.machines, _MAX_BIGINT)
    _check_times(fact.at_ms, fact.start_ms, fact.end_ms)


def _check_name(field: str, text: str) -> None:
    if not 1 <= len(text) <= _MAX_NAME_LENGTH:
        raise InvalidFact(f"{field}: {len(text)} characters given, must be 1 to {_MAX_NAME_LENGTH}")


def _check_count(field: str, count: int | None, maximum: int) -> None:
    if count is not None and not 0 <= count <= maximum:
        raise InvalidFact(f"{field}: {count} must be 0 to {maximum}")


def _check(machine_id: str, *times_ms: int | None) -> None:
    try:
        check_machine_id(machine_id)
    except InvalidReading as error:
        raise InvalidFact(str(error)) from error
    _check_times(*times_ms)


def _check_times(*times_ms: int | None) -> None:
    given = [time_ms for time_ms in times_ms if time_ms is not None]
    if given and not MIN_TIMESTAMP_MS <= min(given) <= max(given) <= MAX_TIMESTAMP_MS:
        raise InvalidFact("message has a time outside the years 1970 to 2100")
