"""The model registry: runs, versions, stages and the alias `production`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Stage(StrEnum):
    """A version's stage; the alias `production` is the truth, the stage mirrors it."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


@dataclass(frozen=True)
class Metric:
    """One value of a metric; `step` orders the values of one key (for candidates: k)."""

    key: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class DatasetInput:
    """The rows that a run learnt from, as the registry lists them among its inputs.

    Attributes
    ----------
    digest
        Names the rows; a registry that has room for a part of it only keeps its begin.
    artifact
        File or folder among the run's artifacts that holds them, or says where they are.
    columns
        Name to type.
    profile
        Figures, by name.
    """

    name: str
    digest: str
    artifact: str
    columns: Mapping[str, str]
    profile: Mapping[str, int | str]


@dataclass(frozen=True)
class ScoringForm:
    """What the registry's own clients have to know to score with a bundle.

    Attributes
    ----------
    sensors
        Names of the columns.
    step_ms
        Usual time between two rows, for rows without a time.
    """

    sensors: tuple[str, ...]
    step_ms: int


@dataclass(frozen=True)
class TrainingRun:
    """What one training leaves behind.

    Attributes
    ----------
    name
        Shown in the registry's list of runs.
    began_at_ms
        Milliseconds since the epoch; None: when it is logged.
    artifacts
        A folder whose content becomes the run's artifacts; the bundle is its subfolder ``model``.
    dataset
        None: none is listed.
    scoring
        None: the registry's own clients cannot score with it.
    """

    experiment: str
    name: str
    params: Mapping[str, str]
    metrics: Sequence[Metric]
    tags: Mapping[str, str]
    artifacts: Path
    dataset: DatasetInput | None = None
    scoring: ScoringForm | None = None
    began_at_ms: int | None = None


@dataclass(frozen=True)
class ModelVersion:
    """A registered version as the registry has it now.

    Attributes
    ----------
    version
        The registry's number, as text.
    aliases
        ``production`` and ``staging`` among them.
    created_at_ms
        Milliseconds since the epoch.
    """

    name: str
    version: str
    stage: Stage
    run_id: str
    created_at_ms: int
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()


class ProductionModels(Protocol):
    """Says which versions judge, and has their bundles; `Unavailable` while it cannot."""

    def models(self) -> Sequence[str]:
        """Names of the registered Faultline models, sorted."""

    def production(self, name: str) -> ModelVersion | None:
        """The version behind the alias `production`; None when there is none or no such model."""

    def staging(self, name: str) -> ModelVersion | None:
        """The version behind the alias `staging`; None when there is none or no such model."""

    def download(self, name: str, version: str, to: Path) -> Path:
        """Fetch the version's bundle into the folder `to`; returns the folder with its files."""


class ModelRegistry(ProductionModels, Protocol):
    """Keeps runs and versions. Every method raises `Unavailable` while the registry is down."""

    def log_run(self, run: TrainingRun) -> str:
        """Log a finished run with its artifacts; returns its id."""

    def end_runs(self, experiment: str, tags: Mapping[str, str]) -> int:
        """End, as killed, the runs with these tags that were begun and never ended.

        Whoever logged them is gone. Returns how many there were.
        """

    def amend_run(self, run_id: str, tags: Mapping[str, str], files: Path) -> None:
        """Add to a finished run, or overwrite, tags and the files of a folder. Raises `NotFound`.

        Safe to repeat.
        """

    def register(
        self,
        name: str,
        run_id: str,
        tags: Mapping[str, str],
        description: str,
        stage: Stage = Stage.STAGING,
    ) -> ModelVersion:
        """Make the run's bundle a new version of the model, at a stage as `set_stage` gives it."""

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """All versions, newest first. Raises `NotFound` for an unknown model."""

    def version(self, name: str, version: str) -> ModelVersion:
        """One version. Raises `NotFound`."""

    def promote(self, name: str, version: str) -> None:
        """Move alias and stages: this version to Production, the former one to Archived.

        Safe to repeat. Raises `NotFound`.
        """

    def set_stage(self, name: str, version: str, stage: Stage) -> ModelVersion:
        """Move a version to Staging (with the alias), Archived or None. Raises `NotFound`.

        The version in Production loses that alias when it is moved.
        """

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite version tags."""

    def describe(self, name: str, version: str, description: str) -> None:
        """Replace a version's description. Raises `NotFound`."""

    def download_artifacts(self, run_id: str, folder: str, to: Path, max_bytes: int) -> Path:
        """Fetch the files of a folder of a run's artifacts into `to`, which it returns.

        Parameters
        ----------
        folder
            Such as ``dataset``; holds no folders itself.
        max_bytes
            Of all files together.

        Raises
        ------
        NotFound
            When there is no such run, or nothing in the folder.
        InvalidBundle
            When it is more, or has names that lead elsewhere. Nothing is fetched then.
        """
