"""How what is stored of an alarm or a label moves on when it is told again: never back.

Both kinds of store keep to it, so it knows of neither.
"""

from __future__ import annotations

from msgspec import structs

from faultline.alarms import Alarm, AlarmState
from faultline.labels import FaultLabel

LabelIdentity = tuple[str, str, int, str]


def moved_on(stored: Alarm, told: Alarm) -> Alarm:
    """What is known of an alarm after an event, whichever of the two is the newer.

    Closed stays closed, and the peak is the higher of both. A replay of older events therefore
    changes nothing.
    """
    ahead, behind = (told, stored) if _progress(told) >= _progress(stored) else (stored, told)
    if behind.peak_score <= ahead.peak_score:
        return ahead
    return structs.replace(
        ahead,
        peak_score=behind.peak_score,
        peak_at_ms=behind.peak_at_ms,
        top_sensors=behind.top_sensors,
    )


def _progress(alarm: Alarm) -> tuple[bool, int, int]:
    return (alarm.state is AlarmState.CLOSED, alarm.updated_at_ms, alarm.bad_readings)


def identity_of(label: FaultLabel) -> LabelIdentity:
    """What makes a label one: told again with an end, it is the same fault that has ended."""
    return (label.machine_id, label.kind, label.start_ms, label.source)


def corrected(stored: FaultLabel, told: FaultLabel) -> FaultLabel:
    """Return the label as told last; an end that was known stays known."""
    if told.end_ms is None and stored.end_ms is not None:
        return structs.replace(told, end_ms=stored.end_ms)
    return told
