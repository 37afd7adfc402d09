from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def _tagged(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _version(name: str, number: str, stage: str, age_days: float = 100, **tags: str) -> Any:
    made_ms = int((NOW - timedelta(days=age_days)).timestamp() * 1_000)
    return {
        "name": name,
        "version": number,
        "current_stage": stage,
        "creation_timestamp": made_ms,
        "run_id": f"run-{name}-{number}",
        "tags": _tagged(tags),
    }


def _run(run_id: str, **tags: str) -> Any:
    return {"info": {"run_id": run_id}, "data": {"tags": _tagged(tags)}}


def test_only_old_versions_in_staging_that_are_not_the_newest_and_not_kept_are_outdated() -> None:
    from model_lifecycle.upkeep import outdated

    versions = [
        _version("a", "1", "Production"),
        _version("a", "2", "Staging"),
        _version("a", "3", "Staging", keep="true"),
        _version("a", "4", "Staging", age_days=1),
        _version("a", "9", "Staging"),
        _version("a", "10", "Staging"),
        _version("b", "1", "Staging"),
    ]
    assert outdated(versions, NOW - timedelta(days=90)) == [("a", "2"), ("a", "9")]


def test_a_run_behind_a_version_or_above_one_or_kept_is_not_unused() -> None:
    from model_lifecycle.upkeep import unused

    runs = [
        _run("run-a-1", **{"mlflow.parentRunId": "parent"}),
        _run("parent"),
        _run("kept", keep="True"),
        _run("alone"),
    ]
    assert unused(runs, [_version("a", "1", "Archived")]) == ["alone"]


def test_a_model_is_stale_when_its_version_learnt_from_old_readings_or_none_is_live() -> None:
    from model_lifecycle.upkeep import stale

    versions = [
        _version("fresh", "1", "Production", training_end="2026-11-20T00:00:00.000Z"),
        _version("old", "1", "Archived", training_end="2026-11-20T00:00:00.000Z"),
        _version("old", "2", "Production", training_end="2026-09-01T00:00:00.000Z"),
        _version("without", "1", "Staging"),
    ]
    assert stale(versions, NOW, timedelta(days=30)) == [
        {
            "model_name": "old",
            "why": "version 2 learnt from readings until 2026-09-01T00:00:00.000Z",
        },
        {"model_name": "without", "why": "no version is in Production"},
    ]


def test_dead_letters_are_read_from_the_recorders_metrics() -> None:
    from model_lifecycle.upkeep import dead_letters

    metrics = """\
# TYPE faultline_recorder_dead_letters_total counter
faultline_recorder_dead_letters_total{reason="conflict"} 3.0
faultline_recorder_dead_letters_total{reason="invalid"} 1.2e+06
faultline_recorder_dead_letters_total{reason="invalid_timestamp"} 0.0
faultline_recorder_dead_letters_created{reason="conflict"} 1.7e+09
"""
    assert dead_letters(metrics) == {"conflict": 3, "invalid": 1_200_000}
