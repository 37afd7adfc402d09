"""What every record store must do, held against the one in memory and against PostgreSQL."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.errors import StaleOffsets, Unavailable
from faultline.labels import FaultLabel
from faultline.ports.broker import Partition
from faultline.ports.stores import OffsetRange, RecordBatch, Recorded
from faultline.readings import MAX_ABSOLUTE_VALUE, Reading, make_reading, parse_timestamp
from faultline.verdicts import SensorContribution, Status, Verdict, VerdictBatch

Database = MemoryDatabase | PostgresDatabase

GROUP = "recorder"
READINGS = Partition("sensor.readings", 0)
NOON = 1_795_262_400_000
"""2026-11-21T12:00:00Z"""
DAY_MS = 24 * 60 * 60 * 1000
DEADLINE_S = 20.0


def reading(
    at_ms: int = NOON, value: float | None = 1.0, machine: str = "pump-07", kind: str = "pump"
) -> Reading:
    return make_reading(machine, at_ms, {"pressure": value}, kind)


def batch(*readings: Reading, first: int = 0) -> RecordBatch:
    return RecordBatch({READINGS: OffsetRange(first, first + len(readings))}, readings)


def unexpected(conflicts: Sequence[int]) -> None:
    raise AssertionError(f"no conflict was expected, got {conflicts}")


def verdict_batch(*verdicts: Verdict, version: str | None = "1") -> RecordBatch:
    return RecordBatch(
        {},
        verdicts=[
            VerdictBatch(
                machine_id="pump-07",
                machine_type="pump",
                verdicts=verdicts,
                model_name="faultline-pump" if version else None,
                model_version=version,
            )
        ],
    )


ALARM = Alarm(
    alarm_id="a-1",
    machine_id="pump-07",
    machine_type="pump",
    state=AlarmState.OPEN,
    began_at_ms=NOON,
    opened_at_ms=NOON + 5_000,
    updated_at_ms=NOON + 5_000,
    peak_score=1.5,
    peak_at_ms=NOON + 4_000,
    top_sensors=(SensorContribution("pressure", 0.75, 4.125, 2.0625, 2.0, 2.125, "high"),),
    bad_readings=6,
    model_name="faultline-pump",
    model_version="1",
    why="pump-07: pressure 4.12, expected 2.00 to 2.12 (75 % of the deviation)",
)
WORSE = structs.replace(
    ALARM,
    updated_at_ms=NOON + 9_000,
    peak_score=9.0,
    peak_at_ms=NOON + 9_000,
    bad_readings=10,
    why="worse",
)
CLOSED = structs.replace(
    WORSE,
    state=AlarmState.CLOSED,
    updated_at_ms=NOON + 20_000,
    closed_at_ms=NOON + 20_000,
)


def told(alarm: Alarm, kind: AlarmEventKind) -> AlarmEvent:
    return AlarmEvent(event_id=f"{alarm.alarm_id}-{kind}", kind=kind, alarm=alarm)


OPENED, UPDATED, ENDED = (
    told(ALARM, AlarmEventKind.OPENED),
    told(WORSE, AlarmEventKind.UPDATED),
    told(CLOSED, AlarmEventKind.CLOSED),
)


def test_a_reading_is_stored_once_however_often_it_comes(database: Database) -> None:
    store = database.record_store()
    assert store.record(GROUP, batch(reading()), unexpected) == Recorded(1, 0, 0)
    again = batch(reading(), reading(NOON + 1), first=1)
    assert store.record(GROUP, again, unexpected) == Recorded(1, 1, 0)
    assert len(database.fleet_store().readings("pump-07").timestamps_ms) == 2


def test_a_reading_twice_in_one_batch_is_stored_once(database: Database) -> None:
    twice = batch(reading(), reading())
    assert database.record_store().record(GROUP, twice, unexpected) == Recorded(1, 1, 0)


def test_the_first_of_two_readings_with_one_identity_stays(database: Database) -> None:
    store = database.record_store()
    conflicts: list[int] = []
    store.record(GROUP, batch(reading(value=1.0)), unexpected)
    came = store.record(
        GROUP, batch(reading(NOON + 1), reading(value=2.0), first=1), conflicts.extend
    )
    assert (came, conflicts) == (Recorded(1, 0, 1), [1])
    assert database.fleet_store().readings("pump-07").values.tolist() == [[1.0], [1.0]]


def test_within_a_batch_the_first_of_an_identity_stays(database: Database) -> None:
    conflicts: list[int] = []
    four = batch(*(reading(value=value) for value in (1.0, 2.0, 1.0, 2.0)))
    came = database.record_store().record(GROUP, four, conflicts.extend)
    assert (came, conflicts) == (Recorded(1, 1, 2), [1, 3])
    assert database.fleet_store().readings("pump-07").values.tolist() == [[1.0]]


def test_a_reading_that_says_another_machine_type_is_a_conflict(database: Database) -> None:
    store = database.record_store()
    conflicts: list[int] = []
    store.record(GROUP, batch(reading()), unexpected)
    store.record(GROUP, batch(reading(kind="valve"), first=1), conflicts.extend)
    assert conflicts == [0]


def test_conflicts_are_told_before_anything_is_kept(database: Database) -> None:
    store = database.record_store()
    store.record(GROUP, batch(reading()), unexpected)

    def refuse(conflicts: Sequence[int]) -> None:
        raise Unavailable("the dead letters cannot be written")

    with pytest.raises(Unavailable, match="dead letters"):
        store.record(GROUP, batch(reading(NOON + 1), reading(value=2.0), first=1), refuse)
    assert store.offsets(GROUP, [READINGS]) == {READINGS: 1}
    assert len(database.fleet_store().readings("pump-07").timestamps_ms) == 1
    assert database.fleet_store().machine("pump-07").readings == 1


def test_offsets_are_those_after_the_last_batch_of_each_group(database: Database) -> None:
    store = database.record_store()
    other = Partition("sensor.readings", 1)
    store.record(GROUP, batch(reading()), unexpected)
    store.record("another", RecordBatch({other: OffsetRange(5, 9)}), unexpected)
    assert store.offsets(GROUP, [READINGS, other]) == {READINGS: 1}
    assert store.offsets("another", [READINGS, other]) == {other: 9}
    assert store.offsets(GROUP, []) == {}


def test_offsets_may_skip_what_the_topic_no_longer_has(database: Database) -> None:
    store = database.record_store()
    store.record(GROUP, batch(reading(), first=0), unexpected)
    store.record(GROUP, batch(reading(NOON + 1), first=100), unexpected)
    assert store.offsets(GROUP, [READINGS]) == {READINGS: 101}


def test_a_batch_behind_the_stored_offset_stores_nothing(database: Database) -> None:
    store = database.record_store()
    store.record(GROUP, batch(reading(), reading(NOON + 1)), unexpected)
    with pytest.raises(StaleOffsets, match=r"sensor\.readings, partition 0.* offset 1.* up to 2"):
        store.record(GROUP, batch(reading(NOON + 2), first=1), unexpected)
    assert len(database.fleet_store().readings("pump-07").timestamps_ms) == 2


def test_one_stale_partition_holds_back_the_whole_batch(database: Database) -> None:
    store = database.record_store()
    other = Partition("sensor.verdicts", 0)
    store.record(GROUP, RecordBatch({other: OffsetRange(0, 10)}), unexpected)
    mixed = RecordBatch(
        {READINGS: OffsetRange(0, 1), other: OffsetRange(3, 12)}, readings=[reading()]
    )
    with pytest.raises(StaleOffsets):
        store.record(GROUP, mixed, unexpected)
    assert store.offsets(GROUP, [READINGS, other]) == {other: 10}


def test_of_two_recorders_with_the_same_offsets_one_stores(database: Database) -> None:
    start = threading.Barrier(2, timeout=DEADLINE_S)

    def record(value: float) -> str:
        start.wait()
        try:
            database.record_store().record(GROUP, batch(reading(value=value)), unexpected)
        except StaleOffsets:
            return "stale"
        return "stored"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(record, (1.0, 2.0))) == ["stale", "stored"]
    assert len(database.fleet_store().readings("pump-07").timestamps_ms) == 1


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.isprintable)
VALUES = st.none() | st.floats(-MAX_ABSOLUTE_VALUE, MAX_ABSOLUTE_VALUE)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    machine=NAMES,
    at_ms=st.integers(NOON - 40 * DAY_MS, NOON + 40 * DAY_MS),
    sensors=st.dictionaries(NAMES, VALUES, min_size=1, max_size=6),
)
def test_names_times_and_floats_come_back_exactly(
    database: Database, machine: str, at_ms: int, sensors: dict[str, float | None]
) -> None:
    # Every example has a machine of its own: the database is the same for all of them.
    machine = f"{machine}{uuid.uuid4().hex}"
    one = make_reading(machine, at_ms, sensors)
    database.record_store().record(GROUP, RecordBatch({}, [one]), unexpected)
    rows = database.fleet_store().readings(machine)
    values = (None if math.isnan(value) else value for value in rows.values[0].tolist())
    assert rows.timestamps_ms.tolist() == [at_ms]
    assert dict(zip(rows.sensors, values, strict=True)) == sensors


@pytest.mark.parametrize(
    "moment", ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59.999Z", "2100-12-31T23:59:59.999Z"]
)
def test_a_time_at_the_edge_comes_back_exactly(database: Database, moment: str) -> None:
    at_ms = parse_timestamp(moment)
    database.record_store().record(GROUP, batch(reading(at_ms)), unexpected)
    assert database.fleet_store().readings("pump-07").timestamps_ms.tolist() == [at_ms]
    assert database.fleet_store().machine("pump-07").last_seen_ms == at_ms


@pytest.mark.parametrize("value", [0.1, 1e100, -1e100, 5e-324, 1 / 3, 123456789.123456789, 0.0])
def test_a_float_comes_back_bit_by_bit(database: Database, value: float) -> None:
    database.record_store().record(GROUP, batch(reading(value=value)), unexpected)
    rows = database.fleet_store().readings("pump-07")
    assert rows.values[0, 0].hex() == value.hex()


def test_a_verdict_comes_back_whole(database: Database) -> None:
    verdict = Verdict(
        timestamp_ms=NOON,
        status=Status.FAILURE,
        score=1e100 / 3,
        cluster=2,
        known=False,
        reason='STUCK\t\\N "pipe"\nß',
        contributions=(
            SensorContribution('pres\\sure "é"', 0.1 + 0.2, 1e100, -1 / 3, -1.0, 0.5, "high"),
            SensorContribution("flow", 0.7, 0.0, 5e-324, -5e-324, 1e-323, "low"),
        ),
        health={"flow": "stuck", "tab\\n": "missing"},
    )
    database.record_store().record(GROUP, verdict_batch(verdict, version="7"), unexpected)
    (stored,) = database.fleet_store().verdicts("pump-07")
    assert stored.verdict == verdict
    assert (stored.machine_type, stored.model_name, stored.model_version) == (
        "pump",
        "faultline-pump",
        "7",
    )


def test_a_verdict_without_a_model_comes_back_without_one(database: Database) -> None:
    verdict = Verdict(timestamp_ms=NOON, status=Status.NO_MODEL)
    database.record_store().record(GROUP, verdict_batch(verdict, version=None), unexpected)
    (stored,) = database.fleet_store().verdicts("pump-07")
    assert (stored.verdict, stored.model_name, stored.model_version) == (verdict, None, None)


def test_the_first_verdict_on_a_reading_stays(database: Database) -> None:
    store = database.record_store()
    real = Verdict(timestamp_ms=NOON, status=Status.NORMAL, score=0.5)
    repeat = Verdict(timestamp_ms=NOON, status=Status.DUPLICATE)
    store.record(GROUP, verdict_batch(real, repeat), unexpected)
    store.record(GROUP, verdict_batch(repeat, real, version="2"), unexpected)
    (stored,) = database.fleet_store().verdicts("pump-07")
    assert (stored.verdict, stored.model_version) == (real, "1")


def test_an_alarm_stands_where_its_last_event_left_it(database: Database) -> None:
    store = database.record_store()
    store.record(GROUP, RecordBatch({}, alarm_events=[OPENED]), unexpected)
    assert database.fleet_store().alarms() == [ALARM]
    store.record(GROUP, RecordBatch({}, alarm_events=[UPDATED, ENDED]), unexpected)
    assert database.fleet_store().alarms() == [CLOSED]


@pytest.mark.parametrize("replayed", [[OPENED], [UPDATED], [ENDED], [ENDED, UPDATED, OPENED]])
def test_a_replay_of_alarm_events_changes_nothing(
    database: Database, replayed: list[AlarmEvent]
) -> None:
    store = database.record_store()
    store.record(GROUP, RecordBatch({}, alarm_events=[OPENED, UPDATED, ENDED]), unexpected)
    store.record(GROUP, RecordBatch({}, alarm_events=replayed), unexpected)
    assert database.fleet_store().alarms() == [CLOSED]


def test_an_alarm_keeps_its_peak_when_a_later_event_has_a_lower_one(database: Database) -> None:
    lower = structs.replace(CLOSED, peak_score=2.0, peak_at_ms=NOON + 20_000)
    events = [UPDATED, told(lower, AlarmEventKind.CLOSED)]
    database.record_store().record(GROUP, RecordBatch({}, alarm_events=events), unexpected)
    (alarm,) = database.fleet_store().alarms()
    assert (alarm.state, alarm.peak_score, alarm.peak_at_ms) == (
        AlarmState.CLOSED,
        WORSE.peak_score,
        WORSE.peak_at_ms,
    )


def test_a_label_told_again_is_the_same_fault_with_its_end(database: Database) -> None:
    store = database.record_store()
    lasting = FaultLabel(
        machine_id="pump-07", kind="leak", start_ms=NOON, sensors=("flow", "a\\b"), severity=0.1
    )
    ended = structs.replace(lasting, end_ms=NOON + 60_000)
    store.record(GROUP, RecordBatch({}, labels=[lasting]), unexpected)
    assert database.fleet_store().labels() == [lasting]
    store.record(GROUP, RecordBatch({}, labels=[ended, lasting]), unexpected)
    assert database.fleet_store().labels() == [ended]
    store.record(GROUP, RecordBatch({}, labels=[lasting]), unexpected)
    assert database.fleet_store().labels() == [ended]
