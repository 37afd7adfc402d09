from __future__ import annotations

from itertools import islice, pairwise

import pytest

from faultline.sources.faults import FaultKind
from faultline.sources.plant import Plant
from faultline.sources.schedule import live, random_faults

T0_MS = 1_795_000_000_000
HOUR_MS = 3_600_000
PLANT = Plant(machines=4, seed=2)
ALL = tuple(FaultKind)


def test_faults_come_at_about_their_rate() -> None:
    faults = random_faults(PLANT, T0_MS, T0_MS + 200 * HOUR_MS, per_machine_hour=0.5, kinds=ALL)
    lasting_h = sum(fault.end_ms - fault.start_ms for fault in faults) / HOUR_MS
    rest_h = len(faults) * 4 * 60 / 3_600
    healthy_h = 4 * 200 - lasting_h - rest_h
    assert len(faults) / healthy_h == pytest.approx(0.5, rel=0.2)


def test_the_same_seed_and_time_give_the_same_faults() -> None:
    first, second = (
        random_faults(plant, T0_MS, T0_MS + HOUR_MS, per_machine_hour=3, kinds=ALL)
        for plant in (PLANT, Plant(machines=4, seed=2))
    )
    assert first
    assert first == second


def test_faults_lie_within_their_time_and_leave_a_machine_some_rest() -> None:
    end_ms = T0_MS + 10 * HOUR_MS
    faults = random_faults(PLANT, T0_MS, end_ms, per_machine_hour=20, kinds=ALL)
    for machine_id in PLANT.machine_ids:
        own = [fault for fault in faults if fault.machine_id == machine_id]
        assert own[0].start_ms >= T0_MS
        assert own[-1].end_ms <= end_ms
        assert min(b.start_ms - a.end_ms for a, b in pairwise(own)) >= 4 * 60_000


def test_only_the_kinds_asked_for_happen() -> None:
    kinds = (FaultKind.LEAK, FaultKind.OFFSET)
    faults = random_faults(PLANT, T0_MS, T0_MS + 20 * HOUR_MS, per_machine_hour=2, kinds=kinds)
    assert {fault.kind for fault in faults} == set(kinds)


def test_at_rate_0_nothing_happens() -> None:
    assert random_faults(PLANT, T0_MS, T0_MS + HOUR_MS, per_machine_hour=0, kinds=()) == ()


@pytest.mark.parametrize(
    ("rate", "kinds", "told"), [(-1.0, ALL, "must not be negative"), (1.0, (), "no kinds of fault")]
)
def test_a_rate_or_kinds_that_make_no_sense_are_refused(
    rate: float, kinds: tuple[FaultKind, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        random_faults(PLANT, T0_MS, T0_MS + HOUR_MS, per_machine_hour=rate, kinds=kinds)


def test_a_live_plant_leaves_out_no_reading_between_its_hours() -> None:
    plant = Plant(machines=1)
    end_ms = T0_MS + HOUR_MS + 5_000
    hours = live(plant, T0_MS, end_ms, per_machine_hour=0, kinds=())
    times = [reading.timestamp_ms for _, hour in hours for reading in hour]
    assert times == list(range(T0_MS, end_ms, 1_000))


def test_a_live_plant_shows_the_faults_that_it_tells() -> None:
    kinds = (FaultKind.DROPOUT,)
    [(troubled, readings)] = islice(
        live(PLANT, T0_MS, T0_MS + HOUR_MS, per_machine_hour=4, kinds=kinds), 1
    )
    told = {
        (fault.machine_id, second)
        for fault in troubled.faults
        for second in range(-(-fault.start_ms // 1_000), -(-fault.end_ms // 1_000))
    }
    seen = {
        (reading.machine_id, reading.timestamp_ms // 1_000)
        for reading in readings
        if None in reading.sensors.values()
    }
    assert seen
    assert seen <= told
