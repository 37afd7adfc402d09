"""The second version on its way into the predictor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import NamedTuple

import httpx
import pytest

from faultline.client import PredictorClient, TrainerClient
from faultline.demo.heard import HeardVerdicts
from faultline.demo.scenario import Scenario, plant_scenario
from faultline.demo.second_version import SecondVersion
from faultline.demo.waiting import Stalled
from faultline.verdicts import Status, Verdict, VerdictBatch

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
    """A trainer whose job goes through `states`; a predictor that has compared `readings`."""

    def __init__(
        self,
        states: list[dict[str, object]],
        readings: Iterable[int] = (),
        promotes: bool = True,
    ) -> None:
        self.asked: list[dict[str, object]] = []
        self.promoted: list[dict[str, object]] = []
        self._states = iter(states)
        self._readings = iter(readings)
        self._promotes = promotes

    def trainer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/promote"):
            if not self._promotes:
                return httpx.Response(409, json={"detail": "too loud"})
            self.promoted.append(json.loads(request.content))
            return httpx.Response(200, json={})
        if request.method == "POST":
            self.asked.append(json.loads(request.content))
            return httpx.Response(202, json={**JOB, "model_version": None, "state": "queued"})
        return httpx.Response(200, json={**JOB, **next(self._states)})

    def predictor(self, request: httpx.Request) -> httpx.Response:
        assert request.url.params["machine_type"] == "pump"
        side = {"failure_rate": 0.01, "alarms_per_1000_readings": 2.0}
        readings = next(self._readings)
        current = {
            "champion_version": "1",
            "challenger_version": "2",
            "readings": readings,
            "agreement": 0.9 if readings else None,
            "champion": side,
            "challenger": side,
        }
        return httpx.Response(200, json={"comparisons": [{"current": current}]})


RUNNING: dict[str, object] = {"state": "running"}
TRAINED: dict[str, object] = {"state": "succeeded", "promoted": False, "decision": "held"}
FAILED: dict[str, object] = {"state": "failed", "model_version": None, "error": "no rows"}


class Listening(NamedTuple):
    version: SecondVersion
    heard: HeardVerdicts


def listening(
    services: Services, stored: Iterator[bool] | None = None, scenario: Scenario = SCENARIO
) -> Listening:
    clock = Clock()
    heard = HeardVerdicts(clock)
    version = SecondVersion(
        scenario,
        "1",
        trainer=TrainerClient("http://t", httpx.MockTransport(services.trainer)),
        predictor=PredictorClient("http://p", httpx.MockTransport(services.predictor)),
        heard=heard,
        stored=lambda: True if stored is None else next(stored),
        clock=clock,
    )
    return Listening(version, heard)


def second(services: Services, stored: Iterator[bool] | None = None) -> SecondVersion:
    return listening(services, stored).version


def advance(version: SecondVersion, times: int) -> list[str]:
    told = [version.advance(SCENARIO.train_at_ms, 10 * look) for look in range(1, times + 1)]
    return [news for news in told if news is not None]


def verdict_by(version: str, timestamp_ms: int = 1) -> VerdictBatch:
    return VerdictBatch(
        machine_id="pump-01",
        machine_type="pump",
        verdicts=(Verdict(timestamp_ms=timestamp_ms, status=Status.NORMAL),),
        model_name="faultline-pump",
        model_version=version,
    )


def test_it_is_not_asked_for_before_the_readings_have_come_far_enough() -> None:
    services = Services([])
    second(services).advance(SCENARIO.train_at_ms - 1, 10)
    assert services.asked == []


def test_it_is_not_asked_for_before_its_history_is_stored() -> None:
    services = Services([])
    version = second(services, iter([False, True]))
    version.advance(SCENARIO.train_at_ms, 10)
    assert services.asked == []
    version.advance(SCENARIO.train_at_ms, 10)
    assert len(services.asked) == 1


def test_readings_that_never_arrive_do_not_keep_it_back_for_ever() -> None:
    services = Services([])
    version = second(services, repeat(False))
    for _ in range(100):
        version.advance(SCENARIO.train_at_ms, 10)
        if services.asked:
            break
    assert len(services.asked) == 1


def test_it_learns_from_all_before_without_the_known_faults() -> None:
    services = Services([])
    second(services).advance(SCENARIO.train_at_ms, 10)
    [asked] = services.asked
    assert "start" not in asked
    assert asked["excluded"]


def test_it_is_promoted_once_enough_was_compared_in_the_shadow() -> None:
    services = Services([RUNNING, TRAINED], [0, 100, 600])
    version = second(services)
    advance(version, 5)
    assert services.promoted == []
    [news] = advance(version, 1)
    assert "600 readings scored by both, 90.00% agreement" in news
    assert [one["stage"] for one in services.promoted] == ["Production"]
    assert services.promoted[0]["reason"]
    assert version.comparison is not None
    assert version.comparison.readings == 600


def test_it_is_settled_with_its_first_verdict() -> None:
    services = Services([TRAINED], [600])
    version, heard = listening(services)
    advance(version, 3)
    assert services.promoted
    heard.hear(verdict_by("1"))
    assert advance(version, 3) == []
    heard.hear(verdict_by("2", timestamp_ms=2))
    version.advance(SCENARIO.train_at_ms, 60)
    assert version.settled
    report = version.report()
    assert report.to_version == "2"
    assert report.readings_sent_meanwhile == 50
    assert report.seconds_to_first_verdict is not None
    assert report.seconds_to_first_verdict > 0


def test_a_reading_that_two_versions_judge_is_counted() -> None:
    version, heard = listening(Services([]))
    heard.hear(verdict_by("1", timestamp_ms=1))
    heard.hear(verdict_by("1", timestamp_ms=1))
    heard.hear(verdict_by("2", timestamp_ms=2))
    assert version.report().readings_by_two_versions == 0
    heard.hear(verdict_by("2", timestamp_ms=1))
    assert version.report().readings_by_two_versions == 1


def test_what_the_shadow_never_shows_is_not_waited_for_for_ever() -> None:
    services = Services([TRAINED], repeat(0))
    version = second(services)
    news = advance(version, 60)
    assert services.promoted
    assert version.comparison is None
    assert any("not compared in the shadow" in line for line in news)


def test_a_version_that_the_gate_refuses_settles_it_and_says_why() -> None:
    version = second(Services([TRAINED], [600], promotes=False))
    news = advance(version, 3)
    assert version.settled
    assert "too loud" in news[-1]
    assert version.report().readings_sent_meanwhile == 0


def test_a_training_that_makes_no_version_settles_it_and_says_why() -> None:
    version = second(Services([FAILED]))
    news = advance(version, 2)
    assert version.settled
    assert "no rows" in news[-1]


def test_a_predictor_that_stays_with_the_old_version_is_not_waited_for_for_ever() -> None:
    version = second(Services([TRAINED], [600]))
    advance(version, 200)
    assert version.settled
    assert version.report().seconds_to_first_verdict is None


def test_a_training_that_never_ends_is_an_error() -> None:
    version = second(Services([RUNNING] * 1_000))

    def follow_it() -> None:
        for _ in range(1_000):
            version.advance(SCENARIO.train_at_ms, 10)

    with pytest.raises(Stalled, match="still running"):
        follow_it()
