"""A training of the same rows, settings and code makes no second version unless told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from faultline.errors import Unavailable
from faultline.ports.registry import Stage
from services.trainer.requests import TrainRequest

NAME = "faultline-pump"
TRAIN = "/api/v1/ml/models/train"


class Killed(BaseException):
    """The worker is gone without a word."""


def again(world: Any, **request: Any) -> Any:
    return world.train(**{"repeat": False, **request})


def versions(world: Any) -> dict[str, Stage]:
    return {one.version: one.stage for one in world.registry.versions(NAME)}


def test_the_same_again_makes_no_version_and_names_the_one_that_is_there(world: Any) -> None:
    first = again(world)
    assert (first.promoted, first.unchanged) == (True, False)
    events = world.events()
    job = again(world)
    assert (job.state, job.unchanged, job.promoted) == ("succeeded", True, False)
    assert (job.model_name, job.model_version, job.run_id) == (NAME, "1", first.run_id)
    assert job.decision == (
        "unchanged: version 1 has learnt the same rows with the same settings; it is in Production"
    )
    assert versions(world) == {"1": Stage.PRODUCTION}
    assert len(world.runs) == 1
    assert world.events() == events


def test_it_makes_another_when_told_to(world: Any) -> None:
    again(world)
    assert again(world, repeat=True).model_version == "2"
    # Of the two, the one in Production is told.
    live = next(number for number, stage in versions(world).items() if stage is Stage.PRODUCTION)
    assert again(world).model_version == live


@pytest.mark.parametrize(
    "other",
    [
        {"hyperparameters": {"k_max": 4}},
        {"sensors": ("flow", "heat")},
        {"machines": ("pump-1",)},
    ],
)
def test_other_settings_or_rows_make_another(world: Any, other: dict[str, Any]) -> None:
    again(world)
    job = again(world, **other)
    assert (job.unchanged, job.model_version) == (False, "2")


def test_a_new_reading_makes_another(world: Any) -> None:
    again(world)
    world.store_rows(world.store.readings("pump-1").values[:1], "pump-1", start_ms=1)
    assert again(world).model_version == "2"


def test_other_code_makes_another(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.store_history()
    again(world)
    world.settings = {"trainer_git_commit": "d" * 40}
    job = world.submit(repeat=False)
    assert world.work(world.start())
    assert world.queue.get(job.job_id).model_version == "2"


def test_a_held_version_is_promoted_when_asked_for_and_the_champion_is_the_same(
    world: Any,
) -> None:
    again(world, promotion="hold")
    assert versions(world) == {"1": Stage.STAGING}
    job = again(world, promotion="hold")
    assert (job.promoted, job.unchanged) == (False, True)
    assert job.decision.endswith("it is held in Staging, as asked for")
    job = again(world)
    assert (job.promoted, job.unchanged) == (True, True)
    assert versions(world) == {"1": Stage.PRODUCTION}
    [promotion] = world.log.list(NAME)
    assert promotion.actor == "gate"


def test_a_database_that_is_down_before_the_promotion_is_waited_for(world: Any) -> None:
    again(world, promotion="hold")
    world.queue.plan("commit", Unavailable("it is down"))
    job = again(world)
    assert (job.state, job.attempts, job.promoted) == ("succeeded", 1, True)


def test_a_worker_that_takes_over_after_the_promotion_says_that_it_was_made(world: Any) -> None:
    again(world, promotion="hold")
    job = world.submit(repeat=False)
    world.queue.plan("succeed", Killed())
    with pytest.raises(Killed):
        world.work()
    job = world.work_until_done(job)
    assert (job.attempts, job.promoted, job.unchanged) == (2, True, True)
    assert job.decision.endswith("; promoted")
    assert len(world.log.list(NAME)) == 1


def test_a_held_version_that_was_judged_beside_another_champion_stays(world: Any) -> None:
    again(world, promotion="hold")
    assert again(world, hyperparameters={"k_max": 4}).promoted
    job = again(world)
    assert (job.model_version, job.promoted) == ("1", False)
    assert "not passed it beside version 2" in job.decision
    assert versions(world)["1"] is Stage.STAGING


def test_an_archived_version_stays_archived(world: Any) -> None:
    again(world)
    again(world, hyperparameters={"k_max": 4})
    assert versions(world)["1"] is Stage.ARCHIVED
    job = again(world)
    assert (job.model_version, job.promoted, job.unchanged) == ("1", False, True)
    assert "it is Archived and stays so" in job.decision


def test_a_refused_version_is_named_with_the_reason(make_world: Callable[..., Any]) -> None:
    world = make_world(gate_min_silhouette=0.99)
    world.store_history()
    refused = again(world)
    assert refused.decision.startswith("the gate refused")
    job = again(world)
    assert (job.model_version, job.unchanged) == ("1", True)
    assert "the gate: refused, " in job.decision
    assert len(versions(world)) == 1


def test_a_schedule_without_new_readings_says_so_in_the_triggers(
    make_world: Callable[..., Any],
) -> None:
    world = make_world(trainer_schedule="every 1h", trainer_cooldown_s=0.0)
    world.store_history()
    for _ in range(3):
        world.trainer.watch.look()
        world.work()
        world.clock.sleep(3_600)
    told = world.http.get("/api/v1/ml/models/triggers").json()["triggers"]
    assert [one["unchanged"] for one in told if one["job_id"]] == [True, False]
    assert len(versions(world)) == 1


# Requests that are sent again --------------------------------------------------------------------


def post(world: Any, key: str, **body: Any) -> Any:
    request = {"machine_type": "pump", **body}
    return world.http.post(TRAIN, json=request, headers={"Idempotency-Key": key})


def test_the_same_key_and_body_are_the_same_job(world: Any) -> None:
    first, second = post(world, "a key"), post(world, '"a key"')
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["job_id"] == second.json()["job_id"]
    assert first.headers["Location"] == second.headers["Location"]


def test_the_same_key_is_the_same_job_when_there_are_no_readings_any_more(
    make_world: Callable[..., Any],
) -> None:
    world = make_world()
    job = world.queue.submit(TrainRequest(machine_type="pump").to_job("a key"))
    answer = post(world, "a key")
    assert (answer.status_code, answer.json().get("job_id")) == (202, job.job_id)
    assert post(world, "another key").status_code == 422


def test_the_same_key_and_another_body_are_refused(world: Any) -> None:
    job_id = post(world, "a key").json()["job_id"]
    answer = post(world, "a key", promotion="hold")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert job_id in answer.json()["detail"]


@pytest.mark.parametrize("key", ["", "k" * 256, '"', 'a"b'])
def test_a_key_that_is_none_is_refused(world: Any, key: str) -> None:
    assert post(world, key).status_code == 422
