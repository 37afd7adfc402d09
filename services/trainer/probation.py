"""Probation: versions that wait for live readings in the shadow, and what becomes of them.

The stream compares them with the champion; here is only decided whether that is enough.
"""

from __future__ import annotations

import threading

from faultline.comparisons import Comparison
from faultline.comparisons import Pair as Compared
from faultline.errors import Conflict, NotFound
from faultline.ports.clock import Clock
from faultline.ports.comparisons import ComparisonStore
from faultline.ports.gate_log import DecisionState, GateDecision, GateLog
from faultline.ports.jobs import JobQueue
from faultline.ports.promotions import Promotion, TurnTaken
from faultline.ports.registry import ModelRegistry, ModelVersion
from faultline.service import repeating
from faultline.telemetry import logger
from services.trainer.change import Changes
from services.trainer.change_events import GATE
from services.trainer.decisions import Decisions
from services.trainer.gate import Decision, GateLimits, GateReport, Pair, judge_shadow
from services.trainer.metrics import Metrics
from services.trainer.promotion import Promotions
from services.trainer.reconciliation import Reconciler
from services.trainer.record import JOB_TAG, SUM_TAG
from services.trainer.succession import (
    gathers,
    is_to_be_judged,
    live_version,
    succession,
    successor,
)

log = logger(__name__)


class Probation:
    """Looks again and again whether the challengers have shown enough.

    A challenger is judged in the turn in which Production is changed: of two trainers one judges
    it, and Production stays meanwhile what it was compared with. The decision is kept before it is
    carried out, and a version that has passed is promoted once for its job: cut off anywhere, the
    next look goes on from there. Events are published after the turn.

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
        reconciler: Reconciler,
        promotions: Promotions,
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
        self._reconciler = reconciler
        self._promotions = promotions
        self._decisions = Decisions(registry, gate_log, changes, metrics)
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
        moved = False
        for name in self._registry.models():
            try:
                if self._is_due(name):
                    with self._changes.turn(name):
                        self._judge(name)
                    moved = True
            except TurnTaken:
                # Whoever has the turn may change what it is compared with: the next look knows.
                continue
            except (Conflict, NotFound) as error:
                log.warning("challenger cannot be promoted", model=name, why=str(error))
        if moved:
            self._changes.announce()

    def _is_due(self, name: str) -> bool:
        """Whether there is anything to do, as far as can be seen without having the turn."""
        versions = self._registry.versions(name)
        champion = live_version(versions)
        return (
            any(self._is_left_to_do(version, champion) for version in versions)
            or any(successor(version, versions) is not None for version in versions)
            or self._decisions.are_cut_off(name)
        )

    def _is_left_to_do(self, version: ModelVersion, champion: ModelVersion | None) -> bool:
        judged = self._judged(version, champion) if is_to_be_judged(version) else None
        return judged is not None and (
            gathers(version)
            or judged.state is DecisionState.DECIDED
            or self._is_wanted(judged.job_id)
        )

    def _judge(self, name: str) -> None:
        """Decide what is due, in the model's turn, beside what other clients have put there."""
        newest = self._reconciler.follow(name)
        self._decisions.complete(name)
        versions = self._registry.versions(name)
        live = None if newest is None else newest.to_version
        champion = next((one for one in versions if one.version == live), None)
        for version in versions:
            if is_to_be_judged(version):
                self._judge_challenger(version, champion, newest)
            elif (newer := successor(version, versions)) is not None:
                self._decide(self._superseded(version, newer, champion), version)

    def _judge_challenger(
        self, version: ModelVersion, champion: ModelVersion | None, newest: Promotion | None
    ) -> None:
        judged = self._judged(version, champion)
        if judged is None:
            return
        self._decide(judged, version)
        if judged.decision is Decision.PASSED and self._is_wanted(judged.job_id):
            self._promotions.promote_in_turn(
                version,
                newest,
                actor=GATE,
                reason=f"the gate passed: {judged.reason}",
                once_for=judged.job_id,
            )

    def _decide(self, decision: GateDecision, version: ModelVersion) -> None:
        if decision not in self._gate_log.list(version.name, version.version):
            self._gate_log.record(decision)
        self._decisions.carry_out(decision, version)

    def _judged(self, version: ModelVersion, champion: ModelVersion | None) -> GateDecision | None:
        """The one decision on what a job's version did beside the champion; None before it is due.

        Once it is kept it stays, whatever is counted since: unless another version is in Production
        now, beside which it has to show as much.
        """
        beside = None if champion is None else champion.version
        job_id = version.tags.get(JOB_TAG, "")
        decision_id = f"{job_id or version.run_id}|shadow"
        for known in self._gate_log.list(version.name, version.version):
            if known.decision_id == decision_id and known.report.champion == beside:
                return known
        report = self._report(version, champion)
        if report is None:
            return None
        return GateDecision(
            decision_id=decision_id,
            model_name=version.name,
            model_version=version.version,
            job_id=job_id,
            at_ms=self._clock.now_ms(),
            decision=report.decision,
            reason=report.reason,
            report=report,
            state=DecisionState.DECIDED,
        )

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

    def _superseded(
        self, version: ModelVersion, newer: ModelVersion, champion: ModelVersion | None
    ) -> GateDecision:
        """What is said of a version that gathered live readings when another took its place."""
        found = None if champion is None else self._compared(version, champion)
        reason = succession(
            version,
            newer,
            readings=0 if found is None else found.readings,
            wanted=self._limits.min_shadow_readings,
        )
        job_id = version.tags.get(JOB_TAG, "")
        return GateDecision(
            decision_id=f"{job_id or version.run_id}|superseded",
            model_name=version.name,
            model_version=version.version,
            job_id=job_id,
            at_ms=newer.created_at_ms,
            decision=Decision.SUPERSEDED,
            reason=reason,
            report=GateReport((), None if champion is None else champion.version, (reason,)),
            state=DecisionState.DECIDED,
        )

    def _is_wanted(self, job_id: str) -> bool:
        """Whether who asked for the training wanted it in Production."""
        try:
            return self._queue.get(job_id).request.promotion == "auto"
        except NotFound:
            return False
