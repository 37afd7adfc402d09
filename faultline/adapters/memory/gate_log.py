"""What the gate found, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from faultline.adapters.memory.tables import Tables
from faultline.ports.gate_log import DecisionState, GateDecision


class MemoryGateLog:
    """`GateLog` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def record(self, decision: GateDecision) -> None:
        """Keep a decision; see the port."""
        with self._tables.lock:
            self._tables.gate_decisions[decision.decision_id] = decision

    def name_version(self, decision_id: str, version: str) -> None:
        """Say which version it was about; see the port."""
        with self._tables.lock:
            known = self._tables.gate_decisions
            if decision_id in known:
                known[decision_id] = structs.replace(known[decision_id], model_version=version)

    def advance(self, decision: GateDecision, state: DecisionState) -> None:
        """A decision has come so far; see the port."""
        with self._tables.lock:
            known = self._tables.gate_decisions.get(decision.decision_id)
            if known is not None and known.at_ms == decision.at_ms:
                self._tables.gate_decisions[known.decision_id] = structs.replace(known, state=state)

    def unfinished(self, model_name: str | None = None) -> Sequence[GateDecision]:
        """The decisions that are not told yet; see the port."""
        with self._tables.lock:
            found = [
                one
                for one in self._tables.gate_decisions.values()
                if one.state is not DecisionState.TOLD and model_name in {None, one.model_name}
            ]
        return sorted(found, key=lambda one: (one.at_ms, one.decision_id))

    def list(
        self, model_name: str, version: str | None = None, limit: int = 100
    ) -> Sequence[GateDecision]:
        """The decisions, newest first; see the port."""
        with self._tables.lock:
            found = [
                one
                for one in self._tables.gate_decisions.values()
                if one.model_name == model_name and version in {None, one.model_version}
            ]
        found.sort(key=lambda one: (one.at_ms, one.decision_id), reverse=True)
        return found[:limit]
