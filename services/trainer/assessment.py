"""Assessment: all that the gate is told of a fitted version, gathered and judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from msgspec import structs
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from faultline.alarm_rule import alarm_rule, in_words
from faultline.alarms import AlarmPolicy
from faultline.detector import MachineHistory
from faultline.detector.config import FitConfig
from faultline.detector.fit import Fit
from faultline.events import model_name
from faultline.judge import Model
from faultline.ports.gate_log import GateDecision
from faultline.ports.jobs import TrainingJob
from faultline.ports.registry import ModelRegistry
from faultline.ports.stores import FleetStore
from services.trainer.champion import Contender, fetch_champion
from services.trainer.dataset import Dataset
from services.trainer.evaluation import SKIPPED, Evaluated, Evaluation, evaluate_faults
from services.trainer.feedback import known_faults
from services.trainer.gate import Beside, BlockRate, GateLimits, GateReport, judge
from services.trainer.recent import recent_rows
from services.trainer.side_by_side import compare

_T = TypeVar("_T")
_CANDIDATE = "candidate"


class Patience(Protocol):
    """Does a step, with a word of what it is, until it works; see `services.trainer.training`."""

    def __call__(self, doing: str, step: Callable[[], _T]) -> _T:
        """Return what the step returns."""


class Assessed(NamedTuple):
    """What the gate says, and the evaluation by injected faults."""

    gate: GateReport
    evaluation: Evaluation


class Assessor:
    """Measures versions, compares them with the champion, and asks the gate.

    Parameters
    ----------
    policy
        By which the predictor raises alarms.
    threads
        That the numeric libraries may use.
    evaluate
        Whether faults are injected; without, there is no comparison on held-out rows either.
    """

    def __init__(
        self,
        store: FleetStore,
        registry: ModelRegistry,
        limits: GateLimits,
        policy: AlarmPolicy,
        *,
        threads: int,
        evaluate: bool,
    ) -> None:
        self._store = store
        self._registry = registry
        self._limits = limits
        self._policy = policy
        self._rule = alarm_rule(policy)
        self._threads = threads
        self._evaluate = evaluate

    def assess(
        self, dataset: Dataset, config: FitConfig, fitted: Fit, patiently: Patience
    ) -> Assessed:
        """Assess a version that is not registered yet.

        A champion that cannot be loaded is said and stops nothing: no predictor can load it anew
        either, and the checks that need none still hold.
        """
        name = model_name(dataset.machine_type)
        evaluated = (
            patiently("measuring by injected faults", lambda: self._measured(dataset, config))
            if self._evaluate
            else Evaluated(SKIPPED, SKIPPED)
        )
        champion = patiently("fetching the champion", lambda: fetch_champion(self._registry, name))
        candidate = Model(name, _CANDIDATE, fitted.detector)
        beside: Beside | None = None
        notes: tuple[str, ...] = ()
        if isinstance(champion, str):
            notes = (f"not compared: {champion}",)
            champion = None
        elif champion is not None:
            other = champion
            recent = patiently(
                "reading the newest readings", lambda: recent_rows(self._store, dataset)
            )
            beside = patiently(
                f"comparing with version {other.model.version}",
                lambda: self._compared(fitted, evaluated, other, dataset, recent, config=config),
            )
        known = patiently(
            "looking for known faults",
            lambda: known_faults(
                self._store,
                dataset.machine_type,
                candidate,
                None if champion is None else champion.model,
                self._policy,
            ),
        )
        chosen = next((one for one in fitted.candidates if one.k == fitted.k), None)
        report = judge(
            rows=max(len(timeline.timestamps_ms) for timeline in fitted.timelines),
            silhouette=fitted.silhouette if fitted.k > 1 else None,
            stability=None
            if chosen is None or not math.isfinite(chosen.stability)
            else chosen.stability,
            smallest_share=1.0 if chosen is None else chosen.smallest_share,
            blocks=[BlockRate(one.windows, one.alarm_rate) for one in fitted.held_out_blocks],
            limits=self._limits,
            known_faults=known,
            beside=beside,
            notes=notes,
        )
        return Assessed(
            structs.replace(report, alarm_rule=in_words(self._policy)), evaluated.report
        )

    def _measured(self, dataset: Dataset, config: FitConfig) -> Evaluated:
        with threadpool_limits(limits=self._threads):
            return evaluate_faults(dataset, config, self._rule)

    def _compared(
        self,
        fitted: Fit,
        evaluated: Evaluated,
        champion: Contender,
        dataset: Dataset,
        recent: Sequence[MachineHistory],
        *,
        config: FitConfig,
    ) -> Beside:
        with threadpool_limits(limits=self._threads):
            return compare(
                fitted.detector,
                evaluated.stand_in,
                champion,
                dataset,
                recent,
                rule=self._rule,
                seed=config.seed,
            )


def decision_id(job: TrainingJob) -> str:
    """Of what the gate says of a job's version before it has scored anything live."""
    return f"{job.job_id}|history"


def gate_decision(name: str, job: TrainingJob, report: GateReport, at_ms: int) -> GateDecision:
    """A report as the log keeps it, before the version has a number."""
    return GateDecision(
        decision_id=decision_id(job),
        model_name=name,
        model_version=None,
        job_id=job.job_id,
        at_ms=at_ms,
        decision=report.decision,
        reason=report.reason,
        report=report,
    )
