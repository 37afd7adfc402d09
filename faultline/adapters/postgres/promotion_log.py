"""Keeps every change of Production, and lets one process at a time make one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from faultline.adapters.postgres.schema import promotions
from faultline.ports.promotions import Promotion, PromotionKind, PromotionState, TurnTaken

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_LOCK = 7_215
_columns = promotions.c


class PostgresPromotionLog:
    """`PromotionLog` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    @contextmanager
    def turn(self, model_name: str) -> Iterator[None]:
        """Be the only one; see the port.

        An advisory lock of a transaction: PostgreSQL lets go of it when the process dies, and after
        two minutes when its host has vanished.
        """
        lock = func.pg_try_advisory_xact_lock(_LOCK, func.hashtext(_askable(model_name)))
        with self._database.transaction() as connection:
            if not connection.scalar(select(lock)):
                raise TurnTaken(
                    f"another change of {model_name}'s Production is being made at this moment; "
                    "look at its history, then ask again"
                )
            yield

    def begin(self, promotion: Promotion) -> None:
        """Write down what is intended; see the port."""
        row = {
            "promotion_id": promotion.promotion_id,
            "model_name": promotion.model_name,
            "to_version": promotion.to_version,
            "from_version": promotion.from_version,
            "at": promotion.at_ms,
            "actor": promotion.actor,
            "reason": promotion.reason,
            "kind": promotion.kind.value,
            "forced": promotion.forced,
            "gate": promotion.gate,
            "gate_reason": promotion.gate_reason,
            "state": PromotionState.BEGUN.value,
            "announced": False,
        }
        kept = select(_columns.promotion_id).where(_columns.promotion_id == row["promotion_id"])
        with self._database.transaction() as connection:
            connection.execute(insert(promotions).values(row).on_conflict_do_nothing())
            if connection.scalar(kept) is None:
                raise TurnTaken(
                    f"another change of {promotion.model_name}'s Production is begun and not "
                    "finished; look at its history, then ask again"
                )

    def finish(self, promotion_id: str, at_ms: int) -> None:
        """What was begun has happened; see the port."""
        with self._database.transaction() as connection:
            connection.execute(
                update(promotions)
                .where(_begun(promotion_id))
                .values(state=PromotionState.DONE.value, at=at_ms)
            )

    def withdraw(self, promotion_id: str) -> None:
        """What was begun will not happen; see the port."""
        with self._database.transaction() as connection:
            connection.execute(delete(promotions).where(_begun(promotion_id)))

    def mark_announced(self, promotion_id: str) -> None:
        """Its events are published."""
        with self._database.transaction() as connection:
            connection.execute(
                update(promotions)
                .where(_columns.promotion_id == promotion_id)
                .values(announced=True)
            )

    def unfinished(self, model_name: str | None = None) -> Sequence[Promotion]:
        """Changes that are begun or not announced; see the port."""
        query = select(promotions).where(
            or_(_columns.state == PromotionState.BEGUN.value, ~_columns.announced)
        )
        if model_name is not None:
            query = query.where(_columns.model_name == _askable(model_name))
        return self._found(query.order_by(_columns.position))

    def list(self, model_name: str, limit: int = 100) -> Sequence[Promotion]:
        """The changes of a model, newest first."""
        return self._found(_newest_first(model_name).limit(limit))

    def live_at(self, model_name: str, at_ms: int) -> Promotion | None:
        """The change by which a version was in Production at that time; see the port."""
        query = _newest_first(model_name).where(_columns.at <= at_ms).limit(1)
        last = next(iter(self._found(query)), None)
        return None if last is None or last.to_version is None else last

    def _found(self, query: Select[Any]) -> Sequence[Promotion]:
        with self._database.transaction() as connection:
            return [_promotion(row) for row in connection.execute(query).mappings()]


def _askable(model_name: str) -> str:
    """The name, or one that no row has: NUL the driver refuses to ask for."""
    return "" if "\0" in model_name else model_name


def _begun(promotion_id: str) -> ColumnElement[bool]:
    return and_(_columns.promotion_id == promotion_id, _columns.state == PromotionState.BEGUN.value)


def _newest_first(model_name: str) -> Select[Any]:
    return (
        select(promotions)
        .where(
            _columns.model_name == _askable(model_name),
            _columns.state == PromotionState.DONE.value,
        )
        .order_by(_columns.at.desc(), _columns.position.desc())
    )


def _promotion(row: Mapping[Any, Any]) -> Promotion:
    return Promotion(
        promotion_id=row["promotion_id"],
        model_name=row["model_name"],
        to_version=row["to_version"],
        from_version=row["from_version"],
        at_ms=row["at"],
        actor=row["actor"],
        reason=row["reason"],
        kind=PromotionKind(row["kind"]),
        forced=row["forced"],
        gate=row["gate"],
        gate_reason=row["gate_reason"],
        state=PromotionState(row["state"]),
        announced=row["announced"],
    )
