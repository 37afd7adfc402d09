"""The gate and the backtest judge by the alarm rule that the predictor is configured with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from faultline.labels import FaultLabel
from faultline.ports.stores import RecordBatch
from services.predictor.settings import PredictorSettings
from services.trainer.settings import TrainerSettings

NAME = "faultline-pump"
START_MS = 1_795_000_000_000
STEP_MS = 1_000
# More failures in a row than any fault here lasts: nothing ever opens an alarm.
NEVER = {"alarm_open_bad": 400, "alarm_open_window": 400}
AT_ONCE = {"alarm_open_bad": 1, "alarm_open_window": 1}
USUAL = dict[str, int]()


@pytest.fixture
def faulty(make_world: Callable[..., Any]) -> Callable[..., Any]:
    """A version that learnt from 300 rows before a known fault of 50."""

    def make(rule: dict[str, int]) -> Any:
        world = make_world(**rule)
        world.store_history()
        values = world.store.readings("pump-1").values.copy()
        values[100:150] += 40.0
        world.store_rows(values, start_ms=at(300))
        leak = FaultLabel(machine_id="pump-1", kind="leak", start_ms=at(400), end_ms=at(450))
        world.database.record_store().record(
            "test", RecordBatch(offsets={}, labels=[leak]), lambda _: None
        )
        world.train(end_ms=at(300))
        return world

    return make


def at(row: int) -> int:
    return START_MS + row * STEP_MS


def test_predictor_and_trainer_read_the_same_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("OPEN_BAD", 3), ("OPEN_WINDOW", 7), ("CLOSE_GOOD", 5)):
        monkeypatch.setenv(f"FAULTLINE_ALARM_{name}", str(value))
    policy = TrainerSettings().alarm_policy()
    assert (policy.open_bad, policy.open_window, policy.close_good) == (3, 7, 5)
    assert PredictorSettings().alarm_policy() == policy


@pytest.mark.parametrize(("rule", "delay_s"), [(AT_ONCE, 0.0), (USUAL, 5.0), (NEVER, None)])
def test_a_backtest_opens_alarms_by_the_rule_and_names_it(
    faulty: Callable[..., Any], rule: dict[str, int], delay_s: float | None
) -> None:
    world = faulty(rule)
    told = world.http.post(
        f"/api/v1/ml/models/{NAME}/versions/1/backtest", json={"start": at(300)}
    ).json()
    (fault,) = told["faults"]
    assert fault["now_delay_s"] == delay_s
    bad = rule.get("alarm_open_bad", 6)
    assert told["alarm_rule"].startswith(f"an alarm opens at {bad} failures of the last ")


@pytest.mark.parametrize(("rule", "found"), [(USUAL, 1.0), (NEVER, 0.0)])
def test_the_gate_finds_known_faults_by_the_rule_and_names_it(
    faulty: Callable[..., Any], rule: dict[str, int], found: float
) -> None:
    world = faulty(rule)
    (decision,) = world.gate_log.list(NAME, "1")
    (known,) = [one for one in decision.report.checks if one.name == "known_faults"]
    assert known.value == found
    named = f"an alarm opens at {rule.get('alarm_open_bad', 6)} failures"
    assert decision.report.alarm_rule.startswith(named)
    (judgement,) = world.http.get(f"/api/v1/ml/models/{NAME}/versions/1/gate").json()["judgements"]
    assert judgement["alarm_rule"] == decision.report.alarm_rule
    (run,) = world.runs.values()
    assert f"The alarm rule: {named}".encode() in run.files["gate.md"]


@pytest.mark.parametrize(("rule", "disputed"), [(USUAL, True), (NEVER, False)])
def test_versions_are_measured_and_compared_by_the_rule(
    make_world: Callable[..., Any], rule: dict[str, int], disputed: bool
) -> None:
    world = make_world(trainer_evaluate_faults=True, **rule)
    world.store_history(rows=500)
    world.train(end_ms=at(500))
    values = world.store.readings("pump-1").values.copy()
    values[-200:] += 40.0
    world.store_rows(values, start_ms=at(500))
    world.train()
    (decision,) = world.gate_log.list(NAME, "2")
    (silenced,) = [one for one in decision.report.checks if one.name == "silenced_alarms"]
    assert (silenced.value > 0) is disputed
    measured = [
        msgspec.json.decode(run.files["injected_faults.json"]) for run in world.runs.values()
    ]
    # The rule itself takes more rows than were held out.
    assert ["the alarm rule take 420" in one.get("not_evaluated", "") for one in measured] == [
        not disputed
    ] * 2
