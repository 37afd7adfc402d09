"""Single values become rows on a grid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.errors import InvalidReading
from services.ingest.bridge.alignment import Grid, MachineRows, Row, Sample, Taken

GRID = Grid(period_ms=1_000, max_age_ms=3_000, lateness_ms=200)


class Machine:
    """One machine whose values come when they are stamped, unless told otherwise."""

    def __init__(self, grid: Grid = GRID) -> None:
        self.grid = grid
        self.rows = MachineRows()

    def take(
        self, sensor: str, value: float | None, at_ms: int, arrived_ms: int | None = None
    ) -> Taken:
        arrived_ms = at_ms if arrived_ms is None else arrived_ms
        return self.rows.take(self.grid, sensor, Sample(at_ms, value), arrived_ms)

    def due(self, now_ms: int) -> list[Row]:
        return self.rows.due(self.grid, now_ms)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_row_holds_each_sensors_last_value_of_its_period(machine: Machine) -> None:
    machine.take("t", 1.0, 10_100)
    machine.take("p", 5.0, 10_200)
    machine.take("t", 2.0, 10_900)
    assert machine.due(11_199) == []
    assert machine.due(11_200) == [Row(11_000, {"t": 2.0, "p": 5.0})]
    assert machine.due(99_000) == []


def test_a_value_at_a_rows_instant_is_of_that_row(machine: Machine) -> None:
    machine.take("t", 1.0, 11_000)
    machine.take("t", 2.0, 11_001)
    assert machine.due(20_000) == [Row(11_000, {"t": 1.0}), Row(12_000, {"t": 2.0})]


def test_a_value_is_carried_up_to_the_maximum_age_and_is_missing_then(machine: Machine) -> None:
    machine.take("slow", 7.0, 10_500)
    for second in range(10, 16):
        machine.take("fast", float(second), second * 1_000 + 900)
    slow = {row.timestamp_ms: row.sensors["slow"] for row in machine.due(99_000)}
    assert slow == {11_000: 7.0, 12_000: 7.0, 13_000: 7.0, 14_000: None, 15_000: None, 16_000: None}


def test_a_silent_machine_gets_no_more_rows(machine: Machine) -> None:
    machine.take("t", 1.0, 10_500)
    assert [row.timestamp_ms for row in machine.due(1_000_000)] == [11_000]
    machine.take("t", 2.0, 60_500)
    assert machine.due(1_000_000) == [Row(61_000, {"t": 2.0})]


def test_a_row_waits_for_the_allowed_lateness_of_the_machines_own_clock(machine: Machine) -> None:
    machine.take("t", 1.0, 10_500)
    machine.take("t", 2.0, 11_150)
    machine.take("p", 5.0, 10_990, arrived_ms=11_160)
    assert machine.due(11_170) == []
    machine.take("t", 3.0, 11_201)
    assert machine.due(11_201) == [Row(11_000, {"t": 1.0, "p": 5.0})]


def test_a_clock_that_is_behind_makes_the_same_rows() -> None:
    behind_ms = 3_600_000
    values = [("t", 1.0, 10_100), ("p", 5.0, 10_700), ("t", 2.0, 11_300), ("p", 6.0, 11_800)]
    right, slow = Machine(), Machine()
    for sensor, value, at_ms in values:
        right.take(sensor, value, at_ms)
        taken = slow.take(sensor, value, at_ms, arrived_ms=at_ms + behind_ms)
        assert taken == Taken(late=False, ahead=False)
    assert slow.due(20_000 + behind_ms) == right.due(20_000)


def test_a_value_stamped_far_ahead_counts_as_of_when_it_came(machine: Machine) -> None:
    hours_ahead = machine.take("t", 1.0, 9_000_000, arrived_ms=10_100)
    assert hours_ahead == Taken(late=False, ahead=True)
    assert machine.take("t", 2.0, 10_900) == Taken(late=False, ahead=False)
    assert machine.due(99_000) == [Row(11_000, {"t": 2.0})]


def test_a_late_value_makes_no_second_row_and_is_carried(machine: Machine) -> None:
    machine.take("t", 1.0, 10_500)
    machine.due(99_000)
    assert machine.take("p", 5.0, 10_600) == Taken(late=True, ahead=False)
    assert machine.take("t", 0.0, 10_400).late
    assert machine.due(99_000) == []
    machine.take("u", 2.0, 11_500)
    assert machine.due(99_000) == [Row(12_000, {"t": 1.0, "p": 5.0, "u": 2.0})]


def test_a_value_that_comes_twice_changes_nothing(machine: Machine) -> None:
    machine.take("t", 1.0, 10_500)
    machine.take("t", 2.0, 10_600)
    machine.take("t", 1.0, 10_500, arrived_ms=10_700)
    assert machine.due(99_000) == [Row(11_000, {"t": 2.0})]


def test_null_says_that_a_value_is_missing_from_then_on(machine: Machine) -> None:
    machine.take("t", 1.0, 10_500)
    machine.take("t", None, 11_500)
    machine.take("p", 5.0, 12_500)
    assert [row.sensors["t"] for row in machine.due(99_000)] == [1.0, None, None]


def test_a_machine_that_sends_its_past_backwards_has_few_rows_open(machine: Machine) -> None:
    for second in range(1_000, 0, -1):
        machine.take("t", float(second), second * 1_000, arrived_ms=2_000_000)
        machine.due(2_000_000)
    assert len(machine.rows.pending) <= 16


def test_a_machine_has_no_more_sensors_than_a_reading_may(machine: Machine) -> None:
    for number in range(1_024):
        machine.take(f"s{number}", 1.0, 10_000 + number)
    with pytest.raises(InvalidReading, match="1024"):
        machine.take("one more", 1.0, 10_500)
    machine.take("s7", 2.0, 11_500)
    assert machine.due(99_000)[-1].sensors["s7"] == 2.0


VALUES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 20_000),  # When it was measured.
        st.integers(0, 400),  # How long it took to come.
    ),
    max_size=40,
)


@given(VALUES, st.integers(1, 3_000), st.integers(0, 5_000))
def test_rows_are_what_the_definition_says_when_no_value_is_late(
    values: list[tuple[str, int, int]], period_ms: int, max_age_ms: int
) -> None:
    # As late as a value may come in this test.
    machine = Machine(Grid(period_ms, max_age_ms, lateness_ms=400))
    rows: list[Row] = []
    samples: list[tuple[int, str, float]] = []
    come = sorted((at + delay, at, sensor) for sensor, at, delay in values)
    for order, (arrived_ms, at_ms, sensor) in enumerate(come):
        rows += machine.due(arrived_ms - 1)
        if not machine.take(sensor, float(order), at_ms, arrived_ms).late:
            samples.append((at_ms, sensor, float(order)))
    rows += machine.due(10**9)

    instants = [row.timestamp_ms for row in rows]
    assert instants == sorted({-(-at_ms // period_ms) * period_ms for at_ms, _, _ in samples})
    if len(samples) < len(values):
        return
    for row in rows:
        for sensor, value in row.sensors.items():
            known = [
                (at_ms, number)
                for at_ms, name, number in samples
                if name == sensor and at_ms <= row.timestamp_ms
            ]
            at_ms, number = max(known)
            assert value == (number if row.timestamp_ms - at_ms <= max_age_ms else None)


@given(VALUES, st.data())
def test_rows_go_forward_and_none_comes_twice(
    values: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    machine = Machine()
    instants: list[int] = []
    for sensor, at_ms, _ in values:
        # Any order, any clock.
        machine.take(sensor, 1.0, at_ms, arrived_ms=data.draw(st.integers(0, 40_000)))
        instants += [row.timestamp_ms for row in machine.due(data.draw(st.integers(0, 40_000)))]
    instants += [row.timestamp_ms for row in machine.due(10**9)]
    assert instants == sorted(set(instants))
    assert machine.rows.pending == {}
