"""What counts for drift, and when it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from faultline import drift, topics
from faultline.alarms import AlarmPolicy
from faultline.drift import DriftEvent, DriftKind
from faultline.ports.broker import Message, Partition
from faultline.readings import encode_batch, make_reading
from faultline.verdicts import Status
from services.predictor.contest import Contest
from services.predictor.fleet import Fleet

if TYPE_CHECKING:
    from tests.unit.predictor.conftest import MakeDetector
    from tests.unit.predictor.drift.conftest import MakeSetup, Setup


def names(event: DriftEvent) -> list[str]:
    return [finding.name for finding in event.findings]


def test_nothing_is_told_of_what_is_as_it_was(setup: Setup) -> None:
    for _ in range(5):
        setup.see(600)
        setup.look()
    assert setup.told() == []
    look = setup.watch.looks()["pump"]
    assert {finding.name for finding in look.findings} >= {"flow", "heat", "mix", "level"}
    assert look.drifting == ()
    assert setup.value("faultline_predictor_drift", model="faultline-pump", kind="sensor") == 0.0


def test_a_sensor_that_has_shifted_is_told_with_what_and_by_how_much(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.look()
    [event] = setup.told()
    assert names(event) == ["flow"]
    [finding] = event.findings
    assert finding.kind is DriftKind.SENSOR
    assert finding.statistic > finding.threshold == 0.3
    assert finding.p_value is not None
    assert finding.p_value < 1e-6
    assert (event.machine_type, event.model_name, event.model_version) == (
        "pump",
        "faultline-pump",
        "1",
    )
    assert (event.start_ms, event.end_ms) == (0, 899_000)
    assert (event.readings, event.machines) == (900, 1)
    assert event.at_ms == setup.clock.now_ms()
    assert drift.described(event).startswith("drift from version 1: sensor flow")
    kind = {"model": "faultline-pump", "kind": "sensor"}
    assert setup.value("faultline_predictor_drift", **kind) == pytest.approx(
        finding.statistic / 0.3
    )
    told = setup.value("faultline_predictor_drift_events_total", model="faultline-pump")
    assert told == 1.0


def test_drift_that_goes_on_is_told_once(setup: Setup) -> None:
    for _ in range(10):
        setup.see(400, shift=1.0)
        setup.look(after_s=7_200)
    assert len(setup.told()) == 1


def test_drift_that_ended_and_begins_again_is_told_again_after_the_cooldown(setup: Setup) -> None:
    for shift in (1.0, 0.0, 1.0):
        setup.see(1_000, shift=shift)
        setup.look()
    assert len(setup.told()) == 1
    setup.see(100, shift=1.0)
    setup.look(after_s=3_600)
    assert len(setup.told()) == 2


@pytest.mark.parametrize(
    "status",
    [Status.FAILURE, Status.LATE, Status.DUPLICATE, Status.WARMING_UP, Status.INSUFFICIENT_DATA],
)
def test_what_is_no_normal_reading_does_not_count(setup: Setup, status: Status) -> None:
    setup.see(900, shift=5.0, status=status)
    setup.look()
    assert setup.told() == []
    assert setup.watch.looks()["pump"].readings == 0


def test_a_lasting_new_state_is_drift(setup: Setup) -> None:
    setup.see(900, shift=5.0, status=Status.NEW_NORMAL)
    setup.look()
    assert names(setup.told()[0]) == ["flow"]


def test_another_version_begins_with_nothing(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.look()
    setup.see(40, model=setup.version("2"))
    setup.look()
    look = setup.watch.looks()["pump"]
    assert (look.model.version, look.readings, look.drifting) == ("2", 40, ())


def test_a_version_without_a_reference_is_not_watched(setup: Setup) -> None:
    setup.see(900, shift=5.0, model=replace(setup.model, reference=None))
    setup.look()
    assert (setup.told(), setup.watch.looks()) == ([], {})


def test_a_machine_without_a_baseline_among_those_with_one_does_not_count(
    make_detector: MakeDetector, make_setup: MakeSetup
) -> None:
    detector = replace(make_detector(), machines=("a",), baselines=np.array([[1.0, 0.0]]))
    setup = make_setup(detector)
    setup.see(900)
    setup.see(900, shift=9.0, machine="stranger")
    setup.look()
    look = setup.watch.looks()["pump"]
    assert (look.readings, look.machines) == (900, 1)


def test_a_machine_is_compared_after_its_own_baseline(
    make_detector: MakeDetector, make_setup: MakeSetup
) -> None:
    baselines = np.array([[1.0, 0.0], [-1.0, 0.0]])
    detector = replace(make_detector(), machines=("a", "b"), baselines=baselines)
    setup = make_setup(detector)
    setup.see(900, shift=-2.0, machine="b")
    setup.look()
    drifting = {one.name for one in setup.watch.looks()["pump"].drifting}
    assert "flow" not in drifting
    setup.see(900, shift=-1.0, machine="b")
    setup.look()
    assert "flow" in {one.name for one in setup.watch.looks()["pump"].drifting}


@pytest.mark.parametrize(("share", "seen"), [(0.0, ["1"]), (1.0, [])])
def test_what_the_challenger_answers_is_not_compared_with_the_champions_training(
    setup: Setup, share: float, seen: list[str]
) -> None:
    contest = Contest(setup.model, setup.version("2"), share)
    fleet = Fleet(lambda _: contest, AlarmPolicy())
    partition = Partition(topics.READINGS.name, 0)
    fleet.own(partition, {})
    value = encode_batch([make_reading("a", 0, {"flow": 0.0, "heat": 0.0}, "pump")])
    cycle = fleet.judge([Message(partition, 0, b"a", value)])
    assert [one.model.version for one in cycle.seen] == seen


def test_machine_types_are_apart(setup: Setup) -> None:
    setup.see(900)
    setup.see(900, shift=1.0, machine="v", machine_type="valve")
    setup.look()
    assert [event.machine_type for event in setup.told()] == ["valve"]
