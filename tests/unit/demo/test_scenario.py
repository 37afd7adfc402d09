"""What the plant does, and when."""

from __future__ import annotations

from itertools import islice

from faultline.demo.scenario import excluded_periods, plant_scenario
from faultline.labels import FaultLabel
from faultline.matching import KnownFault
from faultline.ports.jobs import Period

NOW_MS = 1_795_000_000_123


def fault(start_ms: int, end_ms: int | None) -> KnownFault:
    return KnownFault(
        FaultLabel(machine_id="pump-01", kind="leak", start_ms=start_ms, end_ms=end_ms)
    )


def test_the_history_is_healthy() -> None:
    scenario = plant_scenario(NOW_MS)
    assert min(fault.label.start_ms for fault in scenario.faults) > scenario.live_start_ms


def test_the_plant_shows_every_kind_of_fault_it_promises() -> None:
    kinds = {fault.label.kind for fault in plant_scenario(NOW_MS).expected}
    assert kinds == {"leak", "bearing_wear", "stuck_sensor", "offset", "clogged_filter"}


def test_some_pumps_stay_healthy() -> None:
    assert plant_scenario(NOW_MS).quiet_machines == ("pump-06", "pump-07", "pump-08")


def test_hard_faults_are_not_demanded() -> None:
    scenario = plant_scenario(NOW_MS)
    hard = {fault for fault in scenario.faults if fault.hard}
    assert hard
    assert hard.isdisjoint(scenario.expected)


def test_the_first_faults_are_over_when_the_second_version_is_trained() -> None:
    scenario = plant_scenario(NOW_MS)
    early = [fault for fault in scenario.faults if fault.label.start_ms < scenario.train_at_ms]
    assert early
    assert max(period.end_ms for period in scenario.excluded) <= scenario.train_at_ms


def test_the_later_faults_wait_for_the_second_version() -> None:
    scenario = plant_scenario(NOW_MS)
    later = [fault for fault in scenario.faults if fault.label.start_ms >= scenario.train_at_ms]
    assert later
    assert min(fault.label.start_ms for fault in later) > scenario.wait_at_ms


def test_the_live_readings_go_on_where_the_history_ends() -> None:
    scenario = plant_scenario(NOW_MS)
    first = next(scenario.live())
    assert first.timestamp_ms == scenario.live_start_ms
    assert [reading.machine_id for reading in islice(scenario.live(), 8)] == list(
        scenario.machine_ids
    )


def test_the_live_readings_end_about_now() -> None:
    assert 0 <= NOW_MS - plant_scenario(NOW_MS).live_end_ms < 1_000


def test_half_of_the_pumps_send_by_http() -> None:
    scenario = plant_scenario(NOW_MS)
    assert len(scenario.by_http) == len(scenario.machine_ids) // 2


def test_overlapping_faults_are_left_out_as_one_period() -> None:
    periods = excluded_periods([fault(100, 200), fault(150, 300), fault(400, 500)], 1_000, 50)
    assert periods == (Period(100, 350), Period(400, 550))


def test_a_fault_after_the_training_is_not_left_out() -> None:
    assert excluded_periods([fault(2_000, 3_000)], 1_000, 50) == ()


def test_but_for_the_time_every_run_is_the_same() -> None:
    one, other = plant_scenario(NOW_MS), plant_scenario(NOW_MS + 86_400_000)
    assert other.live_start_ms - one.live_start_ms == 86_400_000
    for this, that in zip(islice(one.live(), 8_000), other.live(), strict=False):
        assert this.sensors == that.sensors
