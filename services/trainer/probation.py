"""Probation: versions that wait for live readings in the shadow, and what becomes of them.

The stream compares them with the champion; here is only decided whether that is enough.
"""

from __future__ import annotations

import threading
from uuid import UUID, uuid5

from faultline.comparisons import Comparison
from faultline.comparisons import Pair as Compared
from faultline.errors import Conflict, NotFound
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.clock import Clock
from faultline.ports.comparisons import ComparisonStore
from faultline.ports.gate_log import GateDecision, GateLog
from faultline.ports.jobs import JobQueue
from faultline.ports.promotions import TurnTaken
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage
from faultline.service import repeating
from faultline.telemetry import logger
from services.trainer.announcer import Announcer
from services.trainer.change import Changes
from services.trainer.gate import Decision, GateLimits, GateReport, Pair, judge_shadow
from services.trainer.metrics import Metrics
from services.trainer.promotion import Promotions
from services.trainer.record import (
    GATE_REASON_TAG,
    GATE_TAG,
    JOB_TAG,
    LONGEST_TAG,
    SHADOW_TAG,
    SUM_TAG,
)
from services.trainer.succession import gathers, is_challenger, succession, successor

log = logger(__name__)

_NAMESPACE = UUID("1f6a7e0e-54f0-4f0e-9d92-0a3b5a1c8e55")
_ACTOR = "gate"


class Probation:
    """Looks again and again whether the challengers have shown enough.

    A challenger is judged in the turn in which Production is changed: of two trainers one judges
    it, and Production stays meanwhile what it was compared with. The decision is kept and told
    before the version's tags have it, and a version that has them is promoted once for its job: cut
    off anywhere, the next look goes on from there.

    Parameters
    ----------
    every_s
        Between two looks.
    """

    def __init__(
        self,
        *,
        registry: ModelRegistry,
        comparisons: ComparisonStore,
        queue: JobQueue,
        gate_log: GateLog,
        changes: Changes,
        promotions: Promotions,
        announcer: Announcer,
        metrics: Metrics,
        clock: Clock,
        limits: GateLimits,
        every_s: float,
    ) -> None:
        self._registry = registry
        self._comparisons = comparisons
        self._queue = queue
        self._gate_log = gate_log
        self._changes = changes
        self._promotions = promotions
        self._announcer = announcer
        self._metrics = metrics
        self._clock = clock
        self._limits = limits
        self._every_s = every_s

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop. A dependency that is down is waited for."""
        repeating(self.look, stop, self._every_s, "challengers cannot be judged")

    def look(self) -> None:
        """Look at every model once.

        Raises
        ------
        Unavailable
            When a dependency does not answer; the next look goes on.
        """
        for name in self._registry.models():
            try:
                versions = self._registry.versions(name)
                for version in versions:
                    if is_challenger(version) and _is_to_be_judged(version):
                        self._judge(version)
                    elif (newer := successor(version, versions)) is not None:
                        self._supersede(version, newer)
            except TurnTaken:
                # Whoever has the turn may change what it is compared with: the next look knows.
                continue
            except (Conflict, NotFound) as error:
                log.warning("challenger cannot be promoted", model=name, why=str(error))

    def _judge(self, challenger: ModelVersion) -> None:
        name = challenger.name
        with self._changes.turn(name):
            version = self._registry.version(name, challenger.version)
            if not (is_challenger(version) and _is_to_be_judged(version)):
                return
            judged = self._judged(version)
            if judged is None:
                return
            self._tell(version, judged)
            if judged.decision is Decision.REFUSED:
                # Once: a person may put it into the shadow again.
                self._registry.set_stage(name, version.version, Stage.ARCHIVED)
            if judged.decision is not Decision.PASSED or not self._is_wanted(judged.job_id):
                return
            self._promotions.promote_in_turn(
                version,
                actor=_ACTOR,
                reason=f"the gate passed: {judged.reason}",
                once_for=judged.job_id,
            )
        self._changes.announce(name)

    def _judged(self, version: ModelVersion) -> GateDecision | None:
        """The one decision on what a job's version did beside the champion; None before it is due.

        Once it is kept it stays, whatever is counted since: unless another version is in Production
        now, beside which it has to show as much.
        """
        champion = self._registry.production(version.name)
        beside = None if champion is None else champion.version
        job_id = version.tags.get(JOB_TAG, "")
        decision_id = f"{job_id or version.run_id}|shadow"
        for known in self._gate_log.list(version.name, version.version):
            if known.decision_id == decision_id and known.report.champion == beside:
                return known
        report = self._report(version, champion)
        if report is None:
            return None
        judged = GateDecision(
            decision_id=decision_id,
            model_name=version.name,
            model_version=version.version,
            job_id=job_id,
            at_ms=self._clock.now_ms(),
            decision=report.decision,
            reason=report.reason,
            report=report,
        )
        self._gate_log.record(judged)
        log.info(
            "challenger judged",
            model=version.name,
            version=version.version,
            decision=judged.decision,
        )
        return judged

    def _report(self, version: ModelVersion, champion: ModelVersion | None) -> GateReport | None:
        if champion is None:
            return GateReport((), notes=("no version is in Production to be compared with",))
        found = self._compared(version, champion)
        readings = 0 if found is None else found.readings
        failures = Pair(0.0, 0.0)
        if found is not None and readings:
            failures = Pair(
                found.challenger.failures / readings, found.champion.failures / readings
            )
        return judge_shadow(
            champion=champion.version, readings=readings, failures=failures, limits=self._limits
        )

    def _compared(self, version: ModelVersion, champion: ModelVersion) -> Comparison | None:
        return self._comparisons.comparison(
            Compared(
                version.name,
                champion.version,
                version.version,
                # A version that another client registered tells no sum.
                champion.tags.get(SUM_TAG, ""),
                version.tags.get(SUM_TAG, ""),
            )
        )

    def _tell(self, version: ModelVersion, judged: GateDecision) -> None:
        """Publish a decision and tag its version, unless the version has it already."""
        tags = {
            GATE_TAG: judged.decision.value,
            GATE_REASON_TAG: judged.reason[:LONGEST_TAG],
            SHADOW_TAG: judged.decision.value,
        }
        if tags.items() <= version.tags.items():
            return
        passed = judged.decision is Decision.PASSED
        event = ModelEvent(
            event_id=str(uuid5(_NAMESPACE, f"{judged.decision_id}|{judged.report.champion}")),
            kind=ModelEventKind.GATE_PASSED if passed else ModelEventKind.GATE_REFUSED,
            model_name=version.name,
            model_version=version.version,
            at_ms=judged.at_ms,
            actor=_ACTOR,
            reason=judged.reason,
        )
        self._announcer.announce([event])
        self._registry.set_tags(version.name, version.version, tags)
        self._metrics.gate.labels(version.name, judged.decision.value).inc()

    def _supersede(self, version: ModelVersion, newer: ModelVersion) -> None:
        """Say of a version that gathered live readings that another has taken its place."""
        champion = self._registry.production(version.name)
        found = None if champion is None else self._compared(version, champion)
        reason = succession(
            version,
            newer,
            readings=0 if found is None else found.readings,
            wanted=self._limits.min_shadow_readings,
        )
        job_id = version.tags.get(JOB_TAG, "")
        self._gate_log.record(
            GateDecision(
                decision_id=f"{job_id or version.run_id}|superseded",
                model_name=version.name,
                model_version=version.version,
                job_id=job_id,
                at_ms=newer.created_at_ms,
                decision=Decision.SUPERSEDED,
                reason=reason,
                report=GateReport((), None if champion is None else champion.version, (reason,)),
            )
        )
        self._registry.set_tags(
            version.name,
            version.version,
            {GATE_TAG: Decision.SUPERSEDED.value, GATE_REASON_TAG: reason},
        )
        self._metrics.gate.labels(version.name, Decision.SUPERSEDED.value).inc()
        log.info("challenger superseded", model=version.name, version=version.version, why=reason)

    def _is_wanted(self, job_id: str) -> bool:
        """Whether who asked for the training wanted it in Production."""
        try:
            return self._queue.get(job_id).request.promotion == "auto"
        except NotFound:
            return False


def _is_to_be_judged(version: ModelVersion) -> bool:
    """Whether it gathers live readings, or has passed and is not in Production yet."""
    return gathers(version) or version.tags.get(SHADOW_TAG) == Decision.PASSED
