"""Trainings over HTTP: asked for, followed, cancelled."""

from typing import Any

import pytest

BASE = "/api/v1/ml/models"
NAME = "faultline-pump"


def post(world: Any, path: str, body: Any = None) -> Any:
    return world.http.post(f"{BASE}{path}", json=body)


def get(world: Any, path: str, **params: Any) -> Any:
    return world.http.get(f"{BASE}{path}", params=params)


def test_a_training_is_queued_and_found_where_it_says(world: Any) -> None:
    answer = post(world, "/train", {"machine_type": "pump"})
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    found = world.http.get(answer.headers["Location"])
    assert found.json()["job_id"] == answer.json()["job_id"]


def test_a_training_can_be_followed_to_its_version(world: Any) -> None:
    job_id = post(world, "/train", {"machine_type": "pump"}).json()["job_id"]
    world.work()
    job = get(world, f"/train/{job_id}").json()
    assert (job["state"], job["model_name"], job["model_version"]) == ("succeeded", NAME, "1")
    assert job["promoted"] is True
    assert job["decision"].startswith("the gate passed")


def test_everything_that_is_asked_for_reaches_the_job(world: Any) -> None:
    post(
        world,
        "/train",
        {
            "machine_type": "pump",
            "start": "2026-11-14T00:00:00Z",
            "end": 1795248000000,
            "machines": ["pump-1", "pump-1", "pump-2"],
            "sensors": ["flow"],
            "excluded": [{"start": "2026-11-15T00:00:00+01:00", "end": "2026-11-15T01:00:00Z"}],
            "hyperparameters": {"k_max": 4, "false_alarm_rate": 0.01},
            "promotion": "hold",
            "requested_by": "ada",
        },
    )
    (job,) = world.queue.list()
    request = job.request
    assert (request.start_ms, request.end_ms) == (1794614400000, 1795248000000)
    assert (request.machines, request.sensors) == (("pump-1", "pump-2"), ("flow",))
    assert [(one.start_ms, one.end_ms) for one in request.excluded] == [
        (1794697200000, 1794704400000)
    ]
    assert request.hyperparameters == {"k_max": 4, "false_alarm_rate": 0.01}
    assert (request.promotion, request.requested_by) == ("hold", "ada")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "machine_type"),
        ({"machine_type": "Pump 1"}, "machine_type"),
        ({"machine_type": "pump", "k": 3}, "k: Extra inputs"),
        ({"machine_type": "pump", "start": "yesterday"}, "neither RFC 3339"),
        ({"machine_type": "pump", "start": True}, "neither RFC 3339"),
        ({"machine_type": "pump", "start": 2, "end": 1}, "end must be later than start"),
        ({"machine_type": "pump", "machines": []}, "machines"),
        ({"machine_type": "pump", "excluded": [{"start": 1, "end": 1}]}, "end must be later"),
        ({"machine_type": "pump", "hyperparameters": {"depth": 3}}, "unknown: depth"),
        ({"machine_type": "pump", "hyperparameters": {"k_max": "3"}}, "k_max: Expected `int`"),
        ({"machine_type": "pump", "hyperparameters": {"k_min": 9}}, "k_max must be at least 9"),
        ({"machine_type": "pump", "hyperparameters": {"k_max": 101}}, "at most 100"),
        ({"machine_type": "pump", "hyperparameters": {"false_alarm_rate": 0.7}}, "0 and 0.5"),
        ({"machine_type": "pump", "hyperparameters": {"distance": "cosine"}}, "distance: Invalid"),
        ({"machine_type": "pump", "hyperparameters": {"drift": "on"}}, "drift: Invalid"),
        ({"machine_type": "pump", "hyperparameters": {"settle_after_s": 1e300}}, "at most"),
        ({"machine_type": "pump", "hyperparameters": {"settle_after_s": -1}}, "at least 0"),
        ({"machine_type": "pump", "hyperparameters": {"slow_sensors": "heat"}}, "slow_sensors: "),
        ({"machine_type": "pump", "promotion": "never"}, "promotion"),
        ({"machine_type": "pump", "machines": ["a\0b"]}, "must not contain NUL"),
        ({"machine_type": "pump", "sensors": ["a\0b"]}, "must not contain NUL"),
        ({"machine_type": "pump", "requested_by": "a\0b"}, "must not contain NUL"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(world: Any, body: Any, told: str) -> None:
    answer = post(world, "/train", body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.json()["detail"]
    assert world.queue.list() == []


def test_jobs_are_listed_newest_first(world: Any) -> None:
    ids = [post(world, "/train", {"machine_type": "pump"}).json()["job_id"] for _ in range(3)]
    world.work()
    assert [one["job_id"] for one in get(world, "/train").json()["jobs"]] == ids[::-1]
    queued = get(world, "/train", state="queued", limit=1).json()["jobs"]
    assert [one["job_id"] for one in queued] == [ids[2]]


def test_a_queued_job_can_be_cancelled(world: Any) -> None:
    job_id = post(world, "/train", {"machine_type": "pump"}).json()["job_id"]
    assert post(world, f"/train/{job_id}/cancel").json()["state"] == "cancelled"
    assert not world.work()


def test_a_finished_job_cannot_be_cancelled(world: Any) -> None:
    job = world.train()
    assert post(world, f"/train/{job.job_id}/cancel").status_code == 409


@pytest.mark.parametrize("call", ["history", "log_run"])
def test_a_job_that_is_worked_on_can_be_cancelled_and_registers_nothing(
    world: Any, call: str
) -> None:
    port = world.store if call == "history" else world.registry
    original = getattr(port.port, call)
    answers: list[Any] = []

    def cancelled(*args: Any) -> Any:
        if not answers:
            answers.append(post(world, f"/train/{job_id}/cancel"))
        return original(*args)

    setattr(port.port, call, cancelled)
    job_id = post(world, "/train", {"machine_type": "pump"}).json()["job_id"]
    assert world.work()
    assert [(one.status_code, one.json()["state"]) for one in answers] == [(200, "cancelled")]
    assert get(world, f"/train/{job_id}").json()["state"] == "cancelled"
    assert world.registry.models() == []
    assert world.events() == []
    assert not world.work()
    # Nothing holds the type: the next is begun at once.
    setattr(port.port, call, original)
    assert world.train().state == "succeeded"
    shown = world.http.get("/metrics").text
    assert 'faultline_trainer_jobs_total{outcome="cancelled"} 1.0' in shown


def test_a_job_whose_version_is_being_registered_cannot_be_cancelled(world: Any) -> None:
    original = world.registry.port.register
    answers = []

    def register(*args: Any) -> Any:
        answers.append(post(world, f"/train/{job_id}/cancel"))
        return original(*args)

    world.registry.port.register = register
    job_id = post(world, "/train", {"machine_type": "pump"}).json()["job_id"]
    assert world.work()
    assert [one.status_code for one in answers] == [409]
    assert "its version is being registered" in answers[0].json()["detail"]
    assert get(world, f"/train/{job_id}").json()["state"] == "succeeded"


def test_an_unknown_job_is_not_found(world: Any) -> None:
    assert get(world, "/train/nothing").status_code == 404
    assert post(world, "/train/nothing/cancel").status_code == 404


def test_what_became_of_jobs_is_counted(world: Any) -> None:
    world.train()
    world.train(machines=("pump-9",))
    shown = world.http.get("/metrics").text
    assert 'faultline_trainer_jobs_total{outcome="succeeded"} 1.0' in shown
    assert 'faultline_trainer_jobs_total{outcome="failed"} 1.0' in shown
    assert (
        'faultline_trainer_gate_decisions_total{decision="passed",model="faultline-pump"} 1.0'
        in shown
    )
