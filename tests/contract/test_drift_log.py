"""What every store of drift events must do, held against the one in memory and PostgreSQL's."""

from __future__ import annotations

from msgspec import structs

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.drift import DriftEvent, DriftKind, DriftPart, Finding
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


# What replicas counted ----------------------------------------------------------------------------

PART = DriftPart(
    replica="replica-1",
    machine_type="pump",
    bundle_sha256="ab",
    at_ms=NOON,
    start_ms=NOON - 86_400_000,
    end_ms=NOON - 1,
    machines=7,
    counts=b"\x00\xff counts",
)


def test_the_parts_of_all_replicas_are_read_back_whole(database: Database) -> None:
    log = database.drift_log()
    other = structs.replace(PART, replica="replica-2", at_ms=NOON + 1)
    log.keep(other, 0)
    log.keep(PART, 0)
    assert log.parts(NOON) == [PART, other]
    assert log.parts(NOON + 1) == [other]


def test_a_part_takes_the_place_of_its_replicas_former_one(database: Database) -> None:
    log = database.drift_log()
    elsewhere = structs.replace(PART, machine_type="valve")
    anew = structs.replace(PART, bundle_sha256="cd", at_ms=NOON + 60_000, counts=b"more")
    for part in (PART, elsewhere, anew):
        log.keep(part, 0)
    assert log.parts(0) == [anew, elsewhere]


def test_old_parts_are_dropped_whoever_kept_them(database: Database) -> None:
    log = database.drift_log()
    log.keep(PART, 0)
    log.keep(structs.replace(PART, replica="replica-2", at_ms=NOON + 9), NOON)
    assert len(log.parts(0)) == 2
    log.keep(structs.replace(PART, replica="replica-2", at_ms=NOON + 10), NOON + 1)
    assert [part.replica for part in log.parts(0)] == ["replica-2"]
