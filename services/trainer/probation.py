"""Probation: versions that wait for live readings in the shadow, and what becomes of them.

The stream compares them with the champion; here is only decided whether that is enough.
"""

from __future__ import annotations

import threading
from uuid import UUID, uuid5

from faultline.errors import Conflict, NotFound
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.clock import Clock
from faultline.ports.comparisons import ComparisonStore
from faultline.ports.gate_log import GateDecision, GateLog
from faultline.ports.jobs import JobQueue
from faultline.ports.registry import ModelRegistry, ModelVersion
from faultline.service import repeating
from faultline.telemetry import logger
from services.trainer.announcer import Announcer
from services.trainer.gate import Decision, GateLimits, GateReport, Pair, judge_shadow
from services.trainer.promotion import Promotions
from services.trainer.record import GATE_REASON_TAG, GATE_TAG, JOB_TAG, LONGEST_TAG

log = logger(__name__)

SHADOW_TAG = "shadow"
"""What the gate says of a version's live readings in the shadow, once it has said so."""
_NAMESPACE = UUID("1f6a7e0e-54f0-4f0e-9d92-0a3b5a1c8e55")
_ACTOR = "gate"
_STAGING = "staging"
_PRODUCTION = "production"


class Probation:
    """Looks again and again whether the challengers have shown enough.

    The decision is kept and told before the version's tags have it, and a version that has them is
    promoted once for its job: cut off anywhere, the next look goes on from there.

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
        promotions: Promotions,
        announcer: Announcer,
        clock: Clock,
        limits: GateLimits,
        every_s: float,
    ) -> None:
        self._registry = registry
        self._comparisons = comparisons
        self._queue = queue
        self._gate_log = gate_log
        self._promotions = promotions
        self._announcer = announcer
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
            for version in self._registry.versions(name):
                if _STAGING in version.aliases and _PRODUCTION not in version.aliases:
                    try:
                        self._consider(version)
                    except (Conflict, NotFound) as error:
                        log.warning(
                            "challenger cannot be promoted",
                            model=name,
                            version=version.version,
                            why=str(error),
                        )

    def _consider(self, version: ModelVersion) -> None:
        reason = version.tags.get(GATE_REASON_TAG, "")
        if version.tags.get(GATE_TAG) == Decision.WAITING:
            report = self._report(version)
            if report is None:
                return
            reason = self._decide(version, report)
            passed = report.passed
        else:
            passed = version.tags.get(SHADOW_TAG) == Decision.PASSED
        job_id = version.tags.get(JOB_TAG, "")
        if passed and self._is_wanted(job_id):
            self._promotions.promote(
                version.name,
                version.version,
                actor=_ACTOR,
                reason=f"the gate passed: {reason}",
                once_for=job_id,
            )

    def _report(self, version: ModelVersion) -> GateReport | None:
        champion = self._registry.production(version.name)
        if champion is None:
            return GateReport((), notes=("no version is in Production to be compared with",))
        found = self._comparisons.comparison(version.name, champion.version, version.version)
        readings = 0 if found is None else found.readings
        failures = Pair(0.0, 0.0)
        if found is not None and readings:
            failures = Pair(
                found.challenger.failures / readings, found.champion.failures / readings
            )
        return judge_shadow(
            champion=champion.version, readings=readings, failures=failures, limits=self._limits
        )

    def _decide(self, version: ModelVersion, report: GateReport) -> str:
        """Keep, tell and tag what the shadow has come to; returns the reason."""
        decision, at_ms = report.decision, self._clock.now_ms()
        job_id = version.tags.get(JOB_TAG, "")
        decision_id = f"{job_id or version.run_id}|shadow"
        self._gate_log.record(
            GateDecision(
                decision_id=decision_id,
                model_name=version.name,
                model_version=version.version,
                job_id=job_id,
                at_ms=at_ms,
                decision=decision,
                reason=report.reason,
                report=report,
            )
        )
        passed = decision is Decision.PASSED
        event = ModelEvent(
            event_id=str(uuid5(_NAMESPACE, decision_id)),
            kind=ModelEventKind.GATE_PASSED if passed else ModelEventKind.GATE_REFUSED,
            model_name=version.name,
            model_version=version.version,
            at_ms=at_ms,
            actor=_ACTOR,
            reason=report.reason,
        )
        self._announcer.announce([event])
        tags = {GATE_TAG: decision, GATE_REASON_TAG: report.reason, SHADOW_TAG: decision}
        self._registry.set_tags(
            version.name,
            version.version,
            {name: text[:LONGEST_TAG] for name, text in tags.items()},
        )
        log.info(
            "challenger judged", model=version.name, version=version.version, decision=decision
        )
        return report.reason

    def _is_wanted(self, job_id: str) -> bool:
        """Whether who asked for the training wanted it in Production."""
        try:
            return self._queue.get(job_id).request.promotion == "auto"
        except NotFound:
            return False
