"""Asking the trainer: trainings, versions, promotions, backtests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from airflow.sdk.exceptions import AirflowException

from model_lifecycle.services import TRAINER, ask, service

TRAININGS = "/api/v1/ml/models/train"
FINAL = frozenset({"succeeded", "failed", "cancelled"})

_MODELS = "/api/v1/ml/models"
_RETENTION = "/api/v1/ml/maintenance/retention"
_BACKTEST_S = 1_800.0
_RETENTION_S = 300.0

Json = dict[str, Any]


def model_name(machine_type: str) -> str:
    """The registered model of a machine type."""
    return f"faultline-{machine_type}"


@contextmanager
def the_trainer() -> Iterator[Trainer]:
    """The trainer behind Airflow's connection."""
    with service(TRAINER) as client:
        yield Trainer(client)


class Trainer:
    """The trainer's HTTP interface, as far as the DAGs need it; see its `/docs`."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def require_ready(self) -> None:
        """Raise unless it can train now: its database, broker and MLflow answer too."""
        ask(self._client, "GET", "/health/ready")

    def models(self) -> list[Json]:
        """The registered models."""
        return list(self._get(_MODELS)["models"])

    def versions(self, name: str) -> list[Json]:
        """A model's versions, newest first; none when there is no such model."""
        response = ask(self._client, "GET", f"{_MODELS}/{name}/versions", absent=True)
        return [] if response.status_code == httpx.codes.NOT_FOUND else response.json()["versions"]

    def train(self, request: Json, key: str) -> Json:
        """Queue a training, or find the one that was queued under the same key; returns the job.

        One that failed or was cancelled is queued anew.
        """
        headers = {"Idempotency-Key": key}
        return dict(ask(self._client, "POST", TRAININGS, json=request, headers=headers).json())

    def job(self, job_id: str) -> Json:
        """How a training stands."""
        return self._get(f"{TRAININGS}/{job_id}")

    def move(self, name: str, version: str, stage: str, reason: str, requested_by: str) -> Json:
        """Move a version to a stage; into Production only if the gate has passed it."""
        body = {"stage": stage, "reason": reason[:2_000], "requested_by": requested_by[:128]}
        path = f"{_MODELS}/{name}/versions/{version}/promote"
        return dict(ask(self._client, "POST", path, json=body).json())

    def backtest(self, name: str, version: str, start: str, end: str) -> Json:
        """Replay a version on stored history, beside the alarms that there were."""
        path = f"{_MODELS}/{name}/versions/{version}/backtest"
        body = {"start": start, "end": end}
        return dict(ask(self._client, "POST", path, json=body, timeout=_BACKTEST_S).json())

    def apply_retention(self, *, dry_run: bool) -> Json:
        """Drop the rows that have outlived the retention of the trainer's settings, or tell."""
        body = {"dry_run": dry_run}
        return dict(ask(self._client, "POST", _RETENTION, json=body, timeout=_RETENTION_S).json())

    def _get(self, path: str, **query: Any) -> Json:
        return dict(ask(self._client, "GET", path, params=query).json())


def found_nothing(job: Json) -> bool:
    """Whether a training failed only because its machine type has no readings in the time range."""
    error = str(job["error"])
    return (
        job["state"] == "failed"
        and error.startswith("no readings of machine type ")
        and "in the time range" in error
    )


def version_of(job: Json) -> Json:
    """The version that a finished training registered, or found there already.

    Raises
    ------
    AirflowException
        When it registered none, with the trainer's reason.
    """
    if job["state"] != "succeeded" or job["model_version"] is None:
        raise AirflowException(
            f"training {job['job_id']} of {job['machine_type']} {job['state']}: "
            f"{job['error'] or job['progress']}"
        )
    return {
        "job_id": job["job_id"],
        "model_name": job["model_name"],
        "version": job["model_version"],
        "run_id": job["run_id"],
        "unchanged": bool(job["unchanged"]),
    }
