"""Holds verdicts and alarms against what the versions say of the topic's readings. Pure.

A predictor that goes on after a crash judges again what came after its last checkpoint, maybe by
another version. So each published batch must follow, to the bit, from some state that published
batches have led to; what a store makes of a reading is the first that was said of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from faultline import alarms as alarm_codec
from faultline import verdicts as verdict_codec
from faultline.adapters.episodes import moved_on
from faultline.alarms import Alarm, AlarmEvent, AlarmPolicy
from faultline.judge import Judgement, Model, judge
from faultline.machine_state import MachineState, encode_state
from faultline.ports.broker import Message
from faultline.ports.promotions import Promotion
from faultline.readings import Reading
from faultline.verdicts import Verdict, VerdictBatch
from tests.history.arrivals import Arrivals, Identity
from tests.history.findings import Finding, Kind, Observed

Models = Mapping[tuple[str, str], Model]
"""By name and version."""


def check_verdicts(observed: Observed, models: Models, policy: AlarmPolicy) -> list[Finding]:
    """Find what is wrong with verdicts and alarms."""
    arrivals = Arrivals(observed.readings)
    courses = {
        machine_id: Course([arrival.reading for arrival in own], models, policy)
        for machine_id, own in arrivals.by_machine.items()
    }
    said: dict[Identity, tuple[Verdict, str | None]] = {}
    findings: list[Finding] = []
    for message in observed.verdicts:
        batch = verdict_codec.decode(message.value)
        findings += _version(message, batch, observed.promotions)
        course = courses.get(batch.machine_id)
        if course is None:
            findings.append(Finding(Kind.WRONG_VERDICT, f"no reading of {batch.machine_id} came"))
            continue
        findings += course.follow(batch)
        for verdict in batch.verdicts:
            said.setdefault(
                (batch.machine_id, verdict.timestamp_ms), (verdict, batch.model_version)
            )
    for machine_id, course in courses.items():
        findings += course.end(machine_id)
    return [
        *findings,
        *_stored(said, observed),
        *_alarms(courses, observed),
    ]


@dataclass
class Course:
    """One machine's readings, and the states that its published batches lead to."""

    readings: Sequence[Reading]
    models: Models
    policy: AlarmPolicy
    events: dict[str, list[AlarmEvent]] = field(default_factory=lambda: defaultdict(list))
    """By id: two, where two versions have judged the same readings."""
    repeated: int = 0
    """Batches on readings that had been judged before."""
    _reached: dict[int, list[MachineState | None]] = field(default_factory=lambda: {0: [None]})

    def follow(self, batch: VerdictBatch) -> Iterator[Finding]:
        """Go on by a batch; every state that explains it, and that it leads to, is kept."""
        model = self._model(batch)
        if isinstance(model, Finding):
            yield model
            return
        nearest: tuple[int, Judgement] | None = None
        for start in sorted(self._reached, reverse=True):
            own = self.readings[start : start + len(batch.verdicts)]
            if [one.timestamp_ms for one in own] != [one.timestamp_ms for one in batch.verdicts]:
                continue
            for state in self._reached[start]:
                judged = judge(model, state, own, self.policy)
                if judged.batch == batch:
                    self._go_on(start + len(own), judged)
                    return
                nearest = nearest or (start + len(own), judged)
        if nearest is None:
            yield Finding(
                Kind.WRONG_VERDICT,
                f"{batch.machine_id}: {[one.timestamp_ms for one in batch.verdicts]} do not go "
                "on where any batch before has ended",
            )
            return
        end, judged = nearest
        self._go_on(end, judged)
        yield Finding(Kind.WRONG_VERDICT, f"published is {batch}, which should be {judged.batch}")

    @property
    def last(self) -> MachineState | None:
        """The state that the furthest batch, and of several the last, has led to."""
        return self._reached[max(self._reached)][-1]

    def end(self, machine_id: str) -> Iterator[Finding]:
        """Tell what has no verdict."""
        missing = len(self.readings) - max(self._reached)
        if missing:
            yield Finding(Kind.MISSING_VERDICT, f"{machine_id}: {missing} readings have none")

    def _model(self, batch: VerdictBatch) -> Model | Finding | None:
        if batch.model_name is None or batch.model_version is None:
            return None
        model = self.models.get((batch.model_name, batch.model_version))
        if model is None:
            return Finding(
                Kind.WRONG_VERSION, f"{batch.model_name} has no version {batch.model_version}"
            )
        return model

    def _go_on(self, end: int, judged: Judgement) -> None:
        self.repeated += end <= max(self._reached)
        states = self._reached.setdefault(end, [])
        encoded = encode_state(judged.state)
        if all(state is None or encode_state(state) != encoded for state in states):
            states.append(judged.state)
        for event in judged.alarm_events:
            self.events[event.event_id].append(event)


def _version(
    message: Message, batch: VerdictBatch, promotions: Sequence[Promotion]
) -> Iterator[Finding]:
    live = {
        (one.model_name, one.to_version) for one in promotions if one.at_ms <= message.timestamp_ms
    }
    if batch.model_version is not None and (batch.model_name, batch.model_version) not in live:
        yield Finding(
            Kind.WRONG_VERSION,
            f"{batch.machine_id} is judged by version {batch.model_version}, which was not live",
        )


def _stored(
    said: Mapping[Identity, tuple[Verdict, str | None]], observed: Observed
) -> Iterator[Finding]:
    stored = {
        (one.machine_id, one.verdict.timestamp_ms): (one.verdict, one.model_version)
        for one in observed.stored_verdicts
    }
    for identity in said.keys() - stored.keys():
        yield Finding(Kind.MISSING_VERDICT, f"the verdict on {identity} is not stored")
    for identity, kept in stored.items():
        if said.get(identity) != kept:
            yield Finding(
                Kind.WRONG_VERDICT,
                f"on {identity} {kept} is stored; first said was {said.get(identity)}",
            )


def _alarms(courses: Mapping[str, Course], observed: Observed) -> Iterator[Finding]:
    """What is published is what the judgements raise: each event, at least once, as it was."""
    raised = {
        event_id: events
        for course in courses.values()
        for event_id, events in course.events.items()
    }
    told: dict[str, AlarmEvent] = {}
    alarms: dict[str, Alarm] = {}
    for message in observed.alarms:
        event = alarm_codec.decode(message.value)
        if event not in raised.get(event.event_id, ()):
            should = raised.get(event.event_id)
            yield Finding(Kind.WRONG_ALARM, f"published is {event}; the verdicts raise {should}")
        told.setdefault(event.event_id, event)
        before = alarms.get(event.alarm.alarm_id)
        alarms[event.alarm.alarm_id] = moved_on(before, event.alarm) if before else event.alarm
    for event_id in raised.keys() - told.keys():
        yield Finding(Kind.WRONG_ALARM, f"{raised[event_id]} is not published")
    kept = {event.event_id: event for event in observed.stored_events}
    stored = {alarm.alarm_id: alarm for alarm in observed.stored_alarms}
    yield from _differences("event", told, kept)
    yield from _differences("alarm", alarms, stored)
    yield from _left_open(courses, observed.stored_alarms)


def _differences(
    what: str, expected: Mapping[str, object], stored: Mapping[str, object]
) -> Iterator[Finding]:
    for one in expected.keys() | stored.keys():
        if expected.get(one) != stored.get(one):
            yield Finding(
                Kind.WRONG_ALARM,
                f"{what} {stored.get(one)} is stored, which should be {expected.get(one)}",
            )


def _left_open(courses: Mapping[str, Course], stored: Sequence[Alarm]) -> Iterator[Finding]:
    """An alarm is open if and only if the machine's state has it open: else nothing closes it."""
    for machine_id, course in courses.items():
        alarm = None if course.last is None else course.last.alarms.alarm
        expected = set() if alarm is None else {alarm.alarm_id}
        kept = {
            one.alarm_id
            for one in stored
            if one.machine_id == machine_id and one.closed_at_ms is None
        }
        if expected != kept:
            yield Finding(
                Kind.WRONG_ALARM, f"{machine_id}: open is {expected}, stored as open {kept}"
            )
