"""Verdicts, alarms, labels and drift: stored beside the readings, or kept as dead letters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from faultline import alarms, drift, labels, topics, verdicts
from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.labels import FaultLabel
from faultline.readings import Reading, make_reading
from faultline.topics import Topic
from faultline.verdicts import Status, Verdict, VerdictBatch

if TYPE_CHECKING:
    from tests.unit.ingest.conftest import Plant


def _reading(at_ms: int, value: float = 1.0, machine_id: str = "p") -> Reading:
    return make_reading(machine_id, at_ms, {"pressure": value}, "pump")


def _verdicts(*times_ms: int) -> bytes:
    own = tuple(Verdict(timestamp_ms=each, status=Status.NORMAL, score=0.5) for each in times_ms)
    return verdicts.encode(VerdictBatch(machine_id="p", machine_type="pump", verdicts=own))


def _alarm_event(**fields: object) -> bytes:
    alarm = Alarm(
        alarm_id="2f1e5a3a-0d3c-5d4e-9f43-8f1b5ac3a111",
        machine_id="p",
        machine_type="pump",
        state=AlarmState.OPEN,
        began_at_ms=1,
        opened_at_ms=2,
        updated_at_ms=2,
        peak_score=2.0,
        peak_at_ms=2,
        top_sensors=(),
        bad_readings=1,
        model_name="faultline-pump",
        model_version="1",
    )
    event = AlarmEvent(
        event_id="2f1e5a3a-0d3c-5d4e-9f43-8f1b5ac3a222", kind=AlarmEventKind.OPENED, alarm=alarm
    )
    wire = json.loads(alarms.encode(event))
    wire["alarm"].update(fields)
    return json.dumps(wire).encode()


def _drift(**changes: Any) -> bytes:
    finding = Finding(kind=DriftKind.SENSOR, name="flow", statistic=0.5, threshold=0.3)
    event = DriftEvent(
        event_id="d",
        machine_type="pump",
        model_name="faultline-pump",
        model_version="1",
        at_ms=3,
        findings=(finding,),
        start_ms=1,
        end_ms=2,
        readings=100,
    )
    return drift.encode(structs.replace(event, **changes))


def test_verdicts_alarms_and_labels_are_stored(plant: Plant) -> None:
    plant.send_readings(_reading(1))
    plant.send(_verdicts(1), topics.VERDICTS)
    plant.send(_alarm_event(), topics.ALARMS)
    label = FaultLabel(machine_id="p", kind="leak", start_ms=1, end_ms=2)
    plant.send(labels.encode(label), topics.LABELS)
    plant.record_all()
    store = plant.database.fleet_store()
    assert [each.verdict.timestamp_ms for each in store.verdicts("p")] == [1]
    assert [each.machine_id for each in store.alarms()] == ["p"]
    assert list(store.labels()) == [label]


def test_a_drift_event_is_stored_and_counted(plant: Plant) -> None:
    plant.send(_drift(), topics.DRIFT_EVENTS)
    plant.send(_drift(), topics.DRIFT_EVENTS)
    plant.record_all()
    assert plant.database.drift_log().list("pump") == [drift.decode(_drift())]
    assert plant.letters() == []


@pytest.mark.parametrize(
    ("topic", "value", "reason", "detail"),
    [
        (topics.VERDICTS, b"{}", "invalid_verdict", "is no verdict"),
        (topics.VERDICTS, b'{"x":' + b"[" * 100_000, "invalid_verdict", "is no verdict"),
        (topics.VERDICTS, _verdicts(-1), "invalid_verdict", "1970 to 2100"),
        (topics.VERDICTS, _verdicts(1).replace(b'"p"', b'"\\u0000"'), "invalid_verdict", "NUL"),
        (topics.ALARMS, b"not json", "invalid_alarm", "is no alarm"),
        (topics.ALARMS, _alarm_event(peak_at_ms=10**18), "invalid_alarm", "1970 to 2100"),
        (topics.ALARMS, _alarm_event(machine_id="\n"), "invalid_alarm", "machine_id"),
        (
            topics.VERDICTS,
            verdicts.encode(
                VerdictBatch(
                    machine_id="p",
                    machine_type="pump",
                    verdicts=(Verdict(timestamp_ms=1, status=Status.NORMAL, cluster=2**31),),
                )
            ),
            "invalid_verdict",
            "cluster: 2147483648",
        ),
        (topics.ALARMS, _alarm_event(bad_readings=2**63), "invalid_alarm", "bad_readings"),
        (topics.ALARMS, _alarm_event(bad_readings=-1), "invalid_alarm", "bad_readings"),
        (topics.ALARMS, _alarm_event(alarm_id=""), "invalid_alarm", "alarm_id"),
        (topics.ALARMS, _alarm_event(alarm_id="x" * 257), "invalid_alarm", "alarm_id"),
        (
            topics.LABELS,
            labels.encode(FaultLabel(machine_id="p", kind="x" * 3_000, start_ms=1)),
            "invalid_label",
            "kind: 3000 characters",
        ),
        (topics.LABELS, b"7", "invalid_label", "is no label"),
        (topics.DRIFT_EVENTS, b"{}", "invalid_drift", "is no drift"),
        (topics.DRIFT_EVENTS, _drift(event_id=""), "invalid_drift", "0 characters"),
        (topics.DRIFT_EVENTS, _drift(end_ms=-1), "invalid_drift", "1970 to 2100"),
        (topics.DRIFT_EVENTS, _drift(machines=2**63), "invalid_drift", "machines"),
        (
            topics.LABELS,
            labels.encode(FaultLabel(machine_id="p", kind="leak", start_ms=-5)),
            "invalid_label",
            "1970 to 2100",
        ),
    ],
)
def test_other_messages_that_cannot_be_stored_become_dead_letters_too(
    plant: Plant, topic: Topic, value: bytes, reason: str, detail: str
) -> None:
    plant.send(value, topic)
    plant.record_all()
    (letter,) = plant.letters()
    assert (plant.header(letter, "reason"), letter.value) == (reason, value)
    assert detail in plant.header(letter, "detail")


def test_a_verdict_is_not_kept_waiting_by_a_backlog_of_readings(plant: Plant) -> None:
    for number in range(2_000):
        plant.send_readings(_reading(number))
    plant.send(_verdicts(0), topics.VERDICTS)
    behind: list[int] = []

    def verdict_is_stored() -> bool:
        stored = bool(plant.database.fleet_store().verdicts("p"))
        if stored:
            behind.append(2_000 - len(plant.stored()))
        return stored

    plant.run(plant.stream(rows=100), verdict_is_stored)
    assert behind[0] > 0
