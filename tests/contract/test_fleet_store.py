"""What every fleet store must answer, held against the one in memory and against PostgreSQL."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.errors import NotFound, UntrainableHistory
from faultline.labels import FaultLabel
from faultline.ports.jobs import Period
from faultline.ports.stores import HistoryQuery, MachineRows, RecordBatch, TimeRange
from faultline.readings import Reading, make_reading
from faultline.verdicts import Status, Verdict, VerdictBatch

Database = MemoryDatabase | PostgresDatabase

NOON = 1_795_262_400_000
MINUTE = 60_000


def reading(
    at_ms: int, machine: str = "pump-07", kind: str = "pump", **sensors: float | None
) -> Reading:
    return make_reading(machine, at_ms, dict(sensors) or {"pressure": 1.0}, kind)


def keep(
    database: Database,
    *readings: Reading,
    verdicts: tuple[VerdictBatch, ...] = (),
    alarms: tuple[Alarm, ...] = (),
    labels: tuple[FaultLabel, ...] = (),
) -> None:
    events = [
        AlarmEvent(event_id=f"e-{alarm.alarm_id}", kind=AlarmEventKind.OPENED, alarm=alarm)
        for alarm in alarms
    ]

    def unexpected(conflicts: object) -> None:
        raise AssertionError(f"no conflict was expected, got {conflicts}")

    batch = RecordBatch({}, readings, verdicts, events, labels)
    database.record_store().record("recorder", batch, unexpected)


def judged(*verdicts: Verdict, machine: str = "pump-07", version: str | None = "1") -> VerdictBatch:
    return VerdictBatch(
        machine_id=machine,
        machine_type="pump",
        verdicts=verdicts,
        model_name="faultline-pump" if version else None,
        model_version=version,
    )


def normal(at_ms: int, score: float = 0.5) -> Verdict:
    return Verdict(timestamp_ms=at_ms, status=Status.NORMAL, score=score, cluster=0)


def failure(at_ms: int) -> Verdict:
    return Verdict(timestamp_ms=at_ms, status=Status.FAILURE, score=1.5, cluster=1)


def alarm(alarm_id: str, opened_at_ms: int, machine: str = "pump-07") -> Alarm:
    return Alarm(
        alarm_id=alarm_id,
        machine_id=machine,
        machine_type="pump",
        state=AlarmState.OPEN,
        began_at_ms=opened_at_ms - 5,
        opened_at_ms=opened_at_ms,
        updated_at_ms=opened_at_ms,
        peak_score=2.0,
        peak_at_ms=opened_at_ms,
        top_sensors=(),
        bad_readings=6,
        model_name="faultline-pump",
        model_version="1",
        why=f"{machine}: flow 36.5, expected 40 to 42 (80 % of the deviation)",
    )


def closed(open_alarm: Alarm) -> Alarm:
    at_ms = open_alarm.opened_at_ms + MINUTE
    return structs.replace(
        open_alarm, state=AlarmState.CLOSED, updated_at_ms=at_ms, closed_at_ms=at_ms
    )


def history(database: Database, query: HistoryQuery) -> list[MachineRows]:
    return list(database.fleet_store().history(query))


def times(database: Database, query: HistoryQuery) -> dict[str, list[int]]:
    return {
        rows.machine_id: [at_ms - NOON for at_ms in rows.timestamps_ms.tolist()]
        for rows in history(database, query)
    }


def test_history_is_one_machine_after_the_other_by_id_in_time_order(database: Database) -> None:
    keep(
        database,
        reading(NOON + 2, "pump-b"),
        reading(NOON + 1, "pump-b"),
        reading(NOON, "Pump-c"),
        reading(NOON, "pump-a"),
    )
    found = history(database, HistoryQuery("pump"))
    assert [rows.machine_id for rows in found] == ["Pump-c", "pump-a", "pump-b"]
    assert found[2].timestamps_ms.tolist() == [NOON + 1, NOON + 2]


def test_history_columns_are_sorted_and_missing_values_are_nan(database: Database) -> None:
    keep(
        database,
        reading(NOON, vibration=0.25, flow=1.0),
        reading(NOON + 1, flow=None, pressure=4.0),
    )
    (rows,) = history(database, HistoryQuery("pump"))
    assert rows.sensors == ("flow", "pressure", "vibration")
    np.testing.assert_array_equal(rows.values, [[1.0, np.nan, 0.25], [np.nan, 4.0, np.nan]])
    assert [rows.values.dtype.name, rows.timestamps_ms.dtype.name] == ["float64", "int64"]


def test_a_sensor_that_never_had_a_value_has_a_column_of_nan(database: Database) -> None:
    keep(database, reading(NOON, flow=None))
    (rows,) = history(database, HistoryQuery("pump"))
    assert rows.sensors == ("flow",)
    np.testing.assert_array_equal(rows.values, [[np.nan]])


def test_history_goes_on_over_many_rows_and_changing_sensors(database: Database) -> None:
    count = 20_000
    always = [reading(NOON + at, a=float(at)) for at in range(15_000)]
    later = [reading(NOON + at, a=float(at), late=at / 3) for at in range(15_000, count)]
    keep(database, *always, *later)
    (rows,) = history(database, HistoryQuery("pump"))
    expected = np.arange(count, dtype=np.float64)
    np.testing.assert_array_equal(rows.values[:, 0], expected)
    np.testing.assert_array_equal(
        rows.values[:, 1], np.where(expected >= 15_000, expected / 3, np.nan)
    )


def test_history_starts_at_its_start_and_leaves_its_end_out(database: Database) -> None:
    keep(database, *(reading(NOON + at) for at in range(5)))
    query = HistoryQuery("pump", start_ms=NOON + 1, end_ms=NOON + 3)
    assert times(database, query) == {"pump-07": [1, 2]}


def test_history_leaves_out_excluded_periods(database: Database) -> None:
    keep(database, *(reading(NOON + at) for at in range(8)))
    query = HistoryQuery(
        "pump", excluded=[Period(NOON + 1, NOON + 3), Period(NOON + 6, NOON + 100)]
    )
    assert times(database, query) == {"pump-07": [0, 3, 4, 5]}


def test_history_is_of_the_machines_asked_for(database: Database) -> None:
    keep(database, reading(NOON, "a"), reading(NOON, "b"), reading(NOON, "c"))
    assert list(times(database, HistoryQuery("pump", machines=["c", "a", "no"]))) == ["a", "c"]
    assert times(database, HistoryQuery("pump", machines=[])) == {}


def test_history_has_the_sensors_asked_for_and_all_rows(database: Database) -> None:
    keep(database, reading(NOON, flow=1.0, pressure=2.0, heat=3.0), reading(NOON + 1, heat=4.0))
    (rows,) = history(database, HistoryQuery("pump", sensors=["pressure", "flow", "unheard-of"]))
    assert rows.sensors == ("flow", "pressure")
    np.testing.assert_array_equal(rows.values, [[1.0, 2.0], [np.nan, np.nan]])


def test_history_without_rows_leaves_the_machine_out(database: Database) -> None:
    keep(database, reading(NOON))
    assert history(database, HistoryQuery("pump", start_ms=NOON + 1)) == []
    assert history(database, HistoryQuery("valve")) == []


def test_a_machine_that_changed_its_type_is_in_the_history_of_both(database: Database) -> None:
    keep(database, reading(NOON, kind="pump"))
    keep(database, reading(NOON + 1, kind="valve"))
    assert times(database, HistoryQuery("pump")) == {"pump-07": [0]}
    assert times(database, HistoryQuery("valve")) == {"pump-07": [1]}
    assert database.fleet_store().machine("pump-07").machine_type == "valve"


def test_readings_of_a_late_batch_do_not_change_what_a_machine_is_now(database: Database) -> None:
    keep(database, reading(NOON + 1, kind="valve"))
    keep(database, reading(NOON, kind="pump"))
    assert database.fleet_store().machine("pump-07").machine_type == "valve"


def test_readings_of_a_machine_are_those_in_the_range(database: Database) -> None:
    keep(database, *(reading(NOON + at) for at in range(4)), reading(NOON, "other"))
    rows = database.fleet_store().readings("pump-07", NOON + 1, NOON + 3)
    assert rows.timestamps_ms.tolist() == [NOON + 1, NOON + 2]


def test_readings_of_an_unknown_machine_are_none(database: Database) -> None:
    rows = database.fleet_store().readings("nobody")
    assert (rows.sensors, rows.timestamps_ms.shape, rows.values.shape) == ((), (0,), (0, 0))


def test_a_machine_tells_when_it_was_heard_and_how_it_does(database: Database) -> None:
    opened = alarm("a-2", NOON + 1)
    keep(database, reading(NOON + 1), reading(NOON), reading(NOON + 1))
    keep(
        database,
        verdicts=(judged(failure(NOON + 1), normal(NOON)),),
        alarms=(closed(alarm("a-1", NOON)), opened, alarm("a-3", NOON + 1, "other")),
    )
    machine = database.fleet_store().machine("pump-07")
    assert (machine.machine_id, machine.machine_type, machine.readings) == ("pump-07", "pump", 2)
    assert (machine.first_seen_ms, machine.last_seen_ms) == (NOON, NOON + 1)
    assert machine.last_verdict is not None
    assert machine.last_verdict.verdict == failure(NOON + 1)
    assert machine.open_alarm == opened


def test_a_machine_without_verdicts_and_alarms_has_none(database: Database) -> None:
    keep(database, reading(NOON))
    machine = database.fleet_store().machine("pump-07")
    assert (machine.last_verdict, machine.open_alarm) == (None, None)


def test_a_machine_that_was_never_heard_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="nobody"):
        database.fleet_store().machine("nobody")


def test_machines_are_listed_by_id_each_with_its_own_verdict(database: Database) -> None:
    keep(database, reading(NOON, "b"), reading(NOON, "a"), reading(NOON, "v", kind="valve"))
    keep(database, verdicts=(judged(normal(NOON), machine="a"), judged(failure(NOON), machine="b")))
    listed = database.fleet_store().machines()
    assert [
        (each.machine_id, each.last_verdict and each.last_verdict.verdict) for each in listed
    ] == [("a", normal(NOON)), ("b", failure(NOON)), ("v", None)]


def test_machines_can_be_listed_by_type(database: Database) -> None:
    keep(database, reading(NOON, "a"), reading(NOON, "v", kind="valve"))
    assert [each.machine_id for each in database.fleet_store().machines("valve")] == ["v"]


def test_verdicts_come_newest_first_in_the_range_up_to_the_limit(database: Database) -> None:
    keep(database, verdicts=(judged(*(normal(NOON + at) for at in range(6))),))
    stored = database.fleet_store().verdicts("pump-07", NOON + 1, NOON + 5, limit=3)
    assert [each.verdict.timestamp_ms - NOON for each in stored] == [4, 3, 2]


def test_the_oldest_of_a_range_can_be_had(database: Database) -> None:
    keep(
        database,
        *(reading(NOON + at) for at in range(6)),
        verdicts=(judged(*(normal(NOON + at) for at in range(6))),),
    )
    store = database.fleet_store()
    stored = store.verdicts("pump-07", NOON + 1, NOON + 5, limit=3, oldest_first=True)
    assert [each.verdict.timestamp_ms - NOON for each in stored] == [1, 2, 3]
    rows = store.readings("pump-07", NOON + 1, NOON + 5, limit=3)
    assert (rows.timestamps_ms - NOON).tolist() == [1, 2, 3]


def test_verdicts_can_be_had_by_status(database: Database) -> None:
    keep(database, verdicts=(judged(normal(NOON), failure(NOON + 1), normal(NOON + 2)),))
    stored = database.fleet_store().verdicts("pump-07", status=Status.FAILURE)
    assert [each.verdict for each in stored] == [failure(NOON + 1)]


def test_verdicts_over_several_months_come_newest_first(database: Database) -> None:
    month = 31 * 24 * 60 * MINUTE
    keep(database, verdicts=(judged(*(normal(NOON + at * month) for at in range(4))),))
    stored = database.fleet_store().verdicts("pump-07")
    assert [(each.verdict.timestamp_ms - NOON) // month for each in stored] == [3, 2, 1, 0]


def test_verdicts_are_counted_by_status_and_by_version(database: Database) -> None:
    unjudged = Verdict(timestamp_ms=NOON, status=Status.NO_MODEL)
    keep(
        database,
        verdicts=(
            judged(unjudged, version=None),
            judged(normal(NOON + 1), failure(NOON + 2), version="1"),
            judged(normal(NOON + 3), version="2"),
            judged(normal(NOON), machine="other"),
        ),
    )
    counts = database.fleet_store().verdict_counts("pump-07")
    assert counts.by_status == {Status.NO_MODEL: 1, Status.NORMAL: 2, Status.FAILURE: 1}
    assert counts.by_version == {None: 1, "1": 2, "2": 1}


def test_verdicts_are_counted_by_version_over_all_machines_of_a_model(database: Database) -> None:
    keep(
        database,
        verdicts=(
            judged(normal(NOON), failure(NOON + 1), version="1"),
            judged(normal(NOON + 2), version="2"),
            judged(normal(NOON), machine="other", version="2"),
            judged(Verdict(timestamp_ms=NOON + 3, status=Status.NO_MODEL), version=None),
        ),
    )
    store = database.fleet_store()
    assert store.verdicts_by_version("faultline-pump") == {"1": 2, "2": 2}
    assert store.verdicts_by_version("faultline-fan") == {}
    assert store.verdicts_by_version("a\0b") == {}


def test_alarms_come_newest_first_and_can_be_narrowed(database: Database) -> None:
    first, second = closed(alarm("a-1", NOON)), alarm("a-2", NOON + 1)
    other = alarm("a-3", NOON + 2, "other")
    keep(database, alarms=(second, first, other))
    store = database.fleet_store()
    assert store.alarms() == [other, second, first]
    assert store.alarms(limit=1) == [other]
    assert store.alarms("pump-07") == [second, first]
    assert store.alarms(state=AlarmState.OPEN) == [other, second]
    assert store.alarms("pump-07", AlarmState.CLOSED) == [first]


def test_labels_come_by_start_and_can_be_had_for_one_machine(database: Database) -> None:
    late = FaultLabel(machine_id="a", kind="leak", start_ms=NOON + 9, end_ms=NOON + 10)
    early = FaultLabel(machine_id="b", kind="stuck_sensor", start_ms=NOON, source="operator")
    keep(database, labels=(late, early))
    assert database.fleet_store().labels() == [early, late]
    assert database.fleet_store().labels("a") == [late]


def test_of_an_id_that_no_machine_can_have_there_is_nothing(database: Database) -> None:
    keep(database, reading(NOON))
    store = database.fleet_store()
    with pytest.raises(NotFound):
        store.machine("a\0b")
    assert not len(store.readings("a\0b").timestamps_ms)
    assert not store.verdicts("a\0b")
    assert not store.verdict_counts("a\0b").by_status
    assert not store.alarms("a\0b")
    assert not store.labels("a\0b")


def test_a_history_is_read_up_to_so_many_rows_of_all_machines(database: Database) -> None:
    for machine in ("a", "b", "c"):
        keep(database, *(reading(NOON + MINUTE * row, machine) for row in range(3)))
    found = history(database, HistoryQuery("pump", max_rows=4))
    assert [(rows.machine_id, len(rows.timestamps_ms)) for rows in found] == [("a", 3), ("b", 1)]


def test_the_newest_readings_of_all_machines_have_one_time_range(database: Database) -> None:
    for machine, first in (("a", 0), ("b", 2), ("c", -9)):
        keep(database, *(reading(NOON + MINUTE * (first + row), machine) for row in range(4)))
    keep(database, reading(NOON + MINUTE * 90, "fan-1", kind="fan"))
    store, query = database.fleet_store(), HistoryQuery("pump", max_rows=1, max_sensors=1)
    end_ms = NOON + MINUTE * 5 + 1
    assert store.newest_range(query, 4) == TimeRange(NOON + MINUTE * 2 + 1, end_ms)
    # Two are of one instant, and neither is in a range that has no room for both.
    assert store.newest_range(query, 3) == TimeRange(NOON + MINUTE * 3 + 1, end_ms)
    assert store.newest_range(query, 12) is None
    assert store.newest_range(HistoryQuery("valve"), 1) is None
    found = times(database, HistoryQuery("pump", NOON + MINUTE * 2 + 1, end_ms))
    assert {machine: len(rows) for machine, rows in found.items()} == {"a": 1, "b": 3}


def test_the_newest_readings_are_those_that_a_query_asks_for(database: Database) -> None:
    for machine in ("a", "b"):
        keep(database, *(reading(NOON + MINUTE * row, machine) for row in range(6)))
    query = HistoryQuery(
        "pump",
        end_ms=NOON + MINUTE * 5,
        machines=["a", "no"],
        excluded=(Period(NOON + MINUTE * 3, NOON + MINUTE * 4),),
    )
    found = database.fleet_store().newest_range(query, 2)
    assert found == TimeRange(NOON + MINUTE + 1, NOON + MINUTE * 4 + 1)
    assert database.fleet_store().newest_range(query, 4) is None


def test_a_machine_whose_sensors_are_too_many_is_not_read(database: Database) -> None:
    keep(
        database,
        *(make_reading("pump-07", NOON + row, {f"s{row}": 1.0}, "pump") for row in range(4)),
    )
    assert len(history(database, HistoryQuery("pump", max_sensors=4))) == 1
    with pytest.raises(UntrainableHistory, match="'pump-07' has more than 3 different sensors"):
        history(database, HistoryQuery("pump", max_sensors=3))
