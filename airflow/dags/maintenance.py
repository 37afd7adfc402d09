"""Drops and retires what is old, and reports dead letters and stale models.

It only shows what it would change, unless the parameter or the variable `apply` is true.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from model_lifecycle.failures import send
from model_lifecycle.registry import the_registry
from model_lifecycle.services import RECORDER, ask, service
from model_lifecycle.settings import COMMON, asker, moment_of, schedule, setting
from model_lifecycle.trainer import the_trainer
from model_lifecycle.upkeep import dead_letters, outdated, stale, unused


@dag(
    schedule=schedule("AIRFLOW_MAINTENANCE_SCHEDULE", "30 4 * * 0"),
    dagrun_timeout=timedelta(hours=3),
    doc_md=__doc__,
    params={
        "apply": Param(None, type=["null", "boolean"]),
        "keep_staging_days": Param(None, type=["null", "number"], minimum=0),
        "keep_runs_days": Param(None, type=["null", "number"], minimum=0),
        "stale_after_days": Param(None, type=["null", "number"], minimum=0),
    },
    **COMMON,
)
def maintenance() -> None:
    """Old readings, versions in Staging and runs, dead letters, stale models; then one report."""

    @task
    def drop_old_readings() -> dict[str, Any]:
        """Have the trainer drop what has outlived the retention of Faultline's settings.

        Readings, verdicts, closed alarms and drift events. The recorder does so by itself, too.
        """
        applied = setting("apply", False, get_current_context()["params"])
        with the_trainer() as trainer:
            found = trainer.apply_retention(dry_run=not applied)
        return {"applied": applied, "days": found["days"], "expired": found["expired"]}

    @task
    def archive_old_candidates() -> dict[str, Any]:
        """Archive versions that have waited in Staging for long; the newest of a model stays."""
        context = get_current_context()
        days = setting("keep_staging_days", 90, context["params"])
        with the_registry() as registry, the_trainer() as trainer:
            found = outdated(registry.versions(), moment_of(context) - timedelta(days=days))
            applied = setting("apply", False, context["params"])
            for name, version in found if applied else []:
                why = f"in Staging for more than {days:g} days"
                trainer.move(name, version, "Archived", why, asker(context))
        return {"applied": applied, "versions": [f"{name} {version}" for name, version in found]}

    @task
    def delete_old_runs() -> dict[str, Any]:
        """Delete runs that ended long ago and that no version comes from.

        MLflow can restore them; `mlflow/scripts/cleanup.sh` frees their space.
        """
        context = get_current_context()
        days = setting("keep_runs_days", 90, context["params"])
        before = moment_of(context) - timedelta(days=days)
        with the_registry() as registry:
            # The runs first: one that gets a version meanwhile is then seen to have it.
            runs = registry.ended_runs(int(before.timestamp() * 1_000))
            found = unused(runs, registry.versions())
            applied = setting("apply", False, context["params"])
            for run_id in found if applied else []:
                registry.delete_run(run_id)
        return {"applied": applied, "runs": found}

    @task
    def count_dead_letters() -> dict[str, int]:
        """Messages in the DLQ since the recorder started, by reason."""
        with service(RECORDER) as recorder:
            return dead_letters(ask(recorder, "GET", "/metrics").text)

    @task
    def find_stale_models() -> list[dict[str, str]]:
        """Models without a version in Production, or with one that learnt from old readings."""
        context = get_current_context()
        after = timedelta(days=setting("stale_after_days", 30, context["params"]))
        with the_registry() as registry:
            versions = registry.versions("name LIKE 'faultline-%'")
        return stale(versions, moment_of(context), after)

    @task
    def report(
        readings: dict[str, Any],
        versions: dict[str, Any],
        runs: dict[str, Any],
        letters: dict[str, int],
        models: list[dict[str, str]],
    ) -> dict[str, Any]:
        """All of it in one place; sent when there are dead letters or stale models."""
        told = {
            "event": "maintenance",
            "retention": readings,
            "candidates": versions,
            "runs": runs,
            "dead_letters": letters,
            "stale_models": models,
        }
        print(told)
        if models or letters:
            send(told)
        return told

    report(
        drop_old_readings(),
        archive_old_candidates(),
        delete_old_runs(),
        count_dead_letters(),
        find_stale_models(),
    )


maintenance()
