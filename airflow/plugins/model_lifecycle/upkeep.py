"""What maintenance looks for: versions and runs that are old, models that are stale, dead letters.

Pure: it is given what others answered, and asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from model_lifecycle.registry import tags_of

# The tag that mlflow/scripts/cleanup.sh heeds too; on a version and on a run.
KEEP_TAG = "keep"
_PARENT_TAG = "mlflow.parentRunId"
_DEAD_LETTERS = re.compile(
    r'^faultline_recorder_dead_letters_total\{reason="((?:[^"\\]|\\.)*)"\} (\S+)$', re.MULTILINE
)

Json = Mapping[str, Any]


def kept(one: Json) -> bool:
    """Whether somebody has tagged a version or a run to be kept."""
    return tags_of(one).get(KEEP_TAG, "").lower() == "true"


def outdated(versions: Iterable[Json], before: datetime) -> list[tuple[str, str]]:
    """Versions that have waited in Staging since before a moment, the newest of each model aside.

    Parameters
    ----------
    versions
        As MLflow answers with them.

    Returns
    -------
    list
        Model and number, in that order.
    """
    waiting = [one for one in versions if one.get("current_stage") == "Staging"]
    newest: dict[str, int] = {}
    for one in waiting:
        newest[one["name"]] = max(newest.get(one["name"], 0), int(one["version"]))
    return sorted(
        (one["name"], one["version"])
        for one in waiting
        if int(one["creation_timestamp"]) < before.timestamp() * 1_000
        and int(one["version"]) != newest[one["name"]]
        and not kept(one)
    )


def unused(runs: Iterable[Json], versions: Iterable[Json]) -> list[str]:
    """Ids of the runs that no version comes from, and that nobody wants kept."""
    by_id = {run["info"]["run_id"]: run for run in runs}
    needed = {one.get("run_id") for one in versions}
    # A parent is needed by what was made below it.
    parents = {tags_of(run).get(_PARENT_TAG) for run_id, run in by_id.items() if run_id in needed}
    return [
        run_id
        for run_id, run in by_id.items()
        if run_id not in needed and run_id not in parents and not kept(run)
    ]


def stale(versions: Iterable[Json], now: datetime, after: timedelta) -> list[dict[str, str]]:
    """Models without a version in Production, and those whose version learnt from old readings.

    Parameters
    ----------
    versions
        As MLflow answers with them, of all models.
    """
    live: dict[str, Json | None] = {}
    for one in versions:
        live.setdefault(one["name"], None)
        if one.get("current_stage") == "Production":
            live[one["name"]] = one
    found = []
    for name, version in sorted(live.items()):
        if version is None:
            found.append({"model_name": name, "why": "no version is in Production"})
            continue
        end = tags_of(version).get("training_end")
        if end is not None and now - datetime.fromisoformat(end) > after:
            why = f"version {version['version']} learnt from readings until {end}"
            found.append({"model_name": name, "why": why})
    return found


def dead_letters(metrics: str) -> dict[str, int]:
    """How many messages a recorder has sent to the DLQ since it started, by reason.

    Parameters
    ----------
    metrics
        Its ``/metrics``.
    """
    counted = ((reason, int(float(count))) for reason, count in _DEAD_LETTERS.findall(metrics))
    return {reason: count for reason, count in counted if count}
