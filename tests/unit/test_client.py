"""Asking the trainer, and what its answers become."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from faultline.client import Job, PredictorClient, TrainerClient
from faultline.errors import Conflict, FaultlineError, NotFound, Unavailable
from faultline.ports.jobs import JobState, Period

JOB = {"job_id": "j-1", "state": "queued", "progress": ""}

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer) -> TrainerClient:
    return TrainerClient("http://trainer", transport=httpx.MockTransport(answer))


def problem(status: int, detail: str) -> Answer:
    return lambda _: httpx.Response(status, json={"title": "x", "detail": detail})


def test_a_training_is_asked_for_with_times_as_rfc_3339() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json=JOB)

    with client(answer) as trainer:
        trainer.train("pump", end_ms=1_500, machines=["a"], excluded=[Period(0, 1_000)])
    assert seen[0].url.path == "/api/v1/ml/models/train"
    assert json.loads(seen[0].content) == {
        "machine_type": "pump",
        "promotion": "auto",
        "requested_by": "api",
        "end": "1970-01-01T00:00:01.500Z",
        "machines": ["a"],
        "excluded": [{"start": "1970-01-01T00:00:00.000Z", "end": "1970-01-01T00:00:01.000Z"}],
    }


def test_a_job_is_followed_until_it_has_ended() -> None:
    states = iter(["queued", "running", "running", "succeeded"])

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={**JOB, "state": next(states)})

    told: list[JobState] = []
    with client(answer) as trainer:
        job = trainer.wait("j-1", lambda job: told.append(job.state))
    assert job.final
    assert told == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]


def test_waiting_for_a_job_ends_at_the_deadline() -> None:
    with (
        client(lambda _: httpx.Response(200, json=JOB)) as trainer,
        pytest.raises(TimeoutError, match="still queued"),
    ):
        trainer.wait("j-1", timeout_s=0.0)


def test_a_wait_outlives_a_trainer_that_is_away_for_a_moment() -> None:
    answers = iter([503, 502, 0, 200])

    def answer(request: httpx.Request) -> httpx.Response:
        status = next(answers)
        if not status:
            raise httpx.ConnectError("refused")
        return httpx.Response(status, json={"job_id": "j-1", "state": "succeeded"})

    with client(answer) as trainer:
        assert trainer.wait("j-1").state is JobState.SUCCEEDED


@pytest.mark.parametrize("bounds", [{"patience_s": 0.0}, {"timeout_s": 0.0}])
def test_a_wait_for_a_trainer_that_stays_away_ends(bounds: dict[str, float]) -> None:
    with client(problem(503, "down")) as trainer, pytest.raises(Unavailable, match="down"):
        trainer.wait("j-1", **bounds)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"job_id": 3}'])
def test_an_answer_of_something_else_names_the_address(content: bytes) -> None:
    with (
        client(lambda _: httpx.Response(200, content=content)) as trainer,
        pytest.raises(FaultlineError, match="is no trainer of this version"),
    ):
        trainer.job("j-1")


def test_what_the_answer_has_besides_is_passed_over() -> None:
    with client(lambda _: httpx.Response(202, json={**JOB, "request": {}})) as trainer:
        assert trainer.train("pump") == Job(job_id="j-1", state=JobState.QUEUED)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFound), (409, Conflict), (503, Unavailable), (422, FaultlineError)],
)
def test_a_refusal_is_the_error_of_its_status_with_the_explanation_in_one_line(
    status: int, kind: type[FaultlineError]
) -> None:
    with (
        client(problem(status, "the gate\n refused it")) as trainer,
        pytest.raises(kind, match=rf"refuses \({status}\): the gate refused it"),
    ):
        trainer.promote("faultline-pump", "2")


def test_a_trainer_that_is_not_there_is_named() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with client(answer) as trainer, pytest.raises(Unavailable, match="http://trainer"):
        trainer.job("j-1")


def test_a_name_is_no_path() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(200, json={})

    with client(answer) as trainer:
        trainer.promote("a/../b", "1")
    assert seen == [b"/api/v1/ml/models/a%2F..%2Fb/versions/1/promote"]


MODELS = {"models": [{"machine_type": "pump", "version": "3"}, {"machine_type": "fan"}]}


@pytest.mark.parametrize(("machine_type", "version"), [("pump", "3"), ("fan", None), ("x", None)])
def test_the_version_that_judges_a_type_is_none_where_there_is_none(
    machine_type: str, version: str | None
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=MODELS))
    with PredictorClient("http://predictor", transport) as predictor:
        assert predictor.live_version(machine_type) == version
