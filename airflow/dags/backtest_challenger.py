"""Replays each challenger and the version in Production on the same history, and compares."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from model_lifecycle.comparison import comparison, comparison_tags
from model_lifecycle.provenance import dag_run_tags
from model_lifecycle.registry import the_registry
from model_lifecycle.settings import COMMON, moment_of, rfc3339, schedule, setting
from model_lifecycle.trainer import the_trainer


@dag(
    schedule=schedule("AIRFLOW_BACKTEST_SCHEDULE", "0 5 * * *"),
    dagrun_timeout=timedelta(hours=12),
    doc_md=__doc__,
    params={
        "machine_types": Param(None, type=["null", "array"], items={"type": "string"}),
        "backtest_days": Param(None, type=["null", "number"], exclusiveMinimum=0),
    },
    **COMMON,
)
def backtest_challenger() -> None:
    """Find models with a version in Staging, and replay it."""

    @task
    def find_challengers() -> list[dict[str, Any]]:
        """Each model's challenger, and the version in Production if there is one."""
        types = setting("machine_types", [], get_current_context()["params"])
        with the_trainer() as trainer:
            return [
                {
                    "name": model["model_name"],
                    "version": model["staging"],
                    "champion": model["production"],
                }
                for model in trainer.models()
                if model["staging"] is not None and (not types or model["machine_type"] in types)
            ]

    # The trainer replays one at a time.
    @task(max_active_tis_per_dagrun=1, execution_timeout=timedelta(hours=1))
    def backtest(challenger: dict[str, Any]) -> dict[str, Any]:
        """Replay both, and tag the challenger with what came out."""
        context = get_current_context()
        end = moment_of(context)
        start = end - timedelta(days=setting("backtest_days", 7, context["params"]))
        span = (rfc3339(start), rfc3339(end))
        name, version, champion = challenger["name"], challenger["version"], challenger["champion"]
        with the_trainer() as trainer:
            now = trainer.backtest(name, version, *span)
            then = None if champion is None else trainer.backtest(name, champion, *span)
        found = comparison(name, version, now, champion, then)
        with the_registry() as registry:
            run = {f"{key}.backtest": value for key, value in dag_run_tags(context).items()}
            registry.tag_version(name, version, {**comparison_tags(found), **run})
        return found

    backtest.expand(challenger=find_challengers())


backtest_challenger()
