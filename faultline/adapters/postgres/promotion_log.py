"""Keeps every change of Production, and lets one process at a time make one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert

from faultline.adapters.postgres.outages import outages_as_unavailable
from faultline.adapters.postgres.schema import promotions
from faultline.errors import Unavailable
from faultline.ports.promotions import Promotion, PromotionKind, PromotionState, TurnTaken

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_LOCK = 7_215
_columns = promotions.c
_OF_PRODUCTION = and_(
    _columns.state == PromotionState.DONE.value, _columns.kind != PromotionKind.ARCHIVED.value
)
# The turn may have to wait for the registry longer than other transactions may be idle; a host that
# vanished is noticed by the connection itself.
_PATIENT = text("""
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL tcp_keepalives_idle = 15;
    SET LOCAL tcp_keepalives_interval = 5;
    SET LOCAL tcp_keepalives_count = 3;
""")


class PostgresTurn:
    """`Turn` on PostgreSQL: the connection whose transaction has the lock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def require(self) -> None:
        """Raise `Unavailable` when the connection, and so the turn, was lost."""
        if self._connection.invalidated:
            raise Unavailable("PostgreSQL: the connection was lost that changes of Production need")
        with outages_as_unavailable():
            self._connection.execute(select(1))


class PostgresPromotionLog:
    """`PromotionLog` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    @contextmanager
    def turn(self, model_name: str) -> Iterator[PostgresTurn]:
        """Be the only one; see the port.

        An advisory lock of a transaction: PostgreSQL lets go of it when the process dies, and after
        half a minute when its host has vanished. It may be idle as long as the registry takes.
        """
        lock = func.pg_try_advisory_xact_lock(_LOCK, func.hashtext(_askable(model_name)))
        with self._database.transaction() as connection:
            connection.execute(_PATIENT)
            if not connection.scalar(select(lock)):
                raise TurnTaken(
                    f"another change of {model_name}'s Production is being made at this moment; "
                    "look at its history, then ask again"
                )
            turn = PostgresTurn(connection)
            try:
                yield turn
            except BaseException:
                # Of a connection that was lost nothing can be rolled back, and that it was lost
                # must not be raised in place of this.
                with suppress(Unavailable):
                    turn.require()
                raise

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

    def finish(self, promotion_id: str, at_ms: int) -> bool:
        """What was begun has happened; see the port."""
        with self._database.transaction() as connection:
            finished = connection.execute(
                update(promotions)
                .where(_begun(promotion_id))
                .values(state=PromotionState.DONE.value, at=at_ms)
            )
            return finished.rowcount > 0

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

    def live_models(self) -> Sequence[str]:
        """Models of which a version is in Production; see the port."""
        last = (
            select(_columns.model_name, _columns.to_version)
            .ext(distinct_on(_columns.model_name))
            .where(_OF_PRODUCTION)
            .order_by(_columns.model_name, _columns.at.desc(), _columns.position.desc())
            .subquery()
        )
        query = select(last.c.model_name).where(last.c.to_version.is_not(None))
        with self._database.transaction() as connection:
            return sorted(connection.scalars(query))

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
        .where(_columns.model_name == _askable(model_name), _OF_PRODUCTION)
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
