"""Alarms: episodes of bad verdicts on one machine, each with an id, a start, an end and a peak.

The rule runs row by row, so the same verdicts give the same alarms however the stream is cut.
Knows nothing of how a score is made, of Kafka or of storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID, uuid5

import msgspec
from msgspec import structs

from faultline.detector import sentence
from faultline.verdicts import SensorContribution, Status, Verdict

_NAMESPACE = UUID("7c1e52a6-53a3-4d1c-9a58-3f6f1f0a7d11")
_TOP_SENSORS = 5


class AlarmState(StrEnum):
    """Where an alarm is in its life."""

    OPEN = "open"
    CLOSED = "closed"


class AlarmEventKind(StrEnum):
    """What happened to an alarm."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One episode on one machine. Times are the readings', in milliseconds since the epoch.

    Attributes
    ----------
    alarm_id
        Derived from the machine and the opening time, so a replay gives the same one.
    opened_at_ms
        The reading that opened it; `began_at_ms` is the first bad reading that counted.
    peak_score, peak_at_ms
        The worst score so far, and when.
    top_sensors
        The largest contributions at the peak; when the machine failed anew beside a lasting new
        state, those at the worst score since.
    why
        The same in one plain sentence; empty when the verdicts came without contributions.
    bad_readings
        Readings above the boundary since `began_at_ms`.
    model_name, model_version
        The version that opened it.
    """

    alarm_id: str
    machine_id: str
    machine_type: str
    state: AlarmState
    began_at_ms: int
    opened_at_ms: int
    updated_at_ms: int
    peak_score: float
    peak_at_ms: int
    top_sensors: tuple[SensorContribution, ...]
    bad_readings: int
    model_name: str
    model_version: str
    closed_at_ms: int | None = None
    why: str = ""


class AlarmEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The value of `sensor.alarms`: what happened, and the alarm as it then stood."""

    event_id: str
    kind: AlarmEventKind
    alarm: Alarm


class AlarmPolicy(msgspec.Struct, frozen=True):
    """When an episode begins and ends.

    Attributes
    ----------
    open_bad, open_window
        Opens when `open_bad` of the last `open_window` scored readings are failures.
    close_good
        Closes after so many scored readings in a row that are not failures.
    update_growth
        An open alarm is published again when its peak has grown by this factor.
    """

    open_bad: int = 6
    open_window: int = 10
    close_good: int = 10
    update_growth: float = 1.25

    def __post_init__(self) -> None:
        if not (1 <= self.open_bad <= self.open_window and self.close_good >= 1):
            raise ValueError(
                "an alarm policy needs 1 <= open_bad <= open_window and close_good >= 1; got "
                f"{self.open_bad}, {self.open_window} and {self.close_good}"
            )
        if not self.update_growth > 1.0:
            raise ValueError(f"update_growth must be above 1; got {self.update_growth!r}")


class AlarmTracker(msgspec.Struct, frozen=True):
    """The alarm rule's state for one machine; part of the machine's snapshot.

    Attributes
    ----------
    recent
        Timestamps and badness of the last scored readings, oldest first, at most `open_window`.
    good_run
        Scored readings in a row that were no failures.
    alarm
        The open alarm.
    told_peak
        The worst score of what its sensors tell of: since it opened, or since the machine failed
        anew beside a lasting new state.
    published_peak
        The same in the last event published for it.
    settled
        Whether the machine has been in a lasting new state since: what fails then is news.
    """

    recent: tuple[tuple[int, bool], ...] = ()
    good_run: int = 0
    alarm: Alarm | None = None
    told_peak: float = 0.0
    published_peak: float = 0.0
    settled: bool = False


class Source(msgspec.Struct, frozen=True):
    """Whose verdicts are being followed, and from which version."""

    machine_id: str
    machine_type: str
    model_name: str
    model_version: str


def follow(
    tracker: AlarmTracker, source: Source, verdicts: Sequence[Verdict], policy: AlarmPolicy
) -> tuple[AlarmTracker, list[AlarmEvent]]:
    """Run the alarm rule over the verdicts of one machine, in order.

    Verdicts without a score (warming up, late, ...) neither open nor close an alarm. Nor do those
    of a lasting new state: an alarm that is open then no longer grows, but stays. When the machine
    fails anew beside that state, the alarm tells of that instead.

    Returns
    -------
    tuple
        The tracker after them, and what happened.
    """
    scored = [verdict for verdict in verdicts if verdict.score is not None]
    if tracker.alarm is None and _bad_count(tracker, scored) < policy.open_bad:
        counted = [verdict for verdict in scored if verdict.status is not Status.NEW_NORMAL]
        return _quiet(tracker, counted, policy), []
    return follow_step_by_step(tracker, source, scored, policy)


def _bad_count(tracker: AlarmTracker, scored: Sequence[Verdict]) -> int:
    return sum(bad for _, bad in tracker.recent) + sum(
        verdict.status is Status.FAILURE for verdict in scored
    )


def _quiet(tracker: AlarmTracker, scored: Sequence[Verdict], policy: AlarmPolicy) -> AlarmTracker:
    """Where so few are bad that nothing can open, only the counters move: no step by step."""
    good_run = tracker.good_run + len(scored)
    for position, verdict in enumerate(reversed(scored)):
        if verdict.status is Status.FAILURE:
            good_run = position
            break
    added = (
        (verdict.timestamp_ms, verdict.status is Status.FAILURE)
        for verdict in scored[-policy.open_window :]
    )
    recent = (*tracker.recent, *added)[-policy.open_window :]
    return structs.replace(tracker, recent=recent, good_run=good_run)


def follow_step_by_step(
    tracker: AlarmTracker, source: Source, scored: Sequence[Verdict], policy: AlarmPolicy
) -> tuple[AlarmTracker, list[AlarmEvent]]:
    """Run the rule as it is defined, verdict by verdict. `follow` gives the same, sooner."""
    events: list[AlarmEvent] = []
    for verdict in scored:
        if verdict.status is Status.NEW_NORMAL:
            if tracker.alarm is not None and not tracker.settled:
                tracker = structs.replace(tracker, settled=True, recent=())
            continue
        bad = verdict.status is Status.FAILURE
        recent = (*tracker.recent, (verdict.timestamp_ms, bad))[-policy.open_window :]
        tracker = structs.replace(
            tracker, recent=recent, good_run=0 if bad else tracker.good_run + 1
        )
        if tracker.alarm is None:
            tracker = _maybe_open(tracker, source, verdict, policy, events)
        else:
            tracker = _go_on(tracker, tracker.alarm, verdict, policy, events)
    return tracker, events


def _maybe_open(
    tracker: AlarmTracker,
    source: Source,
    verdict: Verdict,
    policy: AlarmPolicy,
    events: list[AlarmEvent],
) -> AlarmTracker:
    bad = [at_ms for at_ms, is_bad in tracker.recent if is_bad]
    if verdict.score is None or len(bad) < policy.open_bad:
        return tracker
    alarm = Alarm(
        alarm_id=str(uuid5(_NAMESPACE, f"{source.machine_id}|{verdict.timestamp_ms}")),
        machine_id=source.machine_id,
        machine_type=source.machine_type,
        state=AlarmState.OPEN,
        began_at_ms=bad[0],
        opened_at_ms=verdict.timestamp_ms,
        updated_at_ms=verdict.timestamp_ms,
        peak_score=verdict.score,
        peak_at_ms=verdict.timestamp_ms,
        top_sensors=verdict.contributions[:_TOP_SENSORS],
        bad_readings=len(bad),
        model_name=source.model_name,
        model_version=source.model_version,
        why=_why(source.machine_id, verdict),
    )
    events.append(_event(AlarmEventKind.OPENED, alarm))
    peak = alarm.peak_score
    return structs.replace(tracker, alarm=alarm, told_peak=peak, published_peak=peak)


def _go_on(
    tracker: AlarmTracker,
    alarm: Alarm,
    verdict: Verdict,
    policy: AlarmPolicy,
    events: list[AlarmEvent],
) -> AlarmTracker:
    if verdict.status is Status.FAILURE:
        alarm = structs.replace(
            alarm, bad_readings=alarm.bad_readings + 1, updated_at_ms=verdict.timestamp_ms
        )
    if not tracker.told_peak:
        # Restored from a snapshot of before it was kept.
        tracker = structs.replace(tracker, told_peak=alarm.peak_score)
    fails_anew = tracker.settled and sum(bad for _, bad in tracker.recent) >= policy.open_bad
    worse = verdict.score is not None and verdict.score > tracker.told_peak and not tracker.settled
    if verdict.score is not None and (fails_anew or worse):
        tracker = structs.replace(tracker, told_peak=verdict.score)
        is_peak = verdict.score > alarm.peak_score
        alarm = structs.replace(
            alarm,
            peak_score=verdict.score if is_peak else alarm.peak_score,
            peak_at_ms=verdict.timestamp_ms if is_peak else alarm.peak_at_ms,
            top_sensors=verdict.contributions[:_TOP_SENSORS],
            why=_why(alarm.machine_id, verdict),
        )
    if tracker.good_run >= policy.close_good:
        closed = structs.replace(
            alarm,
            state=AlarmState.CLOSED,
            updated_at_ms=verdict.timestamp_ms,
            closed_at_ms=verdict.timestamp_ms,
        )
        events.append(_event(AlarmEventKind.CLOSED, closed))
        return AlarmTracker()
    if fails_anew or tracker.told_peak >= policy.update_growth * tracker.published_peak:
        events.append(_event(AlarmEventKind.UPDATED, alarm))
        return structs.replace(
            tracker, alarm=alarm, published_peak=tracker.told_peak, settled=False
        )
    return structs.replace(tracker, alarm=alarm)


def _why(machine_id: str, verdict: Verdict) -> str:
    return sentence(machine_id, verdict.contributions) if verdict.contributions else ""


def _event(kind: AlarmEventKind, alarm: Alarm) -> AlarmEvent:
    event_id = uuid5(_NAMESPACE, f"{alarm.alarm_id}|{kind}|{alarm.updated_at_ms}")
    return AlarmEvent(event_id=str(event_id), kind=kind, alarm=alarm)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AlarmEvent)


def encode(event: AlarmEvent) -> bytes:
    """Encode as UTF-8 JSON."""
    return _encoder.encode(event)


def decode(value: bytes) -> AlarmEvent:
    """Decode a message of `sensor.alarms`; raises `msgspec.DecodeError` when it is not one."""
    return _decoder.decode(value)
