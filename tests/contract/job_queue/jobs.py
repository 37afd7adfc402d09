"""Requests, a result, and workers of the job queue's tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from faultline.ports.jobs import JobQueue, JobResult, TrainingJob, TrainingRequest

Value = TypeVar("Value")

LONG_S = 600.0
AT_ONCE_S = 0.001
DEADLINE_S = 20.0
PUMP, VALVE = TrainingRequest(machine_type="pump"), TrainingRequest(machine_type="valve")
RESULT = JobResult(
    model_name="faultline-pump",
    model_version="3",
    run_id="r-1",
    promoted=True,
    decision="the gate passed",
)


def eventually(look: Callable[[], Value | None]) -> Value:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        seen = look()
        if seen is not None:
            return seen
    raise AssertionError("it did not happen in time")


def taken(queue: JobQueue, worker: str = "w-1", lease_s: float = LONG_S) -> TrainingJob:
    job = queue.claim(worker, lease_s)
    assert job is not None
    return job
