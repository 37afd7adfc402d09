"""Finds what is old and unused, and removes it when told to. Never what a version needs.

Deleting a run is MLflow's own soft deletion, and `mlflow gc` ends it. That command knows nothing of
registered models, and takes every deleted experiment and logged model along; so it is not called
while anything that it would take is behind a version.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.cli import gc
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from place import Place, fail, here, readable
from sqlalchemy import text

DAY_MS = 86_400_000
KEEP_TAG = "keep"
_PARENT_TAG = "mlflow.parentRunId"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class InUse:
    """Ids behind registered versions, whatever the state of those."""

    versions: int
    runs: frozenset[str]
    logged_models: frozenset[str]


@dataclass(frozen=True, slots=True)
class Trash:
    """What `mlflow gc` would take."""

    runs: tuple[str, ...]
    logged_models: tuple[str, ...]
    experiments: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.runs or self.logged_models or self.experiments)


def in_use(client: MlflowClient) -> InUse:
    """Collect the runs and logged models of all versions, and the parents of those runs."""
    runs: set[str] = set()
    models: set[str] = set()
    versions = list(_pages(client.search_model_versions, max_results=_PAGE))
    for version in versions:
        # The source names them too, and is what clients load from.
        for text_ in (version.run_id or "", version.model_id or "", version.source or ""):
            models.update(_MODEL_ID.findall(text_))
            runs.update(_RUN_ID.findall(_MODEL_ID.sub("", text_)))
    for model_id in models:
        source = _found(client.get_logged_model, model_id)
        if source is not None and source.source_run_id:
            runs.add(source.source_run_id)
    waiting = list(runs)
    while waiting:
        run = _found(client.get_run, waiting.pop())
        parent = run.data.tags.get(_PARENT_TAG) if run is not None else None
        if parent and parent not in runs:
            runs.add(parent)
            waiting.append(parent)
    return InUse(len(versions), frozenset(runs), frozenset(models))


def old_runs(client: MlflowClient, used: InUse, before_ms: int) -> list[Run]:
    """Runs that ended before a moment and that nothing needs."""
    experiments = [each.experiment_id for each in _pages(client.search_experiments)]
    return [
        run
        for run in _runs(client, experiments)
        if run.info.end_time is not None
        and run.info.end_time < before_ms
        and run.info.run_id not in used.runs
        and run.data.tags.get(KEEP_TAG, "").lower() != "true"
    ]


def trash(place: Place, before_ms: int) -> Trash:
    """What was deleted before a moment."""
    queries = {
        "runs": "SELECT run_uuid FROM runs"
        " WHERE lifecycle_stage = 'deleted' AND deleted_time < :moment",
        "logged_models": "SELECT model_id FROM logged_models"
        " WHERE lifecycle_stage = 'deleted' AND last_updated_timestamp_ms < :moment",
        "experiments": "SELECT experiment_id FROM experiments"
        " WHERE lifecycle_stage = 'deleted' AND last_update_time < :moment",
    }
    found = {name: _ids(place, query, moment=before_ms) for name, query in queries.items()}
    return Trash(**{name: tuple(sorted(ids)) for name, ids in found.items()})


def endangered(place: Place, used: InUse, bin_: Trash) -> list[str]:
    """What of the trash a version needs, and how to take it out of there."""
    said = [
        f"run {run_id}: mlflow runs restore --run-id {run_id}"
        for run_id in bin_.runs
        if run_id in used.runs
    ]
    said += [f"logged model {id_}" for id_ in bin_.logged_models if id_ in used.logged_models]
    for experiment in bin_.experiments:
        needed = _ids(
            place, "SELECT run_uuid FROM runs WHERE experiment_id = :id", id=int(experiment)
        ) & (used.runs)
        if needed:
            said.append(
                f"experiment {experiment}: mlflow experiments restore --experiment-id {experiment}"
            )
    return said


def orphans(place: Place, client: MlflowClient) -> list[tuple[str, int]]:
    """Artifact folders of runs, logged models and experiments that the database does not know.

    Returns
    -------
    list
        Path below the root, and size in bytes.
    """
    store = get_artifact_repository(place.artifacts)
    # The folders first: what is made meanwhile has its row before its first artifact.
    folders = [
        (experiment.path, [child.path for child in store.list_artifacts(experiment.path)])
        for experiment in store.list_artifacts()
        if experiment.is_dir and experiment.path.isdigit()
    ]
    models = {
        path: [child.path for child in store.list_artifacts(path)]
        for _, children in folders
        for path in children
        if path.endswith("/models")
    }
    experiments = _ids(place, "SELECT experiment_id FROM experiments")
    known = _ids(place, "SELECT run_uuid FROM runs") | _ids(
        place, "SELECT model_id FROM logged_models"
    )
    sources = " ".join(
        version.source or "" for version in _pages(client.search_model_versions, max_results=_PAGE)
    )
    alone: list[str] = []
    for experiment, children in folders:
        candidates = [*children, *models.get(f"{experiment}/models", [])]
        named = [path for path in candidates if _names_one(path) and _last(path) not in known]
        if experiment not in experiments and len(named) == len(children):
            named = [experiment]
        alone += [path for path in named if f"/{path}/" not in f"/{sources}/"]
    return [(path, _size(store, path)) for path in alone]


def _names_one(path: str) -> bool:
    return bool(_RUN_ID.fullmatch(_last(path)) or _MODEL_ID.fullmatch(_last(path)))


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _size(store: ArtifactRepository, path: str) -> int:
    return sum(
        _size(store, each.path) if each.is_dir else each.file_size or 0
        for each in store.list_artifacts(path)
    )


def _ids(place: Place, query: str, **values: int) -> set[str]:
    engine = place.engine()
    with engine.connect() as connection:
        found = {str(row[0]) for row in connection.execute(text(query), values)}
    engine.dispose()
    return found


def _runs(client: MlflowClient, experiments: list[str]) -> Iterator[Run]:
    if experiments:
        yield from _pages(
            client.search_runs, experiments, run_view_type=ViewType.ACTIVE_ONLY, max_results=_PAGE
        )


def _pages(search: Callable[..., Any], *arguments: Any, **named: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(*arguments, **named, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _found(get: Callable[[str], Any], id_: str) -> Any:
    try:
        return get(id_)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _collect_garbage(place: Place, days: float) -> None:
    # In this process, so that the password is on no command line.
    mlflow.set_tracking_uri(place.server)
    gc.main(
        [
            f"--older-than={days * 24 * 60:.0f}m",
            f"--backend-store-uri={place.backend.render_as_string(hide_password=False)}",
            f"--artifacts-destination={place.artifacts}",
        ],
        standalone_mode=False,
    )


def _listed(heading: str, lines: Iterable[str]) -> None:
    each = list(lines)
    print(f"{heading}: {len(each) or 'none'}")
    for line in each:
        print(f"  {line}")


def _told(run: Run) -> str:
    ended = datetime.fromtimestamp(run.info.end_time / 1000, tz=UTC)
    return f"{run.info.run_id}  {ended:%Y-%m-%d}  {run.info.run_name}"


def main() -> None:
    """Show what would go; with --apply it goes."""
    parser = argparse.ArgumentParser(prog="cleanup.sh")
    parser.add_argument("--older-than", type=float, default=90.0, metavar="DAYS")
    parser.add_argument("--trash-days", type=float, default=30.0, metavar="DAYS")
    parser.add_argument("--apply", action="store_true")
    options = parser.parse_args()
    if options.older_than < 0 or options.trash_days < 0:
        fail("days cannot be negative")
    place = here()
    client = MlflowClient(place.server)
    now_ms = time.time_ns() // 1_000_000

    used = in_use(client)
    old = old_runs(client, used, now_ms - int(options.older_than * DAY_MS))
    bin_ = trash(place, now_ms - int(options.trash_days * DAY_MS))
    needed = endangered(place, used, bin_)
    alone = orphans(place, client)

    print(f"In use: {len(used.runs)} runs behind {used.versions} registered versions stay")
    _listed(f"Runs that ended over {options.older_than:g} days ago", map(_told, old))
    _listed(
        f"Deleted over {options.trash_days:g} days ago, for `mlflow gc`",
        [
            *(f"run {id_}" for id_ in bin_.runs),
            *(f"logged model {id_}" for id_ in bin_.logged_models),
            *(f"experiment {id_}" for id_ in bin_.experiments),
        ],
    )
    _listed("Orphaned artifacts", (f"{path}  {readable(size)}" for path, size in alone))
    if needed:
        _listed("Deleted, and needed by a version; `mlflow gc` waits until it is restored", needed)
    if not options.apply:
        print("Nothing was changed; --apply does it")
        return
    for run in old:
        client.delete_run(run.info.run_id)
    store: Any = get_artifact_repository(place.artifacts)
    for path, _ in alone:
        store.delete_artifacts(path)
    if bin_ and not needed:
        _collect_garbage(place, options.trash_days)
    print("Done")
    sys.exit(1 if needed else 0)


if __name__ == "__main__":
    main()
