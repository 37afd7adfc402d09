from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector import MachineHistory
from faultline.detector.evaluation import (
    STRENGTHS,
    AlarmRule,
    FaultResult,
    InjectionReport,
    evaluate,
    measure,
)
from faultline.detector.fit import Fit, FitConfig, fit
from faultline.detector.injection import FaultKind

MakeHistory = Callable[..., MachineHistory]

DAY_MS = 86_400_000
SAID_BY_HEALTH = {"dropout", "stuck"}


def six_in_a_row(score: NDArray[np.float64]) -> NDArray[np.bool_]:
    """An alarm is open from the sixth bad row in a row to the first good one."""
    bad = np.concatenate((np.zeros(5, dtype=np.bool_), score > 1.0))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(bad, 6).all(axis=1))


RULE = AlarmRule(rows=6, is_open=six_in_a_row)


def measured(fitted: Fit, histories: list[MachineHistory], **changes: Any) -> InjectionReport:
    report = measure(replace(fitted.detector, **changes), histories, RULE, seed=0)
    assert isinstance(report, InjectionReport)
    return report


def result(report: InjectionReport, kind: str, strength: float | None = None) -> FaultResult:
    return next(one for one in report.by_strength if (one.kind, one.strength) == (kind, strength))


@pytest.fixture(scope="module")
def later(make_history: MakeHistory) -> list[MachineHistory]:
    return [make_history(f"pump-{seed}", seed) for seed in (7, 8)]


@pytest.fixture(scope="module")
def report(fitted: Fit, later: list[MachineHistory]) -> InjectionReport:
    return measured(fitted, later)


def test_every_strong_offset_is_found_and_blamed_on_its_sensor(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    report = measured(fitted, later, boundary=1.5 * fitted.detector.boundary)
    strong = result(report, "offset", 8.0)

    # No false alarm stands in the way: a fault that begins during one counts as not found.
    assert report.false_alarms == 0
    assert (strong.recall, strong.attribution) == (1.0, 1.0)
    assert strong.trials >= 30


def test_a_delay_is_from_the_first_faulty_row_to_the_alarm(report: InjectionReport) -> None:
    strong = result(report, "offset", 8.0)

    # The rule asks for six rows, and rows are a second apart.
    assert strong.delay_rows is not None
    assert 5 <= strong.delay_rows <= 20
    assert strong.delay_s == strong.delay_rows


def test_what_is_stronger_is_found_sooner(report: InjectionReport) -> None:
    offsets = [result(report, "offset", strength) for strength in STRENGTHS]
    delays = [one.delay_rows for one in offsets if one.delay_rows is not None]

    assert len(delays) > 1
    assert delays == sorted(delays, reverse=True)


def test_a_dropout_is_found_by_the_sensors_health_at_once(report: InjectionReport) -> None:
    dropout = result(report, "dropout")

    assert (dropout.recall, dropout.delay_rows, dropout.attribution) == (1.0, 0.0, 1.0)


def test_every_kind_and_strength_is_tried_equally_often(report: InjectionReport) -> None:
    assert {one.kind for one in report.by_kind} == {str(kind) for kind in FaultKind}
    assert {one.trials for one in report.by_strength} == {36}
    assert {one.kind: one.trials for one in report.by_kind}["noise"] == 36 * len(STRENGTHS)


def test_a_kind_stands_for_all_its_strengths(report: InjectionReport) -> None:
    whole = next(one for one in report.by_kind if one.kind == "drift")
    parts = [result(report, "drift", strength).recall for strength in STRENGTHS]

    assert whole.recall == pytest.approx(np.mean([part for part in parts if part is not None]))


def test_a_fault_that_changes_nothing_is_not_counted(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    flow = fitted.detector.sensors.index("flow")
    level = [
        replace(one, values=np.where(np.arange(one.values.shape[1]) == flow, 10.0, one.values))
        for one in later
    ]

    assert result(measured(fitted, level), "stuck").trials == 30


def test_a_kind_that_changed_nothing_anywhere_is_undefined(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    still = replace(later[0], values=np.tile(fitted.detector.centre, (1_500, 1)))

    report = measured(fitted, [still])

    stuck = result(report, "stuck")
    assert (stuck.trials, stuck.recall, stuck.delay_s, stuck.attribution) == (0, None, None, None)
    assert report.recall is not None
    json.dumps(report.as_dict(), allow_nan=False)


def test_a_detector_that_never_alarms_finds_what_a_sensors_health_says_and_nothing_else(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    report = measured(fitted, later, boundary=1e9)

    assert {one.kind: one.recall for one in report.by_kind} == {
        str(kind): 1.0 if kind in SAID_BY_HEALTH else 0.0 for kind in FaultKind
    }
    assert (report.false_alarms, report.alarm_share) == (0, 0.0)
    assert report.recall == pytest.approx(2 / 7)


def test_a_detector_that_is_too_sensitive_pays_in_false_alarms(
    fitted: Fit, later: list[MachineHistory], report: InjectionReport
) -> None:
    sensitive = measured(fitted, later, boundary=fitted.detector.boundary / 3)

    assert sensitive.false_alarms > report.false_alarms + 10
    assert sensitive.false_alarms_per_machine_day > 10 * report.false_alarms_per_machine_day
    assert sensitive.alarm_share > 0.1


def test_an_alarm_that_is_open_anyway_finds_nothing(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    always = measured(fitted, later, boundary=1e-6)

    assert result(always, "offset", 8.0).recall == 0.0
    assert (always.false_alarms, always.alarm_share) == (2, pytest.approx(1.0, abs=0.01))


def recall_by_alarm(fitted: Fit, histories: list[MachineHistory], rule: AlarmRule) -> set[float]:
    """Of every kind but those that a sensor's health says."""
    report = measure(fitted.detector, histories, rule, seed=0)
    assert isinstance(report, InjectionReport)
    return {one.recall or 0.0 for one in report.by_kind if one.kind not in SAID_BY_HEALTH}


def test_alarms_that_the_untouched_rows_raise_too_find_nothing(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    regardless = AlarmRule(rows=6, is_open=lambda score: np.arange(len(score)) % 20 < 5)

    assert recall_by_alarm(fitted, later, regardless) == {0.0}


def test_an_alarm_from_before_the_fault_finds_nothing_when_the_fault_keeps_it_open(
    fitted: Fit, later: list[MachineHistory]
) -> None:
    early = fitted.detector.window_rows + 6 + 10

    def open_until_good(score: NDArray[np.float64]) -> NDArray[np.bool_]:
        good = (score <= 1.0) & (np.arange(len(score)) > early)
        return ~np.logical_or.accumulate(good)

    rule = AlarmRule(rows=6, is_open=open_until_good)
    assert recall_by_alarm(fitted, later, rule) == {0.0}


def test_the_price_names_the_time_it_was_measured_on(
    fitted: Fit, later: list[MachineHistory], report: InjectionReport
) -> None:
    scored = 2 * (1_500 - fitted.detector.window_rows + 1)
    assert report.machine_days * DAY_MS == pytest.approx(1_000 * scored)
    assert report.is_extrapolated

    slow = [replace(one, timestamps_ms=40 * one.timestamps_ms) for one in later]
    daily = measured(fitted, slow, max_gap_ms=DAY_MS, step_ms=0)
    assert daily.machine_days == pytest.approx(40 * report.machine_days)
    assert not daily.is_extrapolated


@pytest.mark.parametrize("window_rows", [1, 40])
def test_a_silence_is_not_time_watched(
    fitted: Fit, later: list[MachineHistory], window_rows: int
) -> None:
    times = later[0].timestamps_ms.copy()
    times[700:] += 30 * DAY_MS

    report = measured(fitted, [replace(later[0], timestamps_ms=times)], window_rows=window_rows)

    assert report.machine_days < 0.02


def test_no_fault_reaches_over_a_silence(fitted: Fit, later: list[MachineHistory]) -> None:
    times = later[0].timestamps_ms + DAY_MS * (np.arange(1_500) // 250)

    report = measured(
        fitted, [replace(later[0], timestamps_ms=times)], boundary=1.5 * fitted.detector.boundary
    )

    assert result(report, "offset", 8.0).recall == 1.0


def test_many_sensors_are_sampled() -> None:
    names = [f"s{number}" for number in range(40)]
    values = np.random.default_rng(0).normal(size=(600, 40))
    history = MachineHistory("m", 1_000 * np.arange(600, dtype=np.int64), values)

    report = evaluate(names, [history], FitConfig(k_max=2), fit, RULE)

    assert isinstance(report, InjectionReport)
    assert {one.trials for one in report.by_strength} == {32}


def test_the_same_history_and_seed_give_the_same_report(
    make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    histories = [make_history("pump-1", 1)]
    first, again, other = (
        evaluate(sensors, histories, FitConfig(k_max=2, seed=seed), fit, RULE) for seed in (0, 0, 1)
    )

    assert isinstance(first, InjectionReport)
    assert first == again
    assert first != other


def test_what_is_scored_was_not_learnt_from(
    make_history: MakeHistory, sensors: tuple[str, ...]
) -> None:
    seen: list[MachineHistory] = []

    def watched(names: object, histories: list[MachineHistory], config: FitConfig) -> Fit:
        seen.extend(histories)
        return fit(sensors, histories, config)

    whole = make_history("pump-1", 1)
    report = evaluate(sensors, [whole], FitConfig(k_max=2), watched, RULE)  # type: ignore[arg-type]

    assert isinstance(report, InjectionReport)
    assert [len(one.values) for one in seen] == [1_200]
    np.testing.assert_array_equal(seen[0].timestamps_ms, whole.timestamps_ms[:1_200])
    assert report.held_out_rows == 300
    assert report.seconds > report.fit_seconds > 0


def test_sensors_that_were_left_out_are_left_out_here_too(make_history: MakeHistory) -> None:
    pump = make_history("pump-1", 1)
    values = np.insert(pump.values, 2, 7.0, axis=1)
    names = ("a", "b", "constant", "c", "d", "e", "f")

    report = evaluate(names, [replace(pump, values=values)], FitConfig(k_max=2), fit, RULE)

    assert isinstance(report, InjectionReport)
    assert result(report, "offset", 8.0).recall == 1.0


def test_machines_with_a_short_or_an_empty_end_do_not_stand_in_the_way(
    fitted: Fit, later: list[MachineHistory], make_history: MakeHistory
) -> None:
    short = make_history("pump-9", 9, 20)
    empty = MachineHistory("pump-10", short.timestamps_ms[:0], short.values[:0])

    report = measured(fitted, [empty, short, later[0]])

    assert result(report, "offset", 8.0).recall == 1.0


def test_the_report_is_plain_json(report: InjectionReport) -> None:
    document = json.loads(json.dumps(report.as_dict(), allow_nan=False))

    assert document["recall"] == report.recall
    assert document["false_alarms_per_machine_day_is_extrapolated"] is True
    assert len(document["by_strength"]) == 4 * len(STRENGTHS) + 3
    assert {one["strength"] for one in document["by_kind"]} == {None}


def test_a_fault_is_scored_against_the_baseline_of_its_machine(make_history: MakeHistory) -> None:
    moved = np.array([0.0, 40.0, -80.0])
    machines = [make_history(f"pump-{seed}", seed) for seed in (7, 8, 9)]
    machines = [
        replace(
            machine, values=machine.values + at * np.resize([1.0, -1.0], machine.values.shape[1])
        )
        for machine, at in zip(machines, moved, strict=True)
    ]
    fitted = fit(
        [f"s{column}" for column in range(machines[0].values.shape[1])], machines, FitConfig()
    )

    known = result(measured(fitted, machines), "offset", 8.0)
    as_new = result(measured(replace_machines(fitted), machines), "offset", 8.0)

    assert known.recall is not None
    assert as_new.recall is not None
    assert known.recall > 0.9 > as_new.recall


def replace_machines(fitted: Fit) -> Fit:
    """The same fit, of machines by other names."""
    names = tuple(f"other-{name}" for name in fitted.detector.machines)
    return replace(fitted, detector=replace(fitted.detector, machines=names))
