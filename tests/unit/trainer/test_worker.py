"""Jobs through outages, deaths and takeovers."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from faultline.errors import Conflict, Unavailable
from faultline.events import ModelEventKind
from faultline.ports.jobs import JobState
from faultline.ports.registry import Stage

NAME = "faultline-pump"


class Killed(BaseException):
    """What a process does not survive: nothing catches it."""


@pytest.mark.parametrize("call", ["versions", "log_run", "register", "promote"])
def test_a_registry_that_is_down_is_waited_for(world: Any, call: str) -> None:
    world.registry.plan(call, Unavailable("MLflow is down"), Unavailable("MLflow is down"))
    job = world.train()
    assert (job.state, job.promoted) == (JobState.SUCCEEDED, True)
    assert len(world.registry.versions(NAME)) == 1
    assert len(world.log.list(NAME)) == 1


def test_a_database_that_is_down_is_waited_for(world: Any) -> None:
    world.store.plan("history", Unavailable("down"))
    for call in ("turn", "begin", "finish", "mark_announced"):
        world.log.plan(call, Unavailable("down"))
    world.queue.plan("renew", Unavailable("down"))
    world.queue.plan("succeed", Unavailable("down"))
    job = world.train()
    assert job.state is JobState.SUCCEEDED
    assert len(world.registry.versions(NAME)) == 1


def test_a_broker_that_is_down_is_waited_for(world: Any) -> None:
    world.broker.flaky.plan("send", Unavailable("down"), Unavailable("down"))
    assert world.train().state is JobState.SUCCEEDED
    assert len({one.event_id for one in world.events()}) == 3


def test_an_answer_that_was_lost_makes_no_second_version(world: Any) -> None:
    world.registry.plan("register", Unavailable("timed out"), after=True)
    job = world.train()
    assert (job.state, job.model_version) == (JobState.SUCCEEDED, "1")
    assert len(world.registry.versions(NAME)) == 1


CALLS = [
    ("registry", "log_run"),
    ("gate_log", "record"),
    ("registry", "register"),
    ("gate_log", "name_version"),
    ("registry", "promote"),
    ("log", "begin"),
    ("log", "finish"),
    ("log", "mark_announced"),
    ("queue", "succeed"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("port", "call"), CALLS)
def test_a_worker_may_die_anywhere(world: Any, port: str, call: str, after: bool) -> None:
    world.train()
    getattr(world, port).plan(call, Killed(), after=after)
    job = world.submit()
    with pytest.raises(Killed):
        world.work()
    job = world.work_until_done(job)
    assert (job.state, job.model_version, job.promoted) == (JobState.SUCCEEDED, "2", True)
    assert [one.version for one in world.registry.versions(NAME)] == ["2", "1"]
    assert [(one.to_version, one.from_version) for one in world.log.list(NAME)] == [
        ("2", "1"),
        ("1", None),
    ]
    told = {one.event_id: (one.kind, one.model_version) for one in world.events()}
    assert sorted(told.values()) == [
        (ModelEventKind.ARCHIVED, "1"),
        (ModelEventKind.GATE_PASSED, "1"),
        (ModelEventKind.GATE_PASSED, "2"),
        (ModelEventKind.PROMOTED, "1"),
        (ModelEventKind.PROMOTED, "2"),
        (ModelEventKind.REGISTERED, "1"),
        (ModelEventKind.REGISTERED, "2"),
    ]


def test_a_job_taken_over_late_does_not_undo_what_was_promoted_since(world: Any) -> None:
    world.train()
    world.queue.plan("succeed", Killed())
    job = world.submit()
    with pytest.raises(Killed):
        world.work()
    world.trainer.promotions.promote(NAME, "1", actor="ada", reason="back")
    assert world.work_until_done(job).state is JobState.SUCCEEDED
    assert world.registry.production(NAME).version == "1"


def test_a_version_made_by_a_worker_that_died_gets_into_staging(world: Any) -> None:
    world.registry.port.set_stage = _killed_once(world.registry.port.set_stage)
    job = world.submit(promotion="hold")
    with pytest.raises(Killed):
        world.work()
    assert world.registry.version(NAME, "1").stage is Stage.NONE
    world.work_until_done(job)
    assert world.registry.version(NAME, "1").stage is Stage.STAGING


def _killed_once(method: Callable[..., Any]) -> Callable[..., Any]:
    left = [Killed()]

    def call(*args: Any) -> Any:
        if left:
            raise left.pop()
        return method(*args)

    return call


def test_a_worker_that_lost_its_lease_registers_nothing(world: Any) -> None:
    job = world.submit()
    world.registry.port.log_run = _taken_over(world, world.registry.port.log_run)
    world.work()
    assert world.registry.models() == []
    assert world.queue.get(job.job_id).state is JobState.RUNNING


def test_a_worker_that_cannot_know_whether_it_lost_its_lease_registers_nothing(world: Any) -> None:
    world.submit()
    world.registry.port.log_run = _taken_over(world, world.registry.port.log_run, unheard=3)
    world.work()
    assert world.registry.models() == []


def _taken_over(world: Any, method: Callable[..., Any], unheard: int = 0) -> Callable[..., Any]:
    """Give the job to another worker meanwhile; the queue does not answer `unheard` times then."""

    def call(*args: Any) -> Any:
        world.clock.sleep(61)
        assert world.queue.port.claim("another", 60.0) is not None
        world.queue.plan("renew", *(Unavailable("down") for _ in range(unheard)))
        return method(*args)

    return call


def test_a_job_that_kills_its_workers_is_given_up(world: Any) -> None:
    job = world.submit()
    world.store.plan("history", *(Killed() for _ in range(5)))
    for _ in range(3):
        with pytest.raises(Killed):
            world.work(world.start())
        world.clock.sleep(61)
    world.work(world.start())
    job = world.queue.get(job.job_id)
    assert job.state is JobState.FAILED
    assert "given up after 3 attempts" in job.error
    assert world.registry.calls[-1] == "end_runs"


def test_what_nobody_foresaw_fails_the_job_and_ends_the_process(world: Any) -> None:
    world.store.plan("history", RuntimeError("broken"))
    job = world.submit()
    with pytest.raises(RuntimeError):
        world.work()
    job = world.queue.get(job.job_id)
    assert job.state is JobState.FAILED
    assert "RuntimeError: broken" in job.error


def test_what_the_registry_refuses_for_good_fails_the_job(world: Any) -> None:
    world.registry.plan("log_run", Conflict("MLflow could not log a run: no such parameter"))
    job = world.train()
    assert (job.state, job.error) == (
        JobState.FAILED,
        "MLflow could not log a run: no such parameter",
    )


def test_a_stopping_service_gives_the_job_back_at_once(world: Any) -> None:
    job = world.submit()
    stop = threading.Event()
    stop.set()
    assert world.trainer.worker.step(stop)
    assert world.queue.get(job.job_id).state is JobState.QUEUED
    assert world.work(world.start())
    assert world.queue.get(job.job_id).state is JobState.SUCCEEDED


def test_a_job_does_not_fail_of_restarts(world: Any) -> None:
    job = world.submit()
    stop = threading.Event()
    stop.set()
    for _ in range(4):
        assert world.start().worker.step(stop)
    assert world.work()
    assert world.queue.get(job.job_id).state is JobState.SUCCEEDED


def test_it_waits_longer_and_longer_for_what_stays_down(world: Any) -> None:
    slept: list[float] = []
    world.clock.sleep = slept.append
    world.registry.plan("log_run", *(Unavailable("disk full") for _ in range(8)))
    assert world.train().state is JobState.SUCCEEDED
    assert len(slept) == 1 + 2 + 4 + 8 + 16 + 32 + 32 + 32


@pytest.mark.parametrize("error", [Conflict("not ours"), Unavailable("gone")])
def test_a_stopping_service_leaves_the_job_to_its_lease_when_it_cannot_give_it_back(
    world: Any, error: Exception
) -> None:
    job = world.submit()
    stop = threading.Event()
    stop.set()
    world.queue.plan("release", error)
    assert world.trainer.worker.step(stop)
    assert world.queue.get(job.job_id).state is JobState.RUNNING
    assert world.work_until_done(job).state is JobState.SUCCEEDED


def test_an_idle_worker_has_nothing_to_do(world: Any) -> None:
    assert not world.work()


def test_a_worker_ends_when_told_to(world: Any) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=world.trainer.worker.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def endless(world: Any, then: Callable[[], object]) -> None:
    """Let reading the history take longer than anybody waits; `then` happens meanwhile."""

    def history(*_: Any) -> None:
        then()
        for _turn in range(3_000):
            threading.Event().wait(0.01)
        raise AssertionError("nobody has ended it")

    world.store.port.history = history


def test_a_cancelled_job_ends_in_the_middle_of_a_step(world: Any) -> None:
    job = world.submit()
    endless(world, lambda: world.queue.cancel(job.job_id))
    assert world.work()
    assert world.queue.get(job.job_id).state is JobState.CANCELLED
    assert world.registry.models() == []
    # Whatever a run of it had come to is ended.
    assert world.registry.calls[-2:] == ["end_runs", "models"]


def test_a_stopping_service_gives_a_job_back_in_the_middle_of_a_step(world: Any) -> None:
    job = world.submit()
    stop = threading.Event()
    endless(world, stop.set)
    assert world.trainer.worker.step(stop)
    assert world.queue.get(job.job_id).state is JobState.QUEUED
    # It will be taken up: nothing of it is ended.
    assert "end_runs" not in world.registry.calls


def test_runs_of_a_job_that_failed_are_ended(world: Any) -> None:
    world.registry.plan("log_run", Conflict("no such parameter"))
    assert world.train().state is JobState.FAILED
    assert world.registry.calls[-3:] == ["end_runs", "log_run", "end_runs"]


def test_a_job_fails_also_when_its_runs_cannot_be_ended(make_world: Callable[..., Any]) -> None:
    world = make_world()
    world.registry.plan("end_runs", Unavailable("down"))
    assert world.train().state is JobState.FAILED
