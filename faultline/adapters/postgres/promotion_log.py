"""Keeps every change of Production."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert

from faultline.adapters.postgres.schema import promotions
from faultline.ports.jobs import Promotion

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase


class PostgresPromotionLog:
    """`PromotionLog` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def append(self, promotion: Promotion) -> None:
        """Add one; the same `promotion_id` again changes nothing."""
        statement = insert(promotions).values(
            promotion_id=promotion.promotion_id,
            model_name=promotion.model_name,
            to_version=promotion.to_version,
            from_version=promotion.from_version,
            at=promotion.at_ms,
            actor=promotion.actor,
            reason=promotion.reason,
        )
        with self._database.transaction() as connection:
            connection.execute(statement.on_conflict_do_nothing())

    def list(self, model_name: str, limit: int = 100) -> Sequence[Promotion]:
        """The changes of a model, newest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(_newest_first(model_name).limit(limit)).mappings()
            return [_promotion(row) for row in rows]

    def live_at(self, model_name: str, at_ms: int) -> Promotion | None:
        """The change by which a version was in Production at that time."""
        query = _newest_first(model_name).where(promotions.c.at <= at_ms).limit(1)
        with self._database.transaction() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _promotion(row)


def _newest_first(model_name: str) -> Select[Any]:
    return (
        select(promotions)
        # No row has an empty name; NUL the driver refuses to ask for.
        .where(promotions.c.model_name == ("" if "\0" in model_name else model_name))
        .order_by(promotions.c.at.desc(), promotions.c.position.desc())
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
    )
