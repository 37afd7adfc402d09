"""Training: from the history of a machine type to a registered, judged and promoted version.

It calls ports, and takes care that a job that is worked on twice registers one version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar
from uuid import UUID, uuid5

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from faultline.detector.config import FitConfig
from faultline.detector.fit import UnfitHistory, fit
from faultline.errors import NotFound, Unavailable, UntrainableHistory
from faultline.events import ModelEvent, ModelEventKind, model_name
from faultline.ports.clock import Clock
from faultline.ports.jobs import JobResult, TrainingJob
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage, TrainingRun
from faultline.ports.stores import FleetStore
from services.trainer import record
from services.trainer.announcer import Announcer
from services.trainer.dataset import read_dataset
from services.trainer.evaluation import SKIPPED, Evaluation, evaluate_faults
from services.trainer.evidence import Draw, Trained, write_evidence
from services.trainer.gate import BlockRate, GateLimits, judge
from services.trainer.hyperparameters import fit_config
from services.trainer.metrics import Metrics
from services.trainer.promotion import Promotions

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
    limits
        What the gate asks for.
    max_history_rows
        Readings held in memory, at most.
    threads
        That the numeric libraries may use.
    retry_s
        Before a step is tried again, while a dependency is down; from then on twice as long every
        time, up to 32 times.
    git_commit
        Of the code; None when it is not known.
    evaluate_faults
        Whether every version is measured by injected faults, which takes a second fit.
    """

    limits: GateLimits
    max_history_rows: int
    threads: int
    retry_s: float
    git_commit: str | None
    evaluate_faults: bool


class Training:
    """Works on one job after another."""

    def __init__(
        self,
        *,
        store: FleetStore,
        registry: ModelRegistry,
        promotions: Promotions,
        announcer: Announcer,
        metrics: Metrics,
        clock: Clock,
        rules: Rules,
        draw: Draw,
    ) -> None:
        self._store = store
        self._registry = registry
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
        trained, config = self._train(job, holding)
        circumstances = record.Circumstances(job, self._clock.now_ms(), self._rules.git_commit)
        with TemporaryDirectory(prefix="faultline-training-") as folder:
            holding.tell("writing the bundle and the plots")
            lineage = record.lineage(trained, circumstances)
            bundle_sha256 = write_evidence(
                Path(folder),
                trained,
                self._draw,
                lineage=lineage,
                created_ms=circumstances.at_ms,
            )
            run = TrainingRun(
                experiment=name,
                name=record.run_name(circumstances),
                params=record.params(trained, config),
                metrics=record.metrics(trained),
                tags={
                    **lineage,
                    record.GATE_TAG: record.PASSED if trained.gate.passed else record.REFUSED,
                    record.SUM_TAG: bundle_sha256,
                },
                artifacts=Path(folder),
            )
            run_id = self._patiently(
                holding, "logging the run", lambda: self._registry.log_run(run)
            )

        def register() -> ModelVersion:
            holding.confirm()
            # The answer to a first try may have been lost on the way.
            return self._version_of(name, job) or self._registry.register(
                name,
                run_id,
                record.version_tags(trained, circumstances, bundle_sha256),
                record.description(trained),
            )

        version = self._patiently(holding, "registering the version", register)
        self._metrics.silhouette.labels(name).set(trained.fit.silhouette)
        self._metrics.gate.labels(name, version.tags[record.GATE_TAG]).inc()
        return version

    def _train(self, job: TrainingJob, holding: Holding) -> tuple[Trained, FitConfig]:
        try:
            config = fit_config(job.request.hyperparameters)
        except ValueError as error:
            raise UntrainableHistory(f"hyperparameters: {error}") from error
        dataset = self._patiently(
            holding,
            "reading the history",
            lambda: read_dataset(self._store, job.request, self._rules.max_history_rows),
        )
        holding.tell(
            f"fitting to {dataset.rows:,} readings of {len(dataset.histories)} machines, "
            f"{len(dataset.sensors)} sensors"
            + (
                f" ({dataset.faulty_rows:,} readings labelled as faults left out)"
                if dataset.faulty_rows
                else ""
            )
        )
        try:
            with (
                threadpool_limits(limits=self._rules.threads),
                self._metrics.fit_seconds.time(),
            ):
                fitted = fit(dataset.sensors, dataset.histories, config)
        except UnfitHistory as error:
            raise UntrainableHistory(str(error)) from error
        gate = judge(
            rows=fitted.used_rows,
            silhouette=fitted.silhouette if fitted.k > 1 else None,
            blocks=[BlockRate(one.windows, one.alarm_rate) for one in fitted.held_out_blocks],
            limits=self._rules.limits,
        )
        evaluation: Evaluation = SKIPPED
        if self._rules.evaluate_faults:
            holding.tell("measuring by injected faults")
            with threadpool_limits(limits=self._rules.threads):
                evaluation = evaluate_faults(dataset, config)
        return Trained(dataset, fitted, gate, evaluation), config

    def _finish(self, job: TrainingJob, version: ModelVersion, holding: Holding) -> JobResult:
        """Decide by what the version itself says, so that it comes out the same when repeated."""
        passed = version.tags.get(record.GATE_TAG) == record.PASSED
        reason = version.tags.get(record.GATE_REASON_TAG, "")
        told = [self._event(job, version, ModelEventKind.REGISTERED, _registered(version))]
        if not passed:
            told.append(self._event(job, version, ModelEventKind.GATE_REFUSED, reason))

        def announce() -> None:
            if version.stage is Stage.NONE:
                # Made by a worker that died before it could say so.
                self._registry.set_stage(version.name, version.version, Stage.STAGING)
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
        try:
            versions = self._registry.versions(name)
        except NotFound:
            return None
        return next((one for one in versions if one.tags.get(record.JOB_TAG) == job.job_id), None)

    def _event(
        self, job: TrainingJob, version: ModelVersion, kind: ModelEventKind, reason: str
    ) -> ModelEvent:
        return ModelEvent(
            event_id=str(uuid5(_NAMESPACE, f"{job.job_id}|{kind}")),
            kind=kind,
            model_name=version.name,
            model_version=version.version,
            at_ms=version.created_at_ms,
            actor=_ACTOR if kind is ModelEventKind.GATE_REFUSED else job.request.requested_by,
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
