"""Lets the registry have what the gate has decided of versions that are registered.

It knows how a decision is carried out, and not what is decided, or when.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from faultline.errors import Conflict, NotFound
from faultline.gate_report import Decision
from faultline.ports.gate_log import DecisionState, GateDecision, GateLog
from faultline.ports.registry import ModelRegistry, ModelVersion
from faultline.telemetry import logger
from services.trainer.change import Changes
from services.trainer.change_events import GATE
from services.trainer.description import with_decision
from services.trainer.gate_page import write_gate
from services.trainer.metrics import Metrics
from services.trainer.record import (
    GATE_REASON_TAG,
    GATE_TAG,
    LONGEST_NOTE,
    LONGEST_TAG,
    NOTE_TAG,
    SHADOW_TAG,
)
from services.trainer.succession import is_challenger, is_live

log = logger(__name__)

_REPORT = "gate_shadow"


class Decisions:
    """Carries decisions out, each in its model's turn and in steps that can be repeated.

    1. A row in the log says what is decided.
    2. The registry: a challenger that is refused is archived, once, as a person may put it into the
       shadow again; the run gets the report, the version's description the decision; last the tags,
       by which it is seen that the registry has it all.
    3. The row says that the registry has it. Its event is published after the turn, see `Outbox`.
    """

    def __init__(
        self, registry: ModelRegistry, gate_log: GateLog, changes: Changes, metrics: Metrics
    ) -> None:
        self._registry = registry
        self._gate_log = gate_log
        self._changes = changes
        self._metrics = metrics

    def are_cut_off(self, name: str) -> bool:
        """Whether decisions on a model are not carried out yet."""
        return any(one.state is DecisionState.DECIDED for one in self._gate_log.unfinished(name))

    def complete(self, name: str) -> None:
        """Carry out what somebody who is gone has decided, in the model's turn.

        Of a challenger it is decided again, beside the version that is in Production now.
        """
        for decided in self._gate_log.unfinished(name):
            if decided.state is not DecisionState.DECIDED:
                continue
            version = self._version(decided)
            if (
                version is None
                or is_live(version)
                or (decided.decision is Decision.SUPERSEDED and is_challenger(version))
            ):
                # It stays what was decided then, and says nothing of what the version is now.
                self._gate_log.advance(decided, DecisionState.APPLIED)
            elif not is_challenger(version):
                self.carry_out(decided, version)

    def carry_out(self, decided: GateDecision, version: ModelVersion) -> None:
        """Let the registry have a decision, unless it has it already; in the model's turn."""
        tags = _tags(decided)
        if tags.items() <= version.tags.items():
            if decided.state is DecisionState.DECIDED:
                self._gate_log.advance(decided, DecisionState.APPLIED)
            return
        if decided.decision is Decision.REFUSED and is_challenger(version):
            self._changes.archive(version.name, version.version, actor=GATE, reason=decided.reason)
        self._describe(decided, version)
        self._registry.set_tags(version.name, version.version, tags)
        self._gate_log.advance(decided, DecisionState.APPLIED)
        self._metrics.gate.labels(version.name, decided.decision.value).inc()
        log.info(
            "challenger judged",
            model=version.name,
            version=version.version,
            decision=decided.decision,
            why=decided.reason,
        )

    def _describe(self, decided: GateDecision, version: ModelVersion) -> None:
        """Let the version and its run say in words what was decided."""
        before = self._gate_log.list(version.name, version.version)
        history = next((one.report for one in before if one.decision is Decision.WAITING), None)
        told = with_decision(version.description, decided, history)[:LONGEST_NOTE]
        self._registry.describe(version.name, version.version, told)
        try:
            with TemporaryDirectory(prefix="faultline-gate-") as folder:
                write_gate(Path(folder), _REPORT, decided.report, decided.decision)
                tags = {GATE_TAG: decided.decision.value, NOTE_TAG: told}
                self._registry.amend_run(version.run_id, tags, Path(folder))
        except (NotFound, Conflict) as error:
            # A run may be deleted while its version stays.
            log.warning(
                "the run cannot say what the gate decided", model=version.name, why=str(error)
            )

    def _version(self, decided: GateDecision) -> ModelVersion | None:
        assert decided.model_version is not None
        try:
            return self._registry.version(decided.model_name, decided.model_version)
        except NotFound:
            return None


def _tags(decided: GateDecision) -> dict[str, str]:
    tags = {
        GATE_TAG: decided.decision.value,
        GATE_REASON_TAG: decided.reason[:LONGEST_TAG],
    }
    if decided.decision is not Decision.SUPERSEDED:
        tags[SHADOW_TAG] = decided.decision.value
    return tags
