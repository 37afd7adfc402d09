"""Many machines' rows, and what a crash leaves of them."""

from __future__ import annotations

import pytest

from faultline.errors import InvalidReading
from faultline.readings import Reading, field_of
from services.ingest.bridge.alignment import Grid
from services.ingest.bridge.fleet import FORGET_MS, Fleet
from services.ingest.bridge.payloads import Value

GRIDS = {"default": Grid(1_000, 60_000, 200), "slow": Grid(60_000, 600_000, 0)}


def value(
    machine: str, number: float, at_ms: int | None, sensor: str = "t", kind: str = "pump"
) -> Value:
    return Value(kind, machine, sensor, number, at_ms)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(GRIDS, 10)


def rows(readings: list[Reading]) -> list[tuple[str, int, dict[str, float | None]]]:
    return [(each.machine_id, each.timestamp_ms, each.sensors) for each in readings]


def test_each_machine_type_has_its_grid(fleet: Fleet) -> None:
    fleet.take(value("p", 1.0, 10_500), 10_500)
    fleet.take(value("s", 2.0, 10_500, kind="slow"), 10_500)
    assert rows(fleet.due(20_000)) == [("p", 11_000, {"t": 1.0})]
    assert fleet.due(59_999) == []
    [row] = fleet.due(60_000)
    assert (row.machine_type, row.timestamp_ms) == ("slow", 60_000)


def test_a_value_without_a_time_is_of_when_it_came(fleet: Fleet) -> None:
    fleet.take(value("p", 1.0, None), 10_500)
    assert rows(fleet.due(99_000)) == [("p", 11_000, {"t": 1.0})]


def test_only_the_machines_that_changed_are_kept_again(fleet: Fleet) -> None:
    fleet.take(value("p", 1.0, 10_500), 10_500)
    fleet.take(value("q", 1.0, 10_500), 10_500)
    assert len(fleet.changed("b")) == 2
    fleet.take(value("q", 1.0, 10_600), 10_600)
    assert [b"q" in key for key, _ in fleet.changed("b")] == [True]
    assert fleet.changed("b") == []
    fleet.due(99_000)
    assert len(fleet.changed("b")) == 2


def test_a_new_process_goes_on_where_the_snapshots_stand(fleet: Fleet) -> None:
    other = Fleet(GRIDS, 10)
    snapshots: list[tuple[bytes, bytes]] = []
    for at_ms, sensor in ((10_100, "t"), (10_900, "p"), (11_500, "t")):
        fleet.take(value("m", float(at_ms), at_ms, sensor), at_ms)
        snapshots += fleet.changed("b")
    other.restore("b", snapshots, 11_500)
    assert other.due(99_000) == fleet.due(99_000) != []


def test_the_snapshots_of_another_bridge_are_let_be(fleet: Fleet) -> None:
    fleet.take(value("m", 1.0, 10_100), 10_100)
    [snapshot] = fleet.changed("b")
    other = Fleet(GRIDS, 10)
    other.restore("c", [snapshot], 11_500)
    assert len(other) == 0
    fleet.take(value("m", 1.0, 10_100), 10_100)
    assert fleet.changed("c")[0][0] != snapshot[0]


def test_a_machine_that_was_silent_for_a_day_is_forgotten(fleet: Fleet) -> None:
    fleet.take(value("m", 1.0, 10_100), 10_100)
    fleet.due(99_000)
    [snapshot] = fleet.changed("b")
    fleet.due(FORGET_MS)
    assert len(fleet) == 1
    fleet.due(2 * FORGET_MS)
    assert len(fleet) == 0
    fleet.restore("b", [snapshot], 2 * FORGET_MS)
    assert len(fleet) == 0
    fleet.restore("b", [snapshot], FORGET_MS)
    assert len(fleet) == 1


def test_what_waits_for_its_time_does_not_grow_with_the_values(fleet: Fleet) -> None:
    for number in range(5_000):
        fleet.take(value("s", float(number), 10_500 + number, kind="slow"), 10_500 + number)
    assert len(fleet._queue) == 1


def test_a_forgotten_machine_leaves_a_tombstone_which_undoes_its_snapshot(fleet: Fleet) -> None:
    fleet.take(value("m", 1.0, 10_100), 10_100)
    fleet.due(99_000)
    [snapshot] = fleet.changed("b")
    fleet.due(2 * FORGET_MS)
    [tombstone] = fleet.changed("b")
    assert tombstone == (snapshot[0], b"")
    other = Fleet(GRIDS, 10)
    assert other.restore("b", [snapshot, tombstone], 99_000) == []
    assert len(other) == 0
    assert other.restore("b", [tombstone, snapshot], 99_000) == []
    assert len(other) == 1


def test_a_machine_that_is_back_before_its_tombstone_went_out_has_its_snapshot(
    fleet: Fleet,
) -> None:
    fleet.take(value("m", 1.0, 10_100), 10_100)
    fleet.due(99_000)
    fleet.due(2 * FORGET_MS)
    fleet.take(value("m", 2.0, None), 2 * FORGET_MS)
    [(_, content)] = fleet.changed("b")
    assert content


@pytest.mark.parametrize("content", [b"\xc1", b"\xa1\xff", b"{}"])
def test_a_snapshot_that_cannot_be_read_is_told_and_the_others_count(
    fleet: Fleet, content: bytes
) -> None:
    fleet.take(value("m", 1.0, 10_100), 10_100)
    other = Fleet(GRIDS, 10)
    left_out = other.restore("b", [(b"key", content), *fleet.changed("b")], 10_100)
    assert [each.key for each in left_out] == ["key"]
    assert len(other) == 1


def test_one_machine_too_many_is_refused_and_those_known_are_not() -> None:
    fleet = Fleet(GRIDS, 2)
    fleet.take(value("p", 1.0, 10_100), 10_100)
    fleet.take(value("q", 1.0, 10_100), 10_100)
    with pytest.raises(InvalidReading, match="FAULTLINE_MQTT_MACHINES") as refused:
        fleet.take(value("r", 1.0, 10_200), 10_200)
    assert field_of(str(refused.value)) == "machine_id"
    fleet.take(value("q", 2.0, 10_300), 10_300)
    assert len(fleet) == 2
