"""The registry port in memory: what MLflow would keep, for tests and for trying things out."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from faultline.errors import InvalidBundle, NotFound
from faultline.ports.clock import Clock
from faultline.ports.registry import ModelVersion, Stage, TrainingRun

PRODUCTION = "production"
STAGING = "staging"
_STAGE_TAG = "stage"
_BUNDLE = "model"


@dataclass(frozen=True)
class LoggedRun:
    """A run as it was logged, with its artifacts by path."""

    run: TrainingRun
    files: Mapping[str, bytes]


class MemoryRegistry:
    """Runs and versions of one process. Safe to share between threads.

    Attributes
    ----------
    runs
        What was logged, by run id: for looking at in tests.
    """

    def __init__(self, clock: Clock) -> None:
        self.runs: dict[str, LoggedRun] = {}
        self._clock = clock
        self._versions: dict[str, dict[str, ModelVersion]] = {}
        self._lock = threading.RLock()

    def ping(self) -> str | None:
        """None: it always answers."""
        return None

    def log_run(self, run: TrainingRun) -> str:
        """Log a finished run with its artifacts; returns its id."""
        run_id = uuid4().hex
        with self._lock:
            self.runs[run_id] = LoggedRun(run, _files(run.artifacts))
        return run_id

    # Here a run is begun and ended in one step: there is nothing to look for.
    def end_runs(self, experiment: str, tags: Mapping[str, str]) -> int:  # noqa: ARG002
        """0: none is ever cut off."""
        return 0

    def amend_run(self, run_id: str, tags: Mapping[str, str], files: Path) -> None:
        """Add to a finished run, or overwrite, tags and the files of a folder."""
        with self._lock:
            if run_id not in self.runs:
                raise NotFound(f"there is no run {run_id}")
            logged = self.runs[run_id]
            self.runs[run_id] = LoggedRun(
                replace(logged.run, tags={**logged.run.tags, **tags}),
                {**logged.files, **_files(files)},
            )

    def register(
        self,
        name: str,
        run_id: str,
        tags: Mapping[str, str],
        description: str,
        stage: Stage = Stage.STAGING,
    ) -> ModelVersion:
        """Make the run's bundle a new version of the model, at a stage as `set_stage` gives it."""
        with self._lock:
            if run_id not in self.runs:
                raise NotFound(f"there is no run {run_id}")
            versions = self._versions.setdefault(name, {})
            version = str(len(versions) + 1)
            versions[version] = ModelVersion(
                name=name,
                version=version,
                stage=Stage.NONE,
                run_id=run_id,
                created_at_ms=self._clock.now_ms(),
                description=description,
                tags=dict(tags),
            )
            return self.set_stage(name, version, stage)

    def models(self) -> Sequence[str]:
        """Names of the registered Faultline models, sorted."""
        with self._lock:
            return sorted(self._versions)

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """All versions, newest first. Raises `NotFound` for an unknown model."""
        with self._lock:
            if name not in self._versions:
                raise NotFound(f"there is no model {name!r}")
            versions = self._versions[name].values()
            return sorted(versions, key=lambda one: int(one.version), reverse=True)

    def version(self, name: str, version: str) -> ModelVersion:
        """One version. Raises `NotFound`."""
        with self._lock:
            found = self._versions.get(name, {}).get(version)
        if found is None:
            raise NotFound(f"there is no version {version!r} of {name!r}")
        return found

    def production(self, name: str) -> ModelVersion | None:
        """The version behind the alias `production`; None when there is none or no such model."""
        return self._holder(name, PRODUCTION)

    def staging(self, name: str) -> ModelVersion | None:
        """The version behind the alias `staging`; None when there is none or no such model."""
        return self._holder(name, STAGING)

    def promote(self, name: str, version: str) -> None:
        """Move alias and stages: this version to Production, the former one to Archived."""
        with self._lock:
            self.version(name, version)
            self._move_alias(name, PRODUCTION, version)
            for other in self.versions(name):
                if other.version != version and other.stage is Stage.PRODUCTION:
                    self._mirror(other, Stage.ARCHIVED)
            target = self.version(name, version)
            self._mirror(target, Stage.PRODUCTION)
            if STAGING in target.aliases:
                self._move_alias(name, STAGING, None)

    def set_stage(self, name: str, version: str, stage: Stage) -> ModelVersion:
        """Move a version to Staging (with the alias), Archived or None. Raises `NotFound`."""
        if stage is Stage.PRODUCTION:
            raise ValueError("a version gets into Production by promote")
        with self._lock:
            present = self.version(name, version)
            if PRODUCTION in present.aliases:
                self._move_alias(name, PRODUCTION, None)
            if stage is Stage.STAGING:
                self._move_alias(name, STAGING, version)
            elif STAGING in present.aliases:
                self._move_alias(name, STAGING, None)
            self._mirror(self.version(name, version), stage)
            return self.version(name, version)

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite version tags."""
        with self._lock:
            present = self.version(name, version)
            self._keep(replace(present, tags={**present.tags, **tags}))

    def describe(self, name: str, version: str, description: str) -> None:
        """Replace a version's description."""
        with self._lock:
            self._keep(replace(self.version(name, version), description=description))

    def download(self, name: str, version: str, to: Path) -> Path:
        """Fetch the version's bundle into the folder `to`; returns the folder with its files."""
        return self._fetch(self.version(name, version).run_id, _BUNDLE, to)

    def download_artifacts(self, run_id: str, folder: str, to: Path, max_bytes: int) -> Path:
        """Fetch the files of a folder of a run's artifacts into `to`, which it returns."""
        return self._fetch(run_id, folder, to, max_bytes)

    def _fetch(self, run_id: str, folder: str, to: Path, max_bytes: int | None = None) -> Path:
        if run_id not in self.runs:
            raise NotFound(f"there is no run {run_id}")
        files = {
            path.removeprefix(f"{folder}/"): content
            for path, content in self.runs[run_id].files.items()
            if path.startswith(f"{folder}/")
        }
        if not files:
            raise NotFound(f"{folder} of run {run_id}: holds no files")
        total = sum(map(len, files.values()))
        if max_bytes is not None and total > max_bytes:
            raise InvalidBundle(
                f"{folder} of run {run_id}: has {total} bytes, at most {max_bytes} are fetched"
            )
        to.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            (to / path).write_bytes(content)
        return to

    def _holder(self, name: str, alias: str) -> ModelVersion | None:
        with self._lock:
            versions = self._versions.get(name, {}).values()
            return next((one for one in versions if alias in one.aliases), None)

    def _move_alias(self, name: str, alias: str, version: str | None) -> None:
        for one in list(self._versions[name].values()):
            aliases = one.aliases - {alias}
            if one.version == version:
                aliases |= {alias}
            self._keep(replace(one, aliases=aliases))

    def _mirror(self, version: ModelVersion, stage: Stage) -> None:
        present = self.version(version.name, version.version)
        tags = {**present.tags, _STAGE_TAG: str(stage)}
        self._keep(replace(present, stage=stage, tags=tags))

    def _keep(self, version: ModelVersion) -> None:
        self._versions[version.name][version.version] = version


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
