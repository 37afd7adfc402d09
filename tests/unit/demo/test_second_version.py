"""The second version on its way into the predictor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import repeat

import httpx
import pytest

from faultline.client import PredictorClient, TrainerClient
from faultline.demo.scenario import Scenario, plant_scenario
from faultline.demo.second_version import SecondVersion
from faultline.demo.waiting import Stalled

SCENARIO = plant_scenario(1_795_000_000_000)
JOB = {"job_id": "j-2", "model_name": "faultline-pump", "model_version": "2"}


class Clock:
    """Each look is a second later."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def now_ms(self) -> int:
        return int(self.elapsed_s * 1_000)

    def monotonic_s(self) -> float:
        self.elapsed_s += 1.0
        return self.elapsed_s

    def sleep(self, seconds: float) -> None:
        self.elapsed_s += seconds


class Services:
    """A trainer whose job goes through `states`, a predictor that goes through `versions`."""

    def __init__(self, states: list[dict[str, object]], versions: list[str]) -> None:
        self.asked: list[dict[str, object]] = []
        self._states = iter(states)
        self._versions = iter(versions)

    def trainer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.asked.append(json.loads(request.content))
            return httpx.Response(202, json={**JOB, "state": "queued"})
        return httpx.Response(200, json={**JOB, **next(self._states)})

    def predictor(self, request: httpx.Request) -> httpx.Response:
        model = {"machine_type": "pump", "version": next(self._versions)}
        return httpx.Response(200, json={"models": [model]})


RUNNING: dict[str, object] = {"state": "running"}
PROMOTED: dict[str, object] = {"state": "succeeded", "promoted": True}
REFUSED: dict[str, object] = {"state": "succeeded", "promoted": False, "decision": "too loud"}


def second(
    services: Services, stored: Iterator[bool] | None = None, scenario: Scenario = SCENARIO
) -> SecondVersion:
    return SecondVersion(
        scenario,
        "1",
        trainer=TrainerClient("http://t", httpx.MockTransport(services.trainer)),
        predictor=PredictorClient("http://p", httpx.MockTransport(services.predictor)),
        stored=lambda: True if stored is None else next(stored),
        clock=Clock(),
    )


def test_it_is_not_asked_for_before_the_readings_have_come_far_enough() -> None:
    services = Services([], [])
    second(services).advance(SCENARIO.train_at_ms - 1, 10)
    assert services.asked == []


def test_it_is_not_asked_for_before_its_history_is_stored() -> None:
    services = Services([], [])
    version = second(services, iter([False, True]))
    version.advance(SCENARIO.train_at_ms, 10)
    assert services.asked == []
    version.advance(SCENARIO.train_at_ms, 10)
    assert len(services.asked) == 1


def test_readings_that_never_arrive_do_not_keep_it_back_for_ever() -> None:
    services = Services([], [])
    version = second(services, repeat(False))
    for _ in range(100):
        version.advance(SCENARIO.train_at_ms, 10)
        if services.asked:
            break
    assert len(services.asked) == 1


def test_it_learns_from_all_before_without_the_known_faults() -> None:
    services = Services([], [])
    second(services).advance(SCENARIO.train_at_ms, 10)
    [asked] = services.asked
    assert "start" not in asked
    assert asked["excluded"]


def test_it_is_settled_once_the_predictor_judges_by_it() -> None:
    version = second(Services([RUNNING, PROMOTED], ["1", "2"]))
    for sent in (10, 20, 30, 40):
        version.advance(SCENARIO.train_at_ms, sent)
        assert not version.settled
    version.advance(SCENARIO.train_at_ms, 50)
    assert version.settled
    assert version.report.to_version == "2"
    assert version.report.readings_sent_meanwhile == 40


def test_a_version_that_the_gate_refuses_settles_it_and_says_why() -> None:
    version = second(Services([REFUSED], []))
    version.advance(SCENARIO.train_at_ms, 10)
    news = version.advance(SCENARIO.train_at_ms, 20)
    assert version.settled
    assert news is not None
    assert "too loud" in news
    assert version.report.readings_sent_meanwhile == 0


def test_a_predictor_that_stays_with_the_old_version_is_not_waited_for_for_ever() -> None:
    version = second(Services([PROMOTED], ["1"] * 1_000))
    for _ in range(200):
        version.advance(SCENARIO.train_at_ms, 10)
    assert version.settled
    assert version.report.readings_sent_meanwhile == 0


def test_a_training_that_never_ends_is_an_error() -> None:
    version = second(Services([RUNNING] * 1_000, []))

    def follow_it() -> None:
        for _ in range(1_000):
            version.advance(SCENARIO.train_at_ms, 10)

    with pytest.raises(Stalled, match="still running"):
        follow_it()
