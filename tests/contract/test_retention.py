"""What every store must do with what outlives its time, held against both."""

from __future__ import annotations

import pytest

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.drift import DriftEvent
from faultline.ports.retention import Expired, Kept
from faultline.ports.stores import RecordBatch
from faultline.readings import make_reading, parse_timestamp
from faultline.verdicts import Status, Verdict, VerdictBatch

Database = MemoryDatabase | PostgresDatabase

MARCH = parse_timestamp("2031-03-31T23:59:59.999Z")
APRIL = parse_timestamp("2031-04-01T00:00:00.000Z")


def verdicts(*times: int) -> VerdictBatch:
    made = tuple(Verdict(timestamp_ms=at, status=Status.NO_MODEL) for at in times)
    return VerdictBatch(machine_id="pump-07", machine_type="pump", verdicts=made)


def alarm_event(alarm_id: str, closed_at_ms: int | None) -> AlarmEvent:
    is_open = closed_at_ms is None
    alarm = Alarm(
        alarm_id=alarm_id,
        machine_id="pump-07",
        machine_type="pump",
        state=AlarmState.OPEN if is_open else AlarmState.CLOSED,
        began_at_ms=MARCH - 3,
        opened_at_ms=MARCH - 2,
        updated_at_ms=MARCH - 1,
        closed_at_ms=closed_at_ms,
        peak_score=2.0,
        peak_at_ms=MARCH - 2,
        top_sensors=(),
        bad_readings=6,
        model_name="faultline-pump",
        model_version="3",
    )
    kind = AlarmEventKind.OPENED if is_open else AlarmEventKind.CLOSED
    return AlarmEvent(event_id=f"{alarm_id}-{kind}", kind=kind, alarm=alarm)


def drift(event_id: str, at_ms: int) -> DriftEvent:
    return DriftEvent(
        event_id=event_id,
        machine_type="pump",
        model_name="faultline-pump",
        model_version="3",
        at_ms=at_ms,
        findings=(),
        start_ms=at_ms - 10,
        end_ms=at_ms,
        readings=10,
        machines=1,
    )


@pytest.fixture
def stored(database: Database) -> Database:
    """Two readings and two verdicts in two months, three alarms and two drift events."""
    batch = RecordBatch(
        {},
        readings=[make_reading("pump-07", at, {"flow": 1.0}, "pump") for at in (MARCH, APRIL)],
        verdicts=[verdicts(MARCH, APRIL)],
        alarm_events=[
            alarm_event("old", MARCH),
            alarm_event("open", None),
            alarm_event("new", APRIL),
        ],
        drift_events=[drift("old", MARCH), drift("new", APRIL)],
    )
    database.record_store().record("recorder", batch, lambda _: None)
    return database


def drop_all(database: Database, **cutoffs: int) -> list[Expired]:
    store = database.retention_store()
    found = store.expired({Kept(kind): at_ms for kind, at_ms in cutoffs.items()})
    return [one for one in found if store.drop(one)]


def names(expired: list[Expired]) -> set[str]:
    # Other tests' months may be there yet, empty.
    return {one.name for one in expired if "y2031" in one.name or one.kind is Kept.EVENTS}


def test_a_month_goes_as_a_whole_when_all_of_it_is_too_old(stored: Database) -> None:
    assert names(drop_all(stored, readings=APRIL - 1)) == set()
    assert names(drop_all(stored, readings=APRIL)) == {"readings_y2031m03"}
    fleet = stored.fleet_store()
    assert fleet.readings("pump-07").timestamps_ms.tolist() == [APRIL]


def test_each_kind_is_kept_for_a_time_of_its_own(stored: Database) -> None:
    assert names(drop_all(stored, verdicts=APRIL)) == {"verdicts_y2031m03"}
    fleet = stored.fleet_store()
    assert [one.verdict.timestamp_ms for one in fleet.verdicts("pump-07")] == [APRIL]
    assert len(fleet.readings("pump-07").timestamps_ms) == 2
    assert len(fleet.alarms()) == 3


def test_without_a_cutoff_nothing_is_too_old(stored: Database) -> None:
    assert drop_all(stored) == []


def test_alarms_go_when_they_were_closed_before_and_open_ones_stay(stored: Database) -> None:
    dropped = {one.name: one.rows for one in drop_all(stored, events=APRIL)}
    assert dropped == {"alarms": 1, "drift_events": 1}
    assert {alarm.alarm_id for alarm in stored.fleet_store().alarms()} == {"open", "new"}
    assert [event.event_id for event in stored.drift_log().list()] == ["new"]


def test_what_is_gone_is_neither_found_nor_dropped_again(stored: Database) -> None:
    store = stored.retention_store()
    found = store.expired({Kept.READINGS: APRIL, Kept.EVENTS: APRIL})
    assert all(store.drop(one) for one in found)
    assert not any(store.drop(one) for one in found)
    assert store.expired({Kept.READINGS: APRIL, Kept.EVENTS: APRIL}) == []


def test_a_reading_of_a_dropped_month_is_stored_again(stored: Database) -> None:
    record_store = stored.record_store()
    late = make_reading("pump-07", MARCH - 1, {"flow": 1.0}, "pump")
    drop_all(stored, readings=APRIL)
    assert record_store.record("recorder", RecordBatch({}, [late]), lambda _: None).stored == 1
    assert names(drop_all(stored, readings=APRIL)) == {"readings_y2031m03"}
