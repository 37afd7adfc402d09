"""Training: from the history of a machine type to a registered, judged and promoted version.

It calls ports, and takes care that a job that is worked on twice registers one version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar
from uuid import UUID, uuid5

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from faultline.detector.fit import UnfitHistory, fit
from faultline.errors import NotFound, Unavailable, UntrainableHistory
from faultline.events import ModelEvent, ModelEventKind, model_name
from faultline.gate_report import Decision
from faultline.ports.clock import Clock
from faultline.ports.gate_log import GateLog
from faultline.ports.jobs import JobResult, TrainingJob, TrainingRequest
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage
from faultline.ports.stores import FleetStore
from services.trainer import record, semantic_version
from services.trainer.announcer import Announcer
from services.trainer.assessment import Assessor, decision_id, gate_decision
from services.trainer.dataset import Dataset, read_dataset, recall_dataset
from services.trainer.evidence import Draw, Trained
from services.trainer.hyperparameters import fit_config
from services.trainer.metrics import Metrics
from services.trainer.packing import pack
from services.trainer.promotion import Promotions
from services.trainer.usage import Meter

_NAMESPACE = UUID("b3b0a3b6-0f55-4a6d-8f0b-1d0f7d0f2f5e")
_ACTOR = "gate"
_MOST_PAUSES = 32
_T = TypeVar("_T")


class Holding(Protocol):
    """Our hold on the job; see `services.trainer.lease.Lease`. Both end the training by raising."""

    def tell(self, progress: str) -> None:
        """Say what is being done now."""

    def confirm(self) -> None:
        """Make sure that the job is still ours."""


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
        Before a step is tried again, while a dependency is down; from then on twice as long every
        time, up to 32 times.
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

    def run(self, job: TrainingJob, holding: Holding) -> JobResult:
        """Do a job, or what is left of it.

        A version is tagged with its job when it is made, and looked up by that tag before: a job
        taken over after that goes on with the version that is there.

        Raises
        ------
        UntrainableHistory
            When no detector can be fitted to what was asked for. Nothing is registered then.
        """
        name = model_name(job.request.machine_type)
        version = self._patiently(
            holding, "looking for what was done before", lambda: self._version_of(name, job)
        )
        if version is None:
            version = self._make(name, job, holding)
        return self._finish(job, version, holding)

    def _make(self, name: str, job: TrainingJob, holding: Holding) -> ModelVersion:
        meter = Meter()
        trained = self._train(job, holding)
        before = self._patiently(
            holding, "looking for the version before", lambda: self._newest(name)
        )
        circumstances = record.Circumstances(
            job,
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
                meter=meter,
                snapshot_max_bytes=self._rules.snapshot_max_bytes,
            )
            run_id = self._patiently(
                holding, "logging the run", lambda: self._registry.log_run(made.run)
            )

        decision = gate_decision(name, job, trained.gate, circumstances.at_ms)
        self._patiently(
            holding, "keeping the gate's report", lambda: self._gate_log.record(decision)
        )

        def register() -> ModelVersion:
            holding.confirm()
            # The answer to a first try may have been lost on the way.
            return self._version_of(name, job) or self._registry.register(
                name, run_id, made.version_tags, made.description
            )

        version = self._patiently(holding, "registering the version", register)
        self._metrics.silhouette.labels(name).set(trained.fit.silhouette)
        self._metrics.gate.labels(name, version.tags[record.GATE_TAG]).inc()
        return version

    def _train(self, job: TrainingJob, holding: Holding) -> Trained:
        try:
            config = fit_config(job.request.hyperparameters)
        except ValueError as error:
            raise UntrainableHistory(f"hyperparameters: {error}") from error
        dataset = self._patiently(
            holding,
            "reading the history",
            lambda: self._dataset(job.request),
        )
        holding.tell(
            f"fitting to {dataset.rows:,} readings of {len(dataset.histories)} machines, "
            f"{len(dataset.sensors)} sensors"
            + (f" ({dataset.left_out_rows:,} readings left out)" if dataset.left_out_rows else "")
        )
        try:
            with (
                threadpool_limits(limits=self._rules.threads),
                self._metrics.fit_seconds.time(),
            ):
                fitted = fit(dataset.sensors, dataset.histories, config)
        except UnfitHistory as error:
            raise UntrainableHistory(str(error)) from error

        def patiently(doing: str, step: Callable[[], _T]) -> _T:
            return self._patiently(holding, doing, step)

        assessed = self._assessor.assess(dataset, config, fitted, patiently)
        return Trained(dataset, config, fitted, assessed.gate, assessed.evaluation)

    def _dataset(self, request: TrainingRequest) -> Dataset:
        most = self._rules.max_history_rows
        if request.dataset_version is None:
            return read_dataset(self._store, request, most)
        return recall_dataset(
            self._registry, self._store, request.machine_type, request.dataset_version, most
        )

    def _finish(self, job: TrainingJob, version: ModelVersion, holding: Holding) -> JobResult:
        """Decide by what the version itself says, so that it comes out the same when repeated."""
        gate = version.tags.get(record.GATE_TAG)
        passed = gate == record.PASSED
        reason = version.tags.get(record.GATE_REASON_TAG, "")
        told = [self._event(job, version, ModelEventKind.REGISTERED, _registered(version))]
        if gate != Decision.WAITING:
            kind = ModelEventKind.GATE_PASSED if passed else ModelEventKind.GATE_REFUSED
            told.append(self._event(job, version, kind, reason))

        def announce() -> None:
            if version.stage is Stage.NONE:
                # Made by a worker that died before it could say so.
                self._registry.set_stage(version.name, version.version, Stage.STAGING)
            self._gate_log.name_version(decision_id(job), version.version)
            self._announcer.announce(told)

        self._patiently(holding, "announcing the version", announce)
        promoted = passed and job.request.promotion == "auto"
        if promoted:
            self._patiently(
                holding,
                "promoting the version",
                lambda: self._promotions.promote(
                    version.name,
                    version.version,
                    actor=_ACTOR,
                    reason=f"the gate passed: {reason}",
                    once_for=job.job_id,
                ),
            )
            decision = f"the gate passed: {reason}"
        elif passed:
            decision = f"held in Staging, as asked for; the gate passed: {reason}"
        elif gate == Decision.WAITING:
            decision = f"waits in Staging: {reason}"
        else:
            decision = f"the gate refused: {reason}"
        return JobResult(
            model_name=version.name,
            model_version=version.version,
            run_id=version.run_id,
            promoted=promoted,
            decision=decision,
        )

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

    def _event(
        self, job: TrainingJob, version: ModelVersion, kind: ModelEventKind, reason: str
    ) -> ModelEvent:
        return ModelEvent(
            event_id=str(uuid5(_NAMESPACE, f"{job.job_id}|{kind}")),
            kind=kind,
            model_name=version.name,
            model_version=version.version,
            at_ms=version.created_at_ms,
            actor=job.request.requested_by if kind is ModelEventKind.REGISTERED else _ACTOR,
            reason=reason,
        )

    def _patiently(self, holding: Holding, doing: str, step: Callable[[], _T]) -> _T:
        """Do a step until it works, waiting longer and longer while a dependency is down."""
        pauses = 1
        while True:
            holding.tell(doing)
            try:
                return step()
            except Unavailable as error:
                # In short pauses, between which a stopping service is noticed.
                for _ in range(pauses):
                    holding.tell(f"{doing}: waiting ({error})")
                    self._clock.sleep(self._rules.retry_s)
                pauses = min(2 * pauses, _MOST_PAUSES)


def _registered(version: ModelVersion) -> str:
    return (
        f"silhouette {version.tags.get('silhouette', 'unknown')}, "
        f"k {version.tags.get('k', 'unknown')}"
    )
