"""The worse candidate: asked for at once, and what becomes of it."""

from __future__ import annotations

import json

import httpx
import pytest

from faultline.adapters.clock import SystemClock
from faultline.client import PredictorClient, TrainerClient
from faultline.demo.lifecycle import RefusalReport
from faultline.demo.scenario import plant_scenario
from faultline.demo.worse_candidate import WorseCandidate

SCENARIO = plant_scenario(1_795_000_000_000)
JOB = {"job_id": "j", "model_name": "faultline-pump"}
VERSIONS = [
    {"version": "2", "aliases": ["staging"], "gate": "refused", "gate_reason": "blind"},
    {"version": "1", "aliases": ["production"], "gate": "passed", "gate_reason": "good"},
]


class Services:
    def __init__(self, **ended: object) -> None:
        self.asked: list[dict[str, object]] = []
        self._ended = ended

    def trainer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/versions"):
            return httpx.Response(200, json={"versions": VERSIONS})
        if request.method == "POST":
            self.asked.append(json.loads(request.content))
            return httpx.Response(202, json={**JOB, "state": "succeeded", **self._ended})
        raise AssertionError(request.url)

    def predictor(self, request: httpx.Request) -> httpx.Response:
        models = [{"machine_type": "pump", "version": "1"}]
        return httpx.Response(200, json={"models": models})


def followed(services: Services) -> tuple[WorseCandidate, str]:
    worse = WorseCandidate(
        SCENARIO,
        trainer=TrainerClient("http://t", httpx.MockTransport(services.trainer)),
        predictor=PredictorClient("http://p", httpx.MockTransport(services.predictor)),
        clock=SystemClock(),
    )
    return worse, worse.advance() or ""


def test_it_looks_at_half_of_the_sensors() -> None:
    services = Services(model_version="2")
    followed(services)
    [asked] = services.asked
    known = sorted(next(SCENARIO.history()).sensors)
    assert asked["sensors"] == known[: len(known) // 2]


def test_the_gates_reason_is_told_and_that_production_stays() -> None:
    worse, told = followed(Services(model_version="2"))
    assert told == "pump: version 2 is refused: blind; version 1 stays in Production"
    assert worse.report == RefusalReport(
        version="2", gate="refused", reason="blind", production="1", judging="1"
    )


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_training_that_makes_no_version_is_no_refusal(state: str) -> None:
    worse, told = followed(Services(state=state, error="no rows"))
    assert worse.settled
    assert "not judged: no rows" in told
