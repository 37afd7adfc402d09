"""Alarms against known faults."""

from __future__ import annotations

from faultline.alarms import Alarm, AlarmState
from faultline.labels import FaultLabel
from faultline.matching import KnownFault, Matching, match
from faultline.verdicts import SensorContribution

GRACE_MS = 60_000


def fault(start_s: int, end_s: int, machine_id: str = "pump-01", kind: str = "leak") -> KnownFault:
    label = FaultLabel(
        machine_id=machine_id,
        kind=kind,
        start_ms=start_s * 1_000,
        end_ms=end_s * 1_000,
        sensors=("flow", "efficiency"),
    )
    return KnownFault(label)


def alarm(
    opened_s: int,
    closed_s: int | None,
    machine_id: str = "pump-01",
    sensors: tuple[str, ...] = ("flow",),
) -> Alarm:
    return Alarm(
        alarm_id=f"{machine_id}@{opened_s}",
        machine_id=machine_id,
        machine_type="pump",
        state=AlarmState.OPEN if closed_s is None else AlarmState.CLOSED,
        began_at_ms=opened_s * 1_000 - 5_000,
        opened_at_ms=opened_s * 1_000,
        updated_at_ms=opened_s * 1_000,
        peak_score=2.0,
        peak_at_ms=opened_s * 1_000,
        top_sensors=tuple(
            SensorContribution(name, 1 / len(sensors), 1.0, 2.0, 1.5, 2.5, "low")
            for name in sensors
        ),
        bad_readings=6,
        model_name="faultline-pump",
        model_version="1",
        closed_at_ms=None if closed_s is None else closed_s * 1_000,
    )


def matched(faults: list[KnownFault], alarms: list[Alarm]) -> Matching:
    return match(faults, alarms, {"pump": GRACE_MS})


def test_an_alarm_within_the_fault_detects_it_with_its_delay() -> None:
    [outcome] = matched([fault(100, 200)], [alarm(130, 210)]).outcomes
    assert outcome.detected
    assert outcome.delay_s == 30.0


def test_a_fault_without_an_alarm_is_missed() -> None:
    [outcome] = matched([fault(100, 200)], []).outcomes
    assert not outcome.detected
    assert outcome.delay_s is None


def test_another_machines_alarm_is_no_detection_and_false() -> None:
    matching = matched([fault(100, 200)], [alarm(130, 210, "pump-02")])
    assert not matching.outcomes[0].detected
    assert [false.machine_id for false in matching.false_alarms] == ["pump-02"]


def test_an_alarm_within_the_grace_after_the_end_still_detects() -> None:
    matching = matched([fault(100, 200)], [alarm(259, 300)])
    assert matching.outcomes[0].detected
    assert matching.false_alarms == ()


def test_an_alarm_after_the_grace_is_false() -> None:
    matching = matched([fault(100, 200)], [alarm(260, 300)])
    assert not matching.outcomes[0].detected
    assert len(matching.false_alarms) == 1


def test_an_alarm_that_was_open_before_the_fault_finds_nothing() -> None:
    matching = matched([fault(100, 200)], [alarm(90, None)])
    assert not matching.outcomes[0].detected
    assert len(matching.false_alarms) == 1


def test_one_episode_over_two_faults_in_a_row_finds_both() -> None:
    faults = [fault(100, 200), fault(200, 300, kind="worse")]
    first, second = matched(faults, [alarm(130, 310)]).outcomes
    assert first.delay_s == 30.0
    assert second.delay_s == 0.0


def test_an_alarm_that_stays_open_through_half_a_healthy_hour_misses_the_next_fault() -> None:
    faults = [fault(100, 200), fault(2_000, 2_100, kind="worse")]
    matching = matched(faults, [alarm(130, None)])
    assert [outcome.detected for outcome in matching.outcomes] == [True, False]
    assert matching.false_alarms == ()


def test_one_episode_reaches_a_later_fault_over_those_between() -> None:
    faults = [fault(100, 200), fault(250, 350), fault(400, 500)]
    outcomes = matched(faults, [alarm(130, None)]).outcomes
    assert [outcome.detected for outcome in outcomes] == [True, True, True]


def test_another_machines_fault_does_not_bridge_a_healthy_time() -> None:
    faults = [fault(100, 200), fault(200, 1_990, "pump-02"), fault(2_000, 2_100)]
    outcomes = matched(faults, [alarm(130, None)]).outcomes
    assert [outcome.detected for outcome in outcomes] == [True, False, False]


def test_an_alarm_closed_before_the_second_fault_finds_only_the_first() -> None:
    faults = [fault(100, 200), fault(200, 300, kind="worse")]
    first, second = matched(faults, [alarm(130, 180)]).outcomes
    assert first.detected
    assert not second.detected


def test_a_fault_that_still_lasts_is_found_by_a_late_alarm() -> None:
    label = FaultLabel(machine_id="pump-01", kind="leak", start_ms=100_000)
    [outcome] = matched([KnownFault(label)], [alarm(5_000, None)]).outcomes
    assert outcome.delay_s == 4_900.0


def test_only_the_three_largest_contributors_count_as_named() -> None:
    named = ("vibration", "speed", "pressure_in", "flow")
    [outcome] = matched([fault(100, 200)], [alarm(130, 210, sensors=named)]).outcomes
    assert outcome.named_sensors == named[:3]
    assert outcome.names_a_faulty_sensor is False


def test_a_truth_without_sensors_does_not_say_whether_the_right_one_is_named() -> None:
    label = FaultLabel(machine_id="pump-01", kind="leak", start_ms=100_000, end_ms=200_000)
    [outcome] = matched([KnownFault(label)], [alarm(130, 210)]).outcomes
    assert outcome.names_a_faulty_sensor is None
