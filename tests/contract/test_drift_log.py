"""What every store of drift events must do, held against the one in memory and PostgreSQL's."""

from __future__ import annotations

from msgspec import structs

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.ports.stores import RecordBatch

Database = MemoryDatabase | PostgresDatabase

NOON = 1_795_262_400_000
SENSOR = Finding(
    kind=DriftKind.SENSOR,
    name="pression d'eau \N{GREEK SMALL LETTER OMEGA}",
    statistic=0.52,
    threshold=0.3,
    p_value=1e-9,
    before="median 4.1",
    after="median 5.2",
)
LEVEL = Finding(kind=DriftKind.SCORE, name="level", statistic=0.4, threshold=0.25)
EVENT = DriftEvent(
    event_id="event-1",
    machine_type="pump",
    model_name="faultline-pump",
    model_version="3",
    at_ms=NOON,
    findings=(SENSOR, LEVEL),
    start_ms=NOON - 86_400_000,
    end_ms=NOON - 1,
    readings=20_000,
    machines=7,
)
LATER = structs.replace(EVENT, event_id="event-0", at_ms=NOON + 1)
OTHER = structs.replace(EVENT, event_id="event-2", machine_type="valve", at_ms=NOON + 2)


def record(database: Database, *events: DriftEvent) -> None:
    database.record_store().record("recorder", RecordBatch({}, drift_events=events), lambda _: None)


def test_an_event_is_read_back_whole(database: Database) -> None:
    record(database, EVENT)
    assert database.drift_log().list() == [EVENT]


def test_an_event_that_comes_again_changes_nothing(database: Database) -> None:
    record(database, EVENT, EVENT)
    record(database, structs.replace(EVENT, readings=1))
    assert database.drift_log().list() == [EVENT]


def test_events_of_a_type_come_newest_first(database: Database) -> None:
    record(database, EVENT, LATER, OTHER)
    log = database.drift_log()
    assert [event.event_id for event in log.list("pump")] == ["event-0", "event-1"]
    assert [event.event_id for event in log.list(limit=2)] == ["event-2", "event-0"]


def test_a_type_without_events_has_none(database: Database) -> None:
    record(database, EVENT)
    assert database.drift_log().list("fan") == []
    assert database.drift_log().list("pump\0") == []
