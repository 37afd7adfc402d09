"""The recorder's keeper, on a database in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import pytest

from faultline.adapters.memory import MemoryDatabase
from faultline.errors import Unavailable
from faultline.ports.retention import Expired, Kept, RetentionStore
from faultline.ports.stores import RecordBatch
from faultline.readings import make_reading, parse_timestamp
from faultline.retention import Retention
from services.ingest.recorder.keeper import Keeper
from services.ingest.recorder.metrics import RecorderMetrics

NOW = parse_timestamp("2031-06-15T12:00:00Z")
MARCH = parse_timestamp("2031-03-10T00:00:00Z")
APRIL = parse_timestamp("2031-04-10T00:00:00Z")
MAY = parse_timestamp("2031-05-10T00:00:00Z")


class Noon:
    def now_ms(self) -> int:
        return NOW

    def monotonic_s(self) -> float:
        return NOW / 1000

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


class Watched:
    """A store of which one table is in use, and that is down when it is told to be."""

    def __init__(self, store: RetentionStore, in_use: str = "") -> None:
        self._store = store
        self._in_use = in_use
        self.down: list[threading.Event] = []
        self.prepared: list[int] = []

    def expired(self, cutoffs: Mapping[Kept, int]) -> Sequence[Expired]:
        return self._store.expired(cutoffs)

    def drop(self, expired: Expired) -> bool:
        if expired.name == self._in_use:
            raise Unavailable("lock timeout")
        return self._store.drop(expired)

    def prepare(self, now_ms: int) -> None:
        if self.down:
            self.down.pop().set()
            raise Unavailable("it is down")
        self.prepared.append(now_ms)


@pytest.fixture
def database() -> MemoryDatabase:
    made = MemoryDatabase()
    readings = [make_reading("p", at, {"flow": 1.0}, "pump") for at in (MARCH, APRIL, MAY)]
    made.record_store().record("recorder", RecordBatch({}, readings), lambda _: None)
    return made


@pytest.fixture
def metrics() -> RecorderMetrics:
    return RecorderMetrics()


def counted(metrics: RecorderMetrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(
        f"faultline_recorder_retention_{name}", {"kind": "readings"}
    )


def times(database: MemoryDatabase) -> list[int]:
    kept: list[int] = database.fleet_store().readings("p").timestamps_ms.tolist()
    return kept


def test_months_that_are_too_old_are_dropped_and_counted(
    database: MemoryDatabase, metrics: RecorderMetrics
) -> None:
    keeper = Keeper(database.retention_store(), Retention(readings_days=60), metrics, Noon())
    # March ended 75 days ago and April 45.
    assert keeper.look()
    assert times(database) == [APRIL, MAY]
    assert (counted(metrics, "dropped_total"), counted(metrics, "dropped_rows_total")) == (1, 1)


def test_by_default_everything_is_kept(database: MemoryDatabase, metrics: RecorderMetrics) -> None:
    store = Watched(database.retention_store())
    assert Keeper(store, Retention(), metrics, Noon()).look()
    assert len(times(database)) == 3
    assert store.prepared == [NOW]


def test_what_is_in_use_is_left_and_the_rest_is_dropped(
    database: MemoryDatabase, metrics: RecorderMetrics
) -> None:
    store = Watched(database.retention_store(), in_use="readings_y2031m03")
    keeper = Keeper(store, Retention(readings_days=30), metrics, Noon())
    assert not keeper.look()
    assert times(database) == [MARCH, MAY]
    assert (counted(metrics, "left"), counted(metrics, "dropped_total")) == (1, 1)


def test_a_database_that_is_down_is_waited_for(
    database: MemoryDatabase, metrics: RecorderMetrics
) -> None:
    stop = threading.Event()
    store = Watched(database.retention_store())
    store.down = [stop]
    Keeper(store, Retention(readings_days=30), metrics, Noon()).run(stop)
    assert len(times(database)) == 3
