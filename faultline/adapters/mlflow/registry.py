"""The registry port on an MLflow server: runs, versions, aliases and the mirroring stages."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.rest_store import RestStore
from mlflow.tracking import MlflowClient
from mlflow.utils.credentials import get_default_host_creds

from faultline.adapters.mlflow.artifacts import fetch
from faultline.adapters.mlflow.deadline import Deadline
from faultline.adapters.mlflow.failures import is_code, translated
from faultline.adapters.mlflow.runs import MODEL, amend_run, end_runs, log_run
from faultline.adapters.mlflow.scoring_files import BUNDLE
from faultline.errors import Conflict, FaultlineError, InvalidBundle, NotFound
from faultline.ports.registry import ModelVersion, Stage, TrainingRun
from faultline.settings import RegistrySettings

PRODUCTION = "production"
STAGING = "staging"
_STAGE_TAG = "stage"
_READY_S = 60
# MLflow refuses more at once.
_PAGE = 200

_NAME = re.compile(r"faultline-[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_T = TypeVar("_T")


class MlflowRegistry:
    """Runs and versions on an MLflow server. Safe to share between threads.

    MLflow takes its time-outs from the environment only, so making one sets them for the whole
    process: ``MLFLOW_HTTP_REQUEST_TIMEOUT`` from the settings, and few retries unless the
    environment says otherwise, because those who call us wait and try again themselves.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(math.ceil(settings.mlflow_timeout_s))
        for variable, value in (
            ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
            ("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1"),
            # It would write to our standard output.
            ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
            ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
        ):
            os.environ.setdefault(variable, value)
        self._uri = settings.mlflow_tracking_uri
        self._deadline = Deadline(settings.mlflow_download_timeout_s)
        self._client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        # For what changes a version. The client would ask before each alias, stage and tag whether
        # the model is a prompt, and warn at each stage that stages are deprecated, which is known,
        # and why the alias is the truth. What MLflow's plugins implement, too; it has no types.
        credentials = partial(get_default_host_creds, self._uri)
        self._store: Any = RestStore(credentials)  # type: ignore[no-untyped-call]

    def ping(self) -> str | None:
        """None when the server answers, else what is wrong."""
        try:
            with translated("answer"):
                self._client.search_registered_models(max_results=1)
        except FaultlineError as error:
            return str(error)
        return None

    def log_run(self, run: TrainingRun) -> str:
        """Log a finished run with its artifacts; returns its id."""
        return log_run(self._client, run)

    def end_runs(self, experiment: str, tags: Mapping[str, str]) -> int:
        """End, as killed, the runs with these tags that were begun and never ended."""
        return end_runs(self._client, experiment, tags)

    def amend_run(self, run_id: str, tags: Mapping[str, str], files: Path) -> None:
        """Add to a finished run, or overwrite, tags and the files of a folder."""
        amend_run(self._client, run_id, tags, files)

    def register(
        self,
        name: str,
        run_id: str,
        tags: Mapping[str, str],
        description: str,
        stage: Stage = Stage.STAGING,
    ) -> ModelVersion:
        """Make the run's bundle a new version of the model, at a stage as `set_stage` gives it."""
        _require(name)
        with translated(f"register run {run_id} as a version of {name}"):
            run = self._client.get_run(run_id)
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if not is_code(error, "RESOURCE_ALREADY_EXISTS"):
                    raise
            # The artifacts' own address and not runs:/…, which MLflow resolves anew, with more
            # requests, at every download.
            version = self._client.create_model_version(
                name,
                f"{run.info.artifact_uri}/{MODEL}",
                run_id,
                tags=dict(tags),
                description=description,
                await_creation_for=_READY_S,
            ).version
        return self.set_stage(name, str(version), stage)

    def models(self) -> Sequence[str]:
        """Names of the registered Faultline models, sorted."""
        with translated("list the models"):
            found = _all(self._client.search_registered_models, "name LIKE 'faultline-%'")
            return sorted(model.name for model in found if _NAME.fullmatch(model.name))

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """All versions, newest first. Raises `NotFound` for an unknown model."""
        _require(name)
        with translated(f"list the versions of {name}"):
            model = self._client.get_registered_model(name)
            found = _all(self._client.search_model_versions, f"name = '{name}'")
        # A search leaves the aliases out.
        aliases: dict[str, set[str]] = {}
        for alias, number in model.aliases.items():
            aliases.setdefault(str(number), set()).add(alias)
        versions = [_ours(one, aliases.get(str(one.version), ())) for one in found]
        return sorted(versions, key=lambda one: int(one.version), reverse=True)

    def version(self, name: str, version: str) -> ModelVersion:
        """One version. Raises `NotFound`."""
        _require(name, version)
        with translated(f"find version {version} of {name}"):
            found = self._client.get_model_version(name, version)
        return _ours(found, found.aliases)

    def production(self, name: str) -> ModelVersion | None:
        """The version behind the alias `production`; None when there is none or no such model."""
        return self._holder(name, PRODUCTION)

    def staging(self, name: str) -> ModelVersion | None:
        """The version behind the alias `staging`; None when there is none or no such model."""
        return self._holder(name, STAGING)

    def _holder(self, name: str, alias: str) -> ModelVersion | None:
        _require(name)
        with translated(f"find the version of {name} with the alias {alias}"):
            try:
                found = self._client.get_model_version_by_alias(name, alias)
            except MlflowException as error:
                # The first is what MLflow says of an alias that is not there.
                if is_code(error, "INVALID_PARAMETER_VALUE") or is_code(
                    error, "RESOURCE_DOES_NOT_EXIST"
                ):
                    return None
                raise
        return _ours(found, found.aliases)

    def promote(self, name: str, version: str) -> None:
        """Move alias and stages: this version to Production, the former one to Archived.

        The alias first, as it is the truth; if the rest is cut off, a repetition completes it.
        """
        target = self.version(name, version)
        with translated(f"promote version {version} of {name}"):
            model = self._client.get_registered_model(name)
            # The newest of each stage.
            others = [
                _ours(one, ())
                for one in model.latest_versions
                if str(one.version) != version and one.current_stage == Stage.PRODUCTION
            ]
            self._store.set_registered_model_alias(name, PRODUCTION, version)
            self._store.transition_model_version_stage(
                name, version, str(Stage.PRODUCTION), archive_existing_versions=True
            )
            self._note_stage(target, Stage.PRODUCTION)
            for other in others:
                self._note_stage(other, Stage.ARCHIVED)
            if STAGING in target.aliases:
                self._store.delete_registered_model_alias(name, STAGING)

    def set_stage(self, name: str, version: str, stage: Stage) -> ModelVersion:
        """Move a version to Staging (with the alias), Archived or None. Raises `NotFound`."""
        if stage is Stage.PRODUCTION:
            raise ValueError("a version gets into Production by promote")
        present = self.version(name, version)
        with translated(f"move version {version} of {name} to {stage}"):
            if PRODUCTION in present.aliases:
                self._store.delete_registered_model_alias(name, PRODUCTION)
            if stage is Stage.STAGING:
                self._store.set_registered_model_alias(name, STAGING, version)
            elif STAGING in present.aliases:
                self._store.delete_registered_model_alias(name, STAGING)
            if present.stage is not stage:
                self._store.transition_model_version_stage(
                    name, version, str(stage), archive_existing_versions=False
                )
            self._note_stage(present, stage)
        return self.version(name, version)

    def _note_stage(self, version: ModelVersion, stage: Stage) -> None:
        """Let the tag say which stage was given by us."""
        if version.tags.get(_STAGE_TAG) != stage:
            self.set_tags(version.name, version.version, {_STAGE_TAG: str(stage)})

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite version tags."""
        _require(name, version)
        with translated(f"tag version {version} of {name}"):
            for item in tags.items():
                tag = ModelVersionTag(*item)  # type: ignore[no-untyped-call]  # as MLflow has it
                self._store.set_model_version_tag(name, version, tag)

    def describe(self, name: str, version: str, description: str) -> None:
        """Replace a version's description."""
        _require(name, version)
        with translated(f"describe version {version} of {name}"):
            self._store.update_model_version(name, version, description)

    def download(self, name: str, version: str, to: Path) -> Path:
        """Fetch the version's bundle into the folder `to`; returns the folder with its files.

        Raises
        ------
        InvalidBundle
            When what is registered cannot be a bundle, by its names or its size.
        """
        _require(name, version)
        try:
            with translated(f"download version {version} of {name}"):
                model = self._client.get_model_version_download_uri(name, version)
                fetch(f"{model}/{BUNDLE}", self._uri, to, deadline=self._deadline)
        except Conflict as error:
            raise InvalidBundle(str(error)) from error
        return to

    def download_artifacts(self, run_id: str, folder: str, to: Path, max_bytes: int) -> Path:
        """Fetch the files of a folder of a run's artifacts into `to`, which it returns.

        Raises
        ------
        InvalidBundle
            When it is more than `max_bytes`, or has names that lead elsewhere.
        """
        try:
            with translated(f"download {folder} of run {run_id}"):
                run = self._client.get_run(run_id)
                source = f"{run.info.artifact_uri}/{folder}"
                fetch(source, self._uri, to, max_bytes, deadline=self._deadline)
        except Conflict as error:
            raise InvalidBundle(str(error)) from error
        return to


def _all(search: Callable[..., PagedList[_T]], condition: str) -> Sequence[_T]:
    found: list[_T] = []
    token: str | None = None
    while True:
        page = search(filter_string=condition, max_results=_PAGE, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def _require(name: str, version: str = "1") -> None:
    """No other names are ours, and MLflow's filters would have to quote them."""
    if _NAME.fullmatch(name) is None:
        raise NotFound(f"{name!r} is no Faultline model; they are named faultline-<machine type>")
    if _NUMBER.fullmatch(version) is None:
        raise NotFound(f"{name} has no version {version!r}; versions are numbers")


def _ours(version: MlflowVersion, aliases: Sequence[str] | set[str]) -> ModelVersion:
    return ModelVersion(
        name=version.name,
        version=str(version.version),
        stage=Stage(version.current_stage or "None"),
        run_id=version.run_id or "",
        created_at_ms=int(version.creation_timestamp),
        description=version.description or "",
        tags=dict(version.tags),
        aliases=frozenset(aliases),
    )
