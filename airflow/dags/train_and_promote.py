"""Trains every machine type, and promotes what is good enough; the rest stays in Staging."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from json import dumps
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task, task_group

from model_lifecycle.registry import the_registry
from model_lifecycle.settings import COMMON, asker, moment_of, rfc3339, schedule, setting
from model_lifecycle.settlement import against, settle
from model_lifecycle.trainer import the_trainer
from model_lifecycle.waiting import WaitForTraining

_LONGEST_TRAINING = timedelta(hours=6)


@dag(
    schedule=schedule("AIRFLOW_TRAIN_SCHEDULE", "0 3 * * *"),
    dagrun_timeout=timedelta(hours=12),
    doc_md=__doc__,
    params={
        "machine_types": Param(None, type=["null", "array"], items={"type": "string"}),
        "history_days": Param(None, type=["null", "number"], exclusiveMinimum=0),
        "hyperparameters": Param(None, type=["null", "object"]),
        "quality_limits": Param(None, type=["null", "array"], items={"type": "string"}),
        "retrain": Param(
            False,
            type="boolean",
            description="Make a version also of readings that there is one of already.",
        ),
    },
    **COMMON,
)
def train_and_promote() -> None:
    """Health, training, waiting without a worker, quality check, promotion: per machine type."""

    @task
    def check_health() -> None:
        """MLflow and the trainer answer, and so does what they stand on."""
        with the_registry() as registry, the_trainer() as trainer:
            registry.require_ready()
            trainer.require_ready()

    @task
    def machine_types() -> list[str]:
        """Those that are named, else every one that has a model."""
        named = setting("machine_types", [], get_current_context()["params"])
        if named:
            return list(named)
        with the_trainer() as trainer:
            return [model["machine_type"] for model in trainer.models()]

    @task
    def train(machine_type: str) -> str:
        """Ask for a version in Staging, unless the same has been asked for; returns the job's id.

        The readings end at the DAG run's moment, so a rerun asks for the same.
        """
        wanted, key = _request(machine_type, get_current_context())
        with the_trainer() as trainer:
            return str(trainer.train(wanted, key)["job_id"])

    @task
    def check_quality(made: dict[str, str]) -> list[str]:
        """What the gate and the limits say against the version; nothing when it is good."""
        params = get_current_context()["params"]
        with the_trainer() as trainer:
            return against(
                trainer,
                made["model_name"],
                made["version"],
                setting("quality_limits", [], params),
                same_data=params["retrain"],
            )

    @task
    def promote_or_leave(made: dict[str, str], why_not: list[str]) -> dict[str, Any]:
        """Have a good version promoted; leave another in Staging, with the reason."""
        name, number = made["model_name"], made["version"]
        by = asker(get_current_context())
        with the_trainer() as trainer, the_registry() as registry:
            return settle(trainer, registry, name, number, why_not=why_not, by=by)

    @task_group
    def one_type(machine_type: str) -> None:
        made = WaitForTraining(
            task_id="wait_for_training", job_id=train(machine_type), wait=_LONGEST_TRAINING
        ).output
        promote_or_leave(made, check_quality(made))

    types = machine_types()
    check_health() >> types
    one_type.expand(machine_type=types)


def _request(machine_type: str, context: Any) -> tuple[dict[str, Any], str]:
    """What to ask the trainer for, and a key that is the same for the same."""
    params, moment = context["params"], moment_of(context)
    history_days = setting("history_days", None, params)
    wanted = {
        "machine_type": machine_type,
        "end": rfc3339(moment),
        "hyperparameters": setting("hyperparameters", {}, params),
        "promotion": "hold",
        "repeat": params["retrain"],
        "requested_by": f"airflow {context['dag_run'].dag_id} {rfc3339(moment)}",
    }
    if history_days is not None:
        wanted["start"] = rfc3339(moment - timedelta(days=history_days))
    once_more = context["dag_run"].run_id if params["retrain"] else ""
    return wanted, sha256(dumps([wanted, once_more], sort_keys=True).encode()).hexdigest()


train_and_promote()
