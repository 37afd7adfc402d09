"""Waiting for a training without a worker: the triggerer asks the trainer, many waits at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
from airflow.sdk import BaseHook, BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from model_lifecycle.provenance import (
    MLflowRunLink,
    ModelVersionLink,
    dag_run_tags,
)
from model_lifecycle.registry import the_registry
from model_lifecycle.services import TRAINER, base_url, credentials
from model_lifecycle.trainer import FINAL, TRAININGS, found_nothing, the_trainer, version_of

_POLL_S = 2.0
_TIMEOUT_S = 30.0


class TrainingEnded(BaseTrigger):
    """Fires when a training has ended, well or not.

    A trainer that is down is waited for: it takes its trainings up again when it is back.
    """

    def __init__(self, job_id: str, poll_s: float) -> None:
        super().__init__()
        self.job_id = job_id
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes it again."""
        given = {"job_id": self.job_id, "poll_s": self.poll_s}
        return f"{type(self).__module__}.{type(self).__qualname__}", given

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask until it has ended, or is not known."""
        connection = await BaseHook.aget_connection(TRAINER)
        async with httpx.AsyncClient(
            base_url=base_url(connection), auth=credentials(connection), timeout=_TIMEOUT_S
        ) as client:
            while not await self._ended(client):
                await asyncio.sleep(self.poll_s)
        yield TriggerEvent(self.job_id)

    async def _ended(self, client: httpx.AsyncClient) -> bool:
        try:
            answer = await client.get(f"{TRAININGS}/{self.job_id}")
        except httpx.TransportError as error:
            self.log.warning("The trainer does not answer: %r", error)
            return False
        if answer.is_server_error:
            self.log.warning("The trainer answers %s", answer.status_code)
            return False
        # What it refuses for good, the task is told when it asks again.
        return answer.is_client_error or answer.json()["state"] in FINAL


class WaitForTraining(BaseOperator):
    """Waits for a training, ties its run in MLflow to this DAG run, and returns its version.

    A version that was there already, because there was nothing new to learn, is returned too, and
    stays tied to the DAG run that made it.

    Parameters
    ----------
    job_id
        Of the training.
    wait
        How long at most.
    poll_s
        Between two questions to the trainer.
    """

    template_fields = ("job_id",)
    operator_extra_links = (MLflowRunLink(), ModelVersionLink())

    def __init__(
        self, *, job_id: str, wait: timedelta, poll_s: float = _POLL_S, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.wait = wait
        self.poll_s = poll_s
        self.run_link = ""
        self.version_link = ""

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask once, and else leave the worker until it has ended."""
        with the_trainer() as trainer:
            ended = trainer.job(self.job_id)["state"] in FINAL
        if not ended:
            trigger = TrainingEnded(self.job_id, self.poll_s)
            self.defer(trigger=trigger, method_name="conclude", timeout=self.wait)
        return self.conclude(context)

    def conclude(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Look at how it has ended."""
        with the_trainer() as trainer:
            job = trainer.job(self.job_id)
        if found_nothing(job):
            raise AirflowSkipException(f"nothing to learn from: {job['error']}")
        if job["state"] != "succeeded":
            # Trying again would only read the same again; clearing `train` asks for a new one.
            raise AirflowFailException(f"the training {job['state']}: {job['error']}")
        made = version_of(job)
        with the_registry() as registry:
            if not made["unchanged"]:
                tags = dag_run_tags(context)
                registry.tag_run(made["run_id"], tags)
                registry.tag_version(made["model_name"], made["version"], tags)
            self.run_link = registry.run_link(made["run_id"])
            self.version_link = registry.version_link(made["model_name"], made["version"])
        made |= {"run_link": self.run_link, "version_link": self.version_link}
        return made
