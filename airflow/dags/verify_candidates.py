"""Looks at the versions in Staging, whoever made them: promotes the good, tells why of the others.

A version tagged `keep=true` is left to people.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from model_lifecycle.provenance import dag_run_tags
from model_lifecycle.registry import the_registry
from model_lifecycle.settings import COMMON, asker, schedule, setting
from model_lifecycle.settlement import against, settle
from model_lifecycle.trainer import the_trainer
from model_lifecycle.upkeep import kept


@dag(
    schedule=schedule("AIRFLOW_VERIFY_SCHEDULE", "*/15 * * * *"),
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    params={"quality_limits": Param(None, type=["null", "array"], items={"type": "string"})},
    **COMMON,
)
def verify_candidates() -> None:
    """Find versions in Staging, and settle each."""

    @task
    def find_candidates() -> list[dict[str, str]]:
        """The versions in Staging in MLflow."""
        with the_registry() as registry:
            return [
                {"name": one["name"], "version": one["version"]}
                for one in registry.versions("name LIKE 'faultline-%'")
                if one["current_stage"] == "Staging" and not kept(one)
            ]

    # One after the other: of two of one model the second is then held against the first.
    @task(max_active_tis_per_dagrun=1)
    def verify(candidate: dict[str, str]) -> dict[str, Any]:
        """Promote a version, or leave it in Staging with the reason."""
        context = get_current_context()
        name, number = candidate["name"], candidate["version"]
        limits = setting("quality_limits", [], context["params"])
        with the_trainer() as trainer, the_registry() as registry:
            why_not = against(trainer, name, number, limits)
            done = settle(trainer, registry, name, number, why_not=why_not, by=asker(context))
            if not why_not:
                registry.tag_version(
                    name,
                    number,
                    {f"{key}.verified": value for key, value in dag_run_tags(context).items()},
                )
            return done

    verify.expand(candidate=find_candidates())


verify_candidates()
