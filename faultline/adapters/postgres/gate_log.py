"""Keeps what the gate found of every version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select, update
from sqlalchemy.dialects.postgresql import insert

from faultline.adapters.postgres.schema import gate_decisions
from faultline.gate_report import Decision
from faultline.ports.gate_log import DecisionState, GateDecision

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_columns = gate_decisions.c


class PostgresGateLog:
    """`GateLog` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def record(self, decision: GateDecision) -> None:
        """Keep a decision; see the port."""
        row = {
            "decision_id": decision.decision_id,
            "model_name": decision.model_name,
            "model_version": decision.model_version,
            "job_id": decision.job_id,
            "at": decision.at_ms,
            "decision": decision.decision.value,
            "reason": decision.reason,
            "report": decision.report,
            "state": decision.state.value,
        }
        with self._database.transaction() as connection:
            connection.execute(
                insert(gate_decisions)
                .values(row)
                .on_conflict_do_update(index_elements=["decision_id"], set_=row)
            )

    def name_version(self, decision_id: str, version: str) -> None:
        """Say which version it was about; see the port."""
        with self._database.transaction() as connection:
            connection.execute(
                update(gate_decisions)
                .where(_columns.decision_id == decision_id)
                .values(model_version=version)
            )

    def advance(self, decision: GateDecision, state: DecisionState) -> None:
        """A decision has come so far; see the port."""
        with self._database.transaction() as connection:
            connection.execute(
                update(gate_decisions)
                .where(_columns.decision_id == decision.decision_id, _columns.at == decision.at_ms)
                .values(state=state.value)
            )

    def unfinished(self, model_name: str | None = None) -> Sequence[GateDecision]:
        """The decisions that are not told yet; see the port."""
        query = select(gate_decisions).where(_columns.state != DecisionState.TOLD.value)
        if model_name is not None:
            query = query.where(_columns.model_name == _askable(model_name))
        return self._read(query.order_by(_columns.at, _columns.decision_id))

    def list(
        self, model_name: str, version: str | None = None, limit: int = 100
    ) -> Sequence[GateDecision]:
        """The decisions, newest first; see the port."""
        query = select(gate_decisions).where(_columns.model_name == _askable(model_name))
        if version is not None:
            query = query.where(_columns.model_version == _askable(version))
        query = query.order_by(_columns.at.desc(), _columns.decision_id.desc()).limit(limit)
        return self._read(query)

    def _read(self, query: Select[Any]) -> Sequence[GateDecision]:
        with self._database.transaction() as connection:
            return [
                GateDecision(
                    decision_id=row["decision_id"],
                    model_name=row["model_name"],
                    model_version=row["model_version"],
                    job_id=row["job_id"],
                    at_ms=row["at"],
                    decision=Decision(row["decision"]),
                    reason=row["reason"],
                    report=row["report"],
                    state=DecisionState(row["state"]),
                )
                for row in connection.execute(query).mappings()
            ]


def _askable(text: str) -> str:
    """The text, or one that no row has: NUL the driver refuses to ask for."""
    return "" if "\0" in text else text
