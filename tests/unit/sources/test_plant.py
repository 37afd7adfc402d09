from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.errors import InvalidReading
from faultline.readings import Reading
from faultline.sources.faults import PHYSICAL, Fault, FaultKind
from faultline.sources.noise import CHUNK_ROWS, FloatArray
from faultline.sources.plant import Plant
from faultline.sources.pump import SENSOR_NAMES, SENSORS

T0_MS = 1_795_000_000_000
ROW0 = T0_MS // 1_000
MINUTE_MS = 60_000
PLANT = Plant(machines=3, seed=5)


def faulty(kind: FaultKind, **options: object) -> tuple[Fault, FloatArray, FloatArray]:
    """A fault of ten minutes on pump-02, beginning after two: it, and rows without and with it."""
    fault = PLANT.fault(kind, "pump-02", T0_MS + 2 * MINUTE_MS, 10 * MINUTE_MS, **options)  # type: ignore[arg-type]
    rows = 15 * 60
    healthy = PLANT.values("pump-02", ROW0, rows)
    return fault, healthy, PLANT.with_faults([fault]).values("pump-02", ROW0, rows)


def span(fault: Fault) -> slice:
    return slice(fault.start_ms // 1_000 - ROW0, fault.end_ms // 1_000 - ROW0)


def column(name: str) -> int:
    return SENSOR_NAMES.index(name)


@settings(max_examples=30, deadline=None)
@given(
    first=st.integers(0, 3 * CHUNK_ROWS),
    cuts=st.lists(st.integers(1, CHUNK_ROWS), min_size=1, max_size=4),
)
def test_the_series_is_the_same_however_it_is_cut(first: int, cuts: list[int]) -> None:
    faults = [
        PLANT.fault(kind, machine, T0_MS + 500_000, 3_000_000, sensor=sensor)
        for machine, kind, sensor in (
            ("pump-01", FaultKind.LEAK, None),
            ("pump-02", FaultKind.STUCK_SENSOR, "speed"),
            ("pump-03", FaultKind.NOISE, "flow"),
        )
    ]
    plant = PLANT.with_faults(faults)
    for machine_id in plant.machine_ids:
        whole = plant.values(machine_id, ROW0 + first, sum(cuts))
        starts = np.cumsum([0, *cuts[:-1]])
        parts = [
            plant.values(machine_id, ROW0 + first + int(start), rows)
            for start, rows in zip(starts, cuts, strict=True)
        ]
        np.testing.assert_array_equal(np.vstack(parts), whole)


def test_the_same_seed_gives_the_same_readings() -> None:
    again = Plant(machines=3, seed=5)
    np.testing.assert_array_equal(
        PLANT.values("pump-02", ROW0, 100), again.values("pump-02", ROW0, 100)
    )


def test_another_seed_gives_other_readings() -> None:
    other = replace(PLANT, seed=6)
    assert not np.array_equal(PLANT.values("pump-02", ROW0, 9), other.values("pump-02", ROW0, 9))


def test_a_stream_continues_its_history() -> None:
    middle = T0_MS + 400_000
    whole = list(PLANT.readings(T0_MS, T0_MS + 700_000))
    parts = [*PLANT.readings(T0_MS, middle), *PLANT.readings(middle, T0_MS + 700_000)]
    assert parts == whole


def test_every_machine_has_a_reading_at_every_instant() -> None:
    readings = list(PLANT.readings(T0_MS, T0_MS + 300_000))
    expected = [
        (machine, T0_MS + 1_000 * second) for second in range(300) for machine in PLANT.machine_ids
    ]
    assert [reading.identity for reading in readings] == expected
    assert {reading.machine_type for reading in readings} == {"pump"}


def test_a_stream_without_an_end_goes_on() -> None:
    assert len(list(islice(PLANT.readings(T0_MS), 5_000))) == 5_000


def test_the_interval_is_the_time_between_readings() -> None:
    plant = Plant(machines=1, interval_ms=250)
    times = [reading.timestamp_ms - T0_MS for reading in plant.readings(T0_MS + 1, T0_MS + 1_001)]
    assert times == [250, 500, 750, 1_000]


def test_the_load_repeats_with_its_period() -> None:
    flow = PLANT.values("pump-01", ROW0, 3_600)[:, column("flow")]
    flow -= flow.mean()
    same, half = (float(np.corrcoef(flow[:-lag], flow[lag:])[0, 1]) for lag in (60, 30))
    assert same > 0.95
    assert half < 0.2


def test_sensors_follow_the_load_together() -> None:
    values = PLANT.values("pump-01", ROW0, 3_600)
    coupled = [column(name) for name in ("speed", "flow", "pressure_out", "motor_current")]
    assert np.min(np.corrcoef(values[:, coupled].T)) > 0.9
    inlet = np.corrcoef(values[:, column("flow")], values[:, column("pressure_in")])
    assert inlet[0, 1] < -0.9


def test_pumps_of_a_plant_differ_a_little() -> None:
    means = np.array(
        [PLANT.values(machine, ROW0, 6 * 3_600).mean(axis=0) for machine in PLANT.machine_ids]
    )
    spread = np.abs(means / means.mean(axis=0) - 1).max(axis=0)
    assert (spread > 0).all()
    assert spread.max() < 0.05


def test_a_plant_asks_its_pumps_for_more_and_for_less() -> None:
    flow = PLANT.values("pump-01", ROW0, 6 * 3_600)[:, column("flow")].reshape(-1, 60).mean(axis=1)
    lower, upper = np.quantile(flow, [0.1, 0.9])
    middle = np.mean(
        (flow > lower + 0.3 * (upper - lower)) & (flow < upper - 0.3 * (upper - lower))
    )
    assert upper / lower > 1.01
    assert middle < 0.1


def test_a_bearing_warms_up_slowly() -> None:
    one, two = (
        PLANT.values(machine, ROW0, 6 * 3_600)[:, column("bearing_temperature")]
        for machine in PLANT.machine_ids[:2]
    )
    # The hall's temperature, which they share, drops out of their difference.
    warming = np.abs(np.diff((one - two).reshape(-1, 60).mean(axis=1)))
    assert warming.max() < 0.25


def test_noise_remembers_itself() -> None:
    idle = PLANT.values("pump-01", ROW0, CHUNK_ROWS)
    cycle = np.vstack([idle[phase::60].mean(axis=0) for phase in range(60)])
    vibration = (idle - cycle[np.arange(len(idle)) % 60])[:, column("vibration")]
    assert np.corrcoef(vibration[:-1], vibration[1:])[0, 1] > 0.05


@pytest.mark.parametrize("kind", list(PHYSICAL))
def test_a_pumps_fault_shows_on_its_sensors_in_its_direction(kind: FaultKind) -> None:
    fault, healthy, sick = faulty(kind)
    grown = slice(span(fault).stop - 60, span(fault).stop)
    change = (sick[grown] / healthy[grown]).mean(axis=0) - 1
    for name, full in PHYSICAL[kind].items():
        assert change[column(name)] == pytest.approx(full, rel=0.05)
    others = [column(name) for name in SENSOR_NAMES if name not in fault.sensors]
    np.testing.assert_array_equal(sick[:, others], healthy[:, others])


@pytest.mark.parametrize("kind", [*PHYSICAL, FaultKind.DRIFT])
def test_a_fault_that_grows_begins_small(kind: FaultKind) -> None:
    fault, healthy, sick = faulty(kind)
    shown = column(fault.sensors[0])
    off = np.abs(sick - healthy)[span(fault), shown]
    assert off[:10].mean() < 0.2 * off[-60:].mean()


@pytest.mark.parametrize("kind", list(FaultKind))
def test_outside_its_time_a_fault_changes_nothing(kind: FaultKind) -> None:
    fault, healthy, sick = faulty(kind)
    inside = span(fault)
    np.testing.assert_array_equal(sick[: inside.start], healthy[: inside.start])
    np.testing.assert_array_equal(sick[inside.stop :], healthy[inside.stop :])
    assert not np.array_equal(sick[inside], healthy[inside], equal_nan=True)


def test_a_fault_is_on_its_machine_alone() -> None:
    fault, _, _ = faulty(FaultKind.LEAK)
    np.testing.assert_array_equal(
        PLANT.with_faults([fault]).values("pump-01", ROW0, 600), PLANT.values("pump-01", ROW0, 600)
    )


def test_a_stuck_sensor_shows_the_value_it_had() -> None:
    fault, healthy, sick = faulty(FaultKind.STUCK_SENSOR, sensor="flow")
    inside, flow = span(fault), column("flow")
    assert set(sick[inside, flow]) == {healthy[inside.start - 1, flow]}


@pytest.mark.parametrize("seconds", range(0, 60, 7))
def test_a_stuck_sensor_freezes_away_from_its_mean(seconds: int) -> None:
    fault = PLANT.fault(FaultKind.STUCK_SENSOR, "pump-02", T0_MS + seconds * 1_000, 600_000)
    values = PLANT.values("pump-02", ROW0, 600)[:, column("flow")]
    frozen = values[fault.start_ms // 1_000 - ROW0 - 1]
    assert abs(frozen - values.mean()) > 4 * SENSORS[column("flow")].noise
    assert fault.end_ms - fault.start_ms == 600_000


@pytest.mark.parametrize("direction", [1, -1])
def test_an_offset_shifts_by_the_sensors_step(direction: int) -> None:
    fault, healthy, sick = faulty(
        FaultKind.OFFSET, sensor="pressure_out", severity=0.5, direction=direction
    )
    off = (sick - healthy)[span(fault), column("pressure_out")]
    step = SENSORS[column("pressure_out")].step
    np.testing.assert_allclose(off, direction * 0.5 * step, atol=0.0011)


def test_a_drift_moves_steadily_to_twice_the_sensors_step() -> None:
    fault, healthy, sick = faulty(FaultKind.DRIFT, sensor="pressure_out")
    off = (sick - healthy)[span(fault), column("pressure_out")]
    step = SENSORS[column("pressure_out")].step
    np.testing.assert_allclose(off, np.linspace(0, 2 * step, len(off)), atol=0.003)


def test_spikes_are_few_and_large() -> None:
    fault, healthy, sick = faulty(FaultKind.SPIKE, sensor="flow")
    off = np.abs(sick - healthy)[span(fault), column("flow")]
    assert 0.005 < np.mean(off > 0) < 0.08
    assert off[off > 0].min() > 20 * SENSORS[column("flow")].noise


def test_noise_leaves_the_mean_as_it_is() -> None:
    fault, healthy, sick = faulty(FaultKind.NOISE, sensor="flow")
    off = (sick - healthy)[span(fault), column("flow")]
    noise = SENSORS[column("flow")].noise
    assert off.std() == pytest.approx(8 * noise, rel=0.15)
    assert abs(off.mean()) < noise


def test_a_dropout_takes_as_many_values_as_its_severity() -> None:
    fault, _, sick = faulty(FaultKind.DROPOUT, sensor="flow", severity=0.5)
    missing = np.isnan(sick[span(fault), column("flow")])
    assert missing.mean() == pytest.approx(0.5, abs=0.08)


def test_a_value_that_dropped_out_is_missing_in_the_reading() -> None:
    fault = PLANT.fault(FaultKind.DROPOUT, "pump-01", T0_MS, 5_000, sensor="flow")
    reading: Reading = next(PLANT.with_faults([fault]).readings(T0_MS))
    assert reading.sensors["flow"] is None
    assert reading.sensors["speed"] is not None


@pytest.mark.parametrize(
    ("kind", "sensor", "severity", "hard"),
    [
        (FaultKind.LEAK, None, 0.8, False),
        (FaultKind.LEAK, None, 0.3, True),
        (FaultKind.STUCK_SENSOR, "flow", 1.0, False),
        (FaultKind.STUCK_SENSOR, "bearing_temperature", 1.0, True),
        (FaultKind.SPIKE, "flow", 1.0, True),
        (FaultKind.DROPOUT, "flow", 1.0, True),
    ],
)
def test_what_cannot_be_asked_of_a_detector_is_declared_hard(
    kind: FaultKind, sensor: str | None, severity: float, hard: bool
) -> None:
    fault = PLANT.fault(kind, "pump-01", T0_MS, 600_000, sensor=sensor, severity=severity)
    assert fault.hard is hard


def test_a_label_says_what_is_known_of_the_fault() -> None:
    label = PLANT.fault(FaultKind.LEAK, "pump-01", 1_000, 5_000, severity=0.7).label
    assert (label.machine_id, label.kind, label.source) == ("pump-01", "leak", "simulator")
    assert (label.start_ms, label.end_ms, label.severity) == (1_000, 6_000, 0.7)
    assert label.sensors == ("efficiency", "flow", "pressure_out")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"machine_id": "pump-09"}, "no machine 'pump-09'; it has pump-01 to pump-03"),
        ({"sensor": "colour"}, "needs one sensor of speed"),
        ({"severity": 0.0}, r"severity 0.0 must be above 0"),
        ({"direction": 2}, "direction 2 must be 1 or -1"),
        ({"duration_ms": 0}, "must be after its start"),
        ({"kind": FaultKind.LEAK, "sensor": "flow"}, "leak is not a fault of one sensor"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(options: dict[str, object], told: str) -> None:
    given: dict[str, object] = {
        "kind": FaultKind.OFFSET,
        "machine_id": "pump-01",
        "start_ms": T0_MS,
        "duration_ms": 1_000,
    }
    with pytest.raises(ValueError, match=told):
        PLANT.fault(**(given | options))  # type: ignore[arg-type]


def test_a_machine_has_one_fault_at_a_time() -> None:
    faults = [
        PLANT.fault(FaultKind.LEAK, "pump-01", T0_MS + offset, 5_000) for offset in (0, 4_000)
    ]
    with pytest.raises(ValueError, match="leak starts before leak has ended"):
        PLANT.with_faults(faults)


def test_a_plant_of_no_machines_is_refused() -> None:
    with pytest.raises(ValueError, match="machines is 0"):
        Plant(machines=0)


def test_a_machine_type_that_no_reading_may_have_is_refused() -> None:
    with pytest.raises(InvalidReading, match="machine_type: 'Big Pump'"):
        Plant(machine_type="Big Pump")
