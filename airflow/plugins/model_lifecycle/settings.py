"""Schedules, and what an operator may set: variables of Airflow, and a DAG run's own parameters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Variable

from model_lifecycle.failures import tell_failure

# Of every task, unless it says otherwise.
TASKS: Mapping[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(minutes=10),
    "on_failure_callback": tell_failure,
}
# Of every DAG, beside its own schedule, the time that a run may take, and parameters.
COMMON: Mapping[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "default_args": dict(TASKS),
    "tags": ["faultline"],
}


def schedule(variable: str, default: str) -> str | None:
    """A DAG's schedule from the environment: a cron expression in UTC, or `none`.

    From the environment, because DAG files are read again and again, and should ask nobody.
    """
    given = os.environ.get(variable, "").strip() or default
    return None if given.lower() == "none" else given


def setting(name: str, default: Any, params: Mapping[str, Any] | None = None) -> Any:
    """A DAG run's parameter where it is given, else the variable `faultline_<name>`, else the rest.

    Variables are JSON.
    """
    given = (params or {}).get(name)
    if given is not None:
        return given
    return Variable.get(f"faultline_{name}", default=default, deserialize_json=True)


def moment_of(context: Mapping[str, Any]) -> datetime:
    """When a DAG run counts as being: its logical date, or for lack of one when it was asked for.

    A rerun has the same.
    """
    moment: datetime = context["dag_run"].logical_date or context["dag_run"].run_after
    return moment


def rfc3339(moment: datetime) -> str:
    """A time as the trainer reads it."""
    return moment.isoformat(timespec="milliseconds")


def asker(context: Mapping[str, Any]) -> str:
    """Who asks, in the trainer's history."""
    dag_run = context["dag_run"]
    return f"airflow {dag_run.dag_id} {dag_run.run_id}"[:128]
