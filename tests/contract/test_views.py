"""The views on the real PostgreSQL: what they say, how little they read, the page's examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, exc, text

from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.postgres.columns import to_moment
from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.ports.retention import Kept
from faultline.ports.stores import RecordBatch
from faultline.readings import make_reading, parse_timestamp
from faultline.verdicts import SensorContribution, Status, Verdict, VerdictBatch

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## With SQL and Grafana")[2]
EXAMPLES: Sequence[str] = re.findall(r"^```sql\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
VIEWS = ("sensor_values", "machine_readings", "machine_verdicts", "machine_alarms")
MONTHS = [parse_timestamp(f"2031-0{month}-15T12:00:00Z") for month in (3, 4, 5)]
MARCH = "time >= '2031-03-15' AND time < '2031-03-16'"
# What Grafana makes of its macros for the whole of 2026 and panels of a minute a point.
MACROS = {
    r"\$__timeGroupAlias\((\w+), \$__interval\)": r'floor(extract(epoch FROM \1)/60)*60 AS "time"',
    r"\$__timeFilter\((\w+)\)": r"\1 BETWEEN '2026-01-01T00:00:00Z' AND '2027-01-01T00:00:00Z'",
    r"\$__from": "1767225600000",
    r"\$__to": "1798761600000",
    r"\$machine": "pump-07",
}


def contribution(sensor: str) -> SensorContribution:
    return SensorContribution(sensor, 0.5, 9.0, 4.0, 3.0, 5.0, "high")


def verdict(at_ms: int) -> VerdictBatch:
    said = Verdict(
        timestamp_ms=at_ms,
        status=Status.FAILURE,
        score=1.5,
        cluster=2,
        contributions=(contribution("flow"), contribution("heat")),
    )
    return VerdictBatch(
        machine_id="pump-07",
        machine_type="pump",
        verdicts=(said,),
        model_name="faultline-pump",
        model_version="3",
    )


def alarm_event(at_ms: int) -> AlarmEvent:
    alarm = Alarm(
        alarm_id=f"alarm-{at_ms}",
        machine_id="pump-07",
        machine_type="pump",
        state=AlarmState.CLOSED,
        began_at_ms=at_ms - 5,
        opened_at_ms=at_ms,
        updated_at_ms=at_ms + 60_000,
        closed_at_ms=at_ms + 60_000,
        peak_score=2.0,
        peak_at_ms=at_ms + 1,
        top_sensors=(contribution("heat"), contribution("flow")),
        why="heat is too high",
        bad_readings=6,
        model_name="faultline-pump",
        model_version="3",
    )
    return AlarmEvent(event_id=f"{alarm.alarm_id}-closed", kind=AlarmEventKind.CLOSED, alarm=alarm)


def record(database: PostgresDatabase, *times: int) -> None:
    """A reading, a verdict on it and an alarm, at each of these times."""
    sensors = {"flow": 0.1, "pressure_out": 4.25, "heat": None}
    batch = RecordBatch(
        {},
        readings=[make_reading("pump-07", at, sensors, "pump") for at in times],
        verdicts=[verdict(at) for at in times],
        alarm_events=[alarm_event(at) for at in times],
    )
    database.record_store().record("recorder", batch, lambda _: None)


@pytest.fixture
def connection(postgres: PostgresDatabase, engine: Engine) -> Iterator[Connection]:
    """To a database with something in three months of 2031; what is done is undone."""
    record(postgres, *MONTHS)
    with engine.connect() as connection:
        yield connection


def rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(query)).mappings()]


def test_each_value_of_a_reading_is_a_row_and_a_missing_one_is_null(
    connection: Connection,
) -> None:
    found = rows(connection, f"SELECT * FROM sensor_values WHERE {MARCH} ORDER BY sensor")
    of_all = {"time": to_moment(MONTHS[0]), "machine_id": "pump-07", "machine_type": "pump"}
    assert found == [
        {**of_all, "sensor": "flow", "value": 0.1},
        {**of_all, "sensor": "heat", "value": None},
        {**of_all, "sensor": "pressure_out", "value": 4.25},
    ]


@pytest.mark.parametrize("value", [5e-324, -1e100, 0.1 + 0.2, 1 / 3, 123456789.123456789])
def test_a_value_comes_out_of_the_view_as_it_went_in(
    postgres: PostgresDatabase, engine: Engine, value: float
) -> None:
    reading = make_reading("pump-07", MONTHS[0], {"flow": value})
    postgres.record_store().record("recorder", RecordBatch({}, [reading]), lambda _: None)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT value FROM sensor_values")).all() == [value]


def test_a_verdict_names_the_sensor_that_contributes_most(connection: Connection) -> None:
    assert rows(connection, f"SELECT * FROM machine_verdicts WHERE {MARCH}") == [
        {
            "time": to_moment(MONTHS[0]),
            "machine_id": "pump-07",
            "machine_type": "pump",
            "status": "failure",
            "score": 1.5,
            "cluster": 2,
            "known": True,
            "reason": None,
            "top_sensor": "flow",
            "model_name": "faultline-pump",
            "model_version": "3",
        }
    ]


def test_an_alarm_names_its_sensors_in_their_order(connection: Connection) -> None:
    [found] = rows(connection, "SELECT * FROM machine_alarms WHERE opened < '2031-04-01'")
    assert found == {
        "alarm_id": f"alarm-{MONTHS[0]}",
        "machine_id": "pump-07",
        "machine_type": "pump",
        "state": "closed",
        "began": to_moment(MONTHS[0] - 5),
        "opened": to_moment(MONTHS[0]),
        "closed": to_moment(MONTHS[0] + 60_000),
        "peak_score": 2.0,
        "peaked": to_moment(MONTHS[0] + 1),
        "sensors": ["heat", "flow"],
        "why": "heat is too high",
        "bad_readings": 6,
        "model_name": "faultline-pump",
        "model_version": "3",
    }


def plan_of(connection: Connection, query: str) -> Any:
    # These tables are so small that PostgreSQL would read all of a month.
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    connection.execute(text("SET LOCAL enable_bitmapscan = off"))
    return connection.execute(text(f"EXPLAIN (FORMAT JSON) {query}")).scalar_one()[0]["Plan"]


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scanned(plan: Any) -> list[str]:
    return [node["Relation Name"] for node in nodes(plan) if "Relation Name" in node]


BY_MONTH = {
    "sensor_values": "readings",
    "machine_readings": "readings",
    "machine_verdicts": "verdicts",
}


@pytest.mark.parametrize("view", BY_MONTH)
def test_a_range_of_times_reads_its_months_only_and_by_the_key(
    connection: Connection, view: str
) -> None:
    plan = plan_of(connection, f"SELECT * FROM {view} WHERE machine_id = 'pump-07' AND {MARCH}")
    assert scanned(plan) == [f"{BY_MONTH[view]}_y2031m03"]
    [condition] = [node["Index Cond"] for node in nodes(plan) if "Index Cond" in node]
    assert "machine_id = 'pump-07'" in condition
    assert condition.count('"timestamp"') == 2


@pytest.mark.parametrize("view", BY_MONTH)
def test_a_range_that_ends_now_leaves_out_the_months_before_it_too(
    postgres: PostgresDatabase, connection: Connection, view: str
) -> None:
    query = f"SELECT * FROM {view} WHERE time > now() + interval '50 years'"
    plan = plan_of(connection, query)
    # Other tests have left months of the far future.
    assert not {f"{BY_MONTH[view]}_y2031m{month:02d}" for month in range(1, 13)} & {*scanned(plan)}
    assert sum(node.get("Subplans Removed", 0) for node in nodes(plan)) >= len(MONTHS)


def test_alarms_of_a_time_are_found_by_their_index(connection: Connection) -> None:
    plan = plan_of(connection, "SELECT * FROM machine_alarms WHERE opened > '2031-04-01'")
    [index] = [node["Index Name"] for node in nodes(plan) if "Index Name" in node]
    assert index == "ix_alarms_opened_at"


def test_months_are_dropped_under_the_views(postgres: PostgresDatabase, engine: Engine) -> None:
    record(postgres, *MONTHS)
    store = postgres.retention_store()
    until = parse_timestamp("2031-04-01T00:00:00Z")
    for expired in store.expired({Kept.READINGS: until, Kept.VERDICTS: until}):
        assert store.drop(expired)
    with engine.connect() as connection:
        for view in BY_MONTH:
            times = connection.scalars(text(f"SELECT DISTINCT time FROM {view} ORDER BY time"))
            assert times.all() == [to_moment(at) for at in MONTHS[1:]]


def as_grafana_sends_it(query: str) -> str:
    for macro, expanded in MACROS.items():
        query = re.sub(macro, expanded, query)
    assert "$" not in query
    return query


def example(beginning: str) -> str:
    [found] = [query for query in EXAMPLES if re.sub(r"\s+", " ", query).startswith(beginning)]
    return found


@pytest.mark.parametrize("query", EXAMPLES, ids=lambda query: query.split("\n")[0])
def test_every_example_of_the_page_runs_and_finds_something(
    postgres: PostgresDatabase, engine: Engine, query: str
) -> None:
    day_ms = parse_timestamp("2026-11-20T08:00:00Z")
    with engine.connect() as connection:
        now_ms = connection.scalar(text("SELECT (extract(epoch FROM now()) * 1000)::bigint"))
        assert now_ms is not None
        record(postgres, day_ms, now_ms - 60_000)
        done = connection.execute(text(as_grafana_sends_it(query)))
        if done.returns_rows:
            assert done.all() != []


def test_the_pages_role_reads_the_views_and_no_table(connection: Connection) -> None:
    connection.execute(text(example("CREATE ROLE grafana")))
    connection.execute(text("SET LOCAL ROLE grafana"))
    for view in VIEWS:
        assert rows(connection, f"SELECT * FROM {view}") != []
    with pytest.raises(exc.ProgrammingError, match="permission denied for table readings"):
        connection.execute(text("SELECT * FROM readings"))


def test_every_column_of_the_views_is_on_the_page(connection: Connection) -> None:
    for view in VIEWS:
        [line] = [line for line in SECTION.splitlines() if line.startswith(f"| `{view}` |")]
        columns = connection.execute(text(f"SELECT * FROM {view} LIMIT 0")).keys()
        listed = re.findall(r"`(\w+)`", line.split("|")[3])
        assert listed == list(columns)
