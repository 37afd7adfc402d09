"""A history that is longer than what one training reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from faultline.errors import Unavailable, UntrainableHistory
from faultline.left_out import Cause
from faultline.ports.jobs import JobState, Period, TrainingRequest
from faultline.ports.stores import FleetStore, HistoryQuery, MachineRows, TimeRange
from services.trainer.dataset import Dataset, read_dataset

START_MS = 1_795_000_000_000
NAME = "faultline-pump"


@pytest.fixture
def store(make_world: Any) -> FleetStore:
    """Twelve readings of one machine, a second apart, and eight of another from the fourth on."""
    world = make_world()
    world.store_rows(np.zeros((12, 1)), "pump-1", ("flow",))
    world.store_rows(np.zeros((8, 1)), "pump-2", ("flow",), start_ms=START_MS + 4_000)
    kept: FleetStore = world.database.fleet_store()
    return kept


def read(store: FleetStore, max_rows: int, **request: Any) -> Dataset:
    return read_dataset(store, TrainingRequest(machine_type="pump", **request), max_rows)


def test_of_more_than_is_read_the_newest_readings_of_all_machines_are(store: FleetStore) -> None:
    dataset = read(store, 7)
    assert [list(one.timestamps_ms - START_MS) for one in dataset.histories] == [
        [9_000, 10_000, 11_000],
        [9_000, 10_000, 11_000],
    ]


def test_that_older_ones_were_not_read_is_told_with_the_range_that_was(store: FleetStore) -> None:
    dataset = read(store, 7)
    [older] = dataset.left_out
    assert (older.cause, older.machine_id, older.readings) == (Cause.OLDER, None, None)
    assert (older.start_ms, older.end_ms) == (0, START_MS + 8_001)
    assert (dataset.query.start_ms, dataset.query.end_ms) == (START_MS + 9_000, START_MS + 11_001)
    assert dataset.left_out_rows == 0


def test_a_history_that_fits_is_read_whole(store: FleetStore) -> None:
    dataset = read(store, 20)
    assert (dataset.rows, dataset.left_out) == (20, ())


def test_the_newest_are_those_before_an_end_and_beside_what_is_excluded(store: FleetStore) -> None:
    excluded = Period(START_MS + 6_000, START_MS + 8_000)
    dataset = read(store, 5, end_ms=START_MS + 10_000, excluded=(excluded,))
    assert dataset.rows == 4
    assert (dataset.start_ms, dataset.end_ms) == (START_MS + 8_000, START_MS + 9_000)
    assert [one.cause for one in dataset.left_out] == [Cause.EXCLUDED, Cause.OLDER]


def test_from_a_start_that_was_asked_for_nothing_is_passed_over(store: FleetStore) -> None:
    with pytest.raises(UntrainableHistory, match="more than 7 readings; choose a shorter"):
        read(store, 7, start_ms=START_MS)


class Growing:
    """A store that has taken in so much since it was asked for the newest that the range is old."""

    def __init__(self, store: FleetStore) -> None:
        self._store = store
        self.asked: list[HistoryQuery] = []

    def newest_range(self, query: HistoryQuery, rows: int) -> TimeRange | None:
        found = self._store.newest_range(query, rows)
        assert found is not None
        return found._replace(start_ms=START_MS)

    def history(self, query: HistoryQuery) -> Iterator[MachineRows]:
        self.asked.append(query)
        return self._store.history(query)


def test_a_history_that_grows_beyond_bounds_while_it_is_read_is_read_again(
    store: FleetStore,
) -> None:
    growing: Any = Growing(store)
    with pytest.raises(Unavailable, match="grew while it was read"):
        read(growing, 7)
    # However much there is, no more of it is held than may be.
    assert [query.max_rows for query in growing.asked] == [8]


def test_a_training_that_starts_by_itself_succeeds_on_a_history_beyond_the_limit(
    make_world: Any,
) -> None:
    world = make_world(trainer_max_history_rows=1_000, trainer_new_rows=1_000, trainer_cooldown_s=0)
    world.store_history(machines=4, rows=300)
    world.trainer.watch.look()
    assert world.work()
    [job] = world.queue.list()
    assert (job.state, job.request.start_ms) == (JobState.SUCCEEDED, None)
    logged = world.runs.popitem()[1]
    dataset = msgspec.json.decode(logged.files["dataset.json"])
    rows = [one["rows"] for one in dataset["machines"]]
    assert (len(rows), set(rows)) == (4, {245})
    older = "older than the newest that one training reads"
    assert logged.run.params["left_out"] == f"{older}: 1"
    assert f"Left out (1 {older})" in world.registry.version(NAME, "1").description
