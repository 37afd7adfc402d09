"""Training: from the history of a machine type to a registered, judged and promoted version.

It calls ports, and takes care that a job that is worked on twice registers one version, and that
two jobs of the same rows register one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from faultline.detector.fit import Fit, FitConfig, UnfitHistory, fit
from faultline.errors import NotFound, UntrainableHistory
from faultline.events import model_name
from faultline.ports.clock import Clock
from faultline.ports.gate_log import GateLog
from faultline.ports.jobs import JobResult, TrainingJob, TrainingRequest
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage
from faultline.ports.stores import FleetStore
from services.trainer import conclusion, record, semantic_version
from services.trainer.announcer import Announcer
from services.trainer.assessment import Assessor, decision_id, gate_decision
from services.trainer.dataset import Dataset, read_dataset, recall_dataset
from services.trainer.evidence import Draw, Trained
from services.trainer.hyperparameters import fit_config
from services.trainer.metrics import Metrics
from services.trainer.packing import pack
from services.trainer.promotion import Promotions
from services.trainer.repetition import Repetition, made_of, repeated
from services.trainer.steps import Holding, Steps
from services.trainer.succession import is_challenger
from services.trainer.usage import Meter


@dataclass(frozen=True)
class Rules:
    """What holds for every training.

    Attributes
    ----------
    max_history_rows
        Readings held in memory, at most.
    threads
        That the numeric libraries may use.
    retry_s
        Before a step is tried again, while a dependency is down; see `services.trainer.steps`.
    git_commit
        Of the code; None when it is not known.
    snapshot_max_bytes
        Rows that take more are kept by reference to the database.
    """

    max_history_rows: int
    threads: int
    retry_s: float
    git_commit: str | None
    snapshot_max_bytes: int


class _Begun(NamedTuple):
    """What a training has before it fits anything."""

    meter: Meter
    began_at_ms: int
    config: FitConfig
    dataset: Dataset


class Training:
    """Works on one job after another."""

    def __init__(
        self,
        *,
        store: FleetStore,
        registry: ModelRegistry,
        assessor: Assessor,
        gate_log: GateLog,
        promotions: Promotions,
        announcer: Announcer,
        metrics: Metrics,
        clock: Clock,
        rules: Rules,
        draw: Draw,
    ) -> None:
        self._store = store
        self._registry = registry
        self._assessor = assessor
        self._gate_log = gate_log
        self._promotions = promotions
        self._announcer = announcer
        self._metrics = metrics
        self._clock = clock
        self._rules = rules
        self._draw = draw
        self._repetition = Repetition(gate_log, promotions)

    def run(self, job: TrainingJob, holding: Holding) -> JobResult:
        """Do a job, or what is left of it.

        A version is tagged with its job when it is made, and looked up by that tag before: a job
        taken over after that goes on with the version that is there. Where another job has made a
        version of the same, none is made, unless the request says so.

        Raises
        ------
        UntrainableHistory
            When no detector can be fitted to what was asked for. Nothing is registered then.
        """
        name = model_name(job.request.machine_type)
        steps = Steps(holding, self._clock, self._rules.retry_s)
        version = steps.patiently(
            "looking whether this job was begun before", lambda: self._version_of(name, job)
        )
        if version is None:
            begun = self._begin(job, steps)
            versions = steps.patiently(
                "looking for a version of the same rows",
                lambda: () if job.request.repeat else self._versions(name),
            )
            same = repeated(versions, made_of(begun.dataset, begun.config, self._rules.git_commit))
            if same is not None:
                return self._repetition.conclude(job, same, versions, holding, steps)
            version = self._make(name, job, begun, holding, steps)
        self._finish(job, version, steps)
        return conclusion.result(job, version)

    def abandon(self, job: TrainingJob) -> None:
        """End what was begun for a job that comes to nothing.

        Raises
        ------
        Unavailable
            When the registry does not answer.
        """
        self._registry.end_runs(model_name(job.request.machine_type), _of(job))

    def _begin(self, job: TrainingJob, steps: Steps) -> _Begun:
        meter, began_at_ms = Meter(), self._clock.now_ms()
        try:
            config = fit_config(job.request.hyperparameters)
        except ValueError as error:
            raise UntrainableHistory(f"hyperparameters: {error}") from error
        dataset = steps.interruptibly("reading the history", lambda: self._dataset(job.request))
        return _Begun(meter, began_at_ms, config, dataset)

    def _make(
        self, name: str, job: TrainingJob, begun: _Begun, holding: Holding, steps: Steps
    ) -> ModelVersion:
        trained = self._train(begun.dataset, begun.config, steps)
        before = steps.patiently(
            "looking up the newest version's number", lambda: self._newest(name)
        )
        circumstances = record.Circumstances(
            job,
            begun.began_at_ms,
            self._clock.now_ms(),
            self._rules.git_commit,
            None if before is None else before.tags,
            self._rules.threads,
        )
        with TemporaryDirectory(prefix="faultline-training-") as folder:
            holding.tell("writing the bundle, the rows and the plots")
            made = pack(
                Path(folder),
                trained,
                circumstances,
                draw=self._draw,
                meter=begun.meter,
                snapshot_max_bytes=self._rules.snapshot_max_bytes,
            )

            def log_run() -> str:
                # What an attempt before this one began and could not end.
                self._registry.end_runs(made.run.experiment, _of(job))
                return self._registry.log_run(made.run)

            run_id = steps.patiently("logging the run", log_run)

        decision = gate_decision(name, job, trained.gate, circumstances.at_ms)
        steps.patiently("keeping the gate's report", lambda: self._gate_log.record(decision))

        def register() -> ModelVersion:
            holding.confirm()
            # The answer to a first try may have been lost on the way.
            known = self._version_of(name, job)
            if known is not None:
                return known
            stage = conclusion.first_stage(made.version_tags)
            tags = dict(made.version_tags)
            before = self._registry.staging(name)
            if stage is Stage.STAGING and before is not None and is_challenger(before):
                tags[record.REPLACES_TAG] = before.version
            return self._registry.register(name, run_id, tags, made.description, stage)

        version = steps.patiently("registering the version", register)
        self._metrics.silhouette.labels(name).set(trained.fit.silhouette)
        self._metrics.gate.labels(name, version.tags[record.GATE_TAG]).inc()
        return version

    def _train(self, dataset: Dataset, config: FitConfig, steps: Steps) -> Trained:
        doing = (
            f"fitting to {dataset.rows:,} readings of {len(dataset.histories)} machines, "
            f"{len(dataset.sensors)} sensors"
            + (f" ({dataset.left_out_rows:,} readings left out)" if dataset.left_out_rows else "")
        )
        fitted = steps.interruptibly(doing, lambda: self._fit(dataset, config))
        assessed = self._assessor.assess(dataset, config, fitted, steps.interruptibly)
        return Trained(dataset, config, fitted, assessed.gate, assessed.evaluation)

    def _fit(self, dataset: Dataset, config: FitConfig) -> Fit:
        try:
            with (
                threadpool_limits(limits=self._rules.threads),
                self._metrics.fit_seconds.time(),
            ):
                return fit(dataset.sensors, dataset.histories, config)
        except UnfitHistory as error:
            raise UntrainableHistory(str(error)) from error

    def _dataset(self, request: TrainingRequest) -> Dataset:
        most = self._rules.max_history_rows
        if request.dataset_version is None:
            return read_dataset(self._store, request, most)
        return recall_dataset(
            self._registry, self._store, request.machine_type, request.dataset_version, most
        )

    def _finish(self, job: TrainingJob, version: ModelVersion, steps: Steps) -> None:
        """Tell of a version, and promote it, by what it says itself: the same when repeated."""

        def announce() -> None:
            if version.stage is Stage.NONE:
                # Made by a worker that died before it could say so.
                stage = conclusion.first_stage(version.tags)
                self._registry.set_stage(version.name, version.version, stage)
            self._gate_log.name_version(decision_id(job), version.version)
            self._announcer.announce(conclusion.events(job, version))

        steps.patiently("announcing the version", announce)
        if conclusion.is_promoted(job, version):
            steps.patiently(
                "promoting the version",
                lambda: self._promotions.promote(
                    version.name,
                    version.version,
                    actor=conclusion.GATE,
                    reason=conclusion.passed_because(version),
                    once_for=job.job_id,
                ),
            )
            if record.REPLACES_TAG in version.tags:
                steps.patiently("looking after the challenger", lambda: self._give_back(version))

    def _give_back(self, promoted: ModelVersion) -> None:
        """Let the version that was the challenger be it again, since the new one is none."""
        name = promoted.name
        before = promoted.tags[record.REPLACES_TAG]
        if self._registry.staging(name) is not None:
            return
        former = next((one for one in self._versions(name) if one.version == before), None)
        if former is not None and former.stage is Stage.STAGING:
            self._registry.set_stage(name, before, Stage.STAGING)

    def _version_of(self, name: str, job: TrainingJob) -> ModelVersion | None:
        versions = self._versions(name)
        return next((one for one in versions if one.tags.get(record.JOB_TAG) == job.job_id), None)

    def _newest(self, name: str) -> ModelVersion | None:
        """The newest version that we have made, and not another client of the registry."""
        versions = self._versions(name)
        return next((one for one in versions if semantic_version.TAG in one.tags), None)

    def _versions(self, name: str) -> Sequence[ModelVersion]:
        try:
            return self._registry.versions(name)
        except NotFound:
            return ()


def _of(job: TrainingJob) -> Mapping[str, str]:
    """Tags of the runs of a job."""
    return {record.JOB_TAG: job.job_id}
