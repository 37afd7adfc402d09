"""Comparisons of challengers with champions: written by the recorder, read by everyone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from faultline.adapters.postgres.schema import comparisons
from faultline.comparisons import KEPT_MS, Comparison, Pair, totals

if TYPE_CHECKING:
    from faultline.adapters.postgres.database import PostgresDatabase

_KEY = ("model_name", "champion_version", "challenger_version", "counter_id")
_COUNTS = ("since", "until", "readings", "agreed", "champion", "challenger")


class PostgresComparisonStore:
    """`ComparisonStore` on PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def comparisons(self, model_name: str | None = None) -> Sequence[Comparison]:
        """All pairs, each summed over all replicas; see the port."""
        return self._totals() if model_name is None else self._totals(_is("model_name", model_name))

    def comparison(self, pair: Pair) -> Comparison | None:
        """One pair; see the port."""
        found = (one for one in self.comparisons(pair.model_name) if pair.covers(one.pair))
        return next(found, None)

    def _totals(self, *conditions: ColumnElement[bool]) -> Sequence[Comparison]:
        with self._database.transaction() as connection:
            rows = connection.execute(select(comparisons).where(*conditions)).mappings()
            return totals(
                Comparison(
                    counter_id=row["counter_id"],
                    model_name=row["model_name"],
                    champion_version=row["champion_version"],
                    challenger_version=row["challenger_version"],
                    since_ms=row["since"],
                    until_ms=row["until"],
                    readings=row["readings"],
                    agreed=row["agreed"],
                    champion=row["champion"],
                    challenger=row["challenger"],
                    champion_sha256=row["champion_sha256"],
                    challenger_sha256=row["challenger_sha256"],
                )
                for row in rows
            )


def _is(column: str, text: str) -> ColumnElement[bool]:
    # The driver refuses NUL; no row has the empty name.
    return comparisons.c[column] == ("" if "\0" in text else text)


def write_comparisons(connection: Connection, counters: Sequence[Comparison]) -> None:
    """Keep counts, in the transaction of the connection; of one counter those that count most.

    A message that comes again, or after a later one of its counter, changes nothing.
    """
    furthest: dict[tuple[str, ...], Comparison] = {}
    for one in counters:
        key = (*one.pair, one.counter_id)
        if key not in furthest or furthest[key].readings < one.readings:
            furthest[key] = one
    statement = insert(comparisons)
    statement = statement.on_conflict_do_update(
        index_elements=_KEY,
        set_={column: statement.excluded[column] for column in _COUNTS},
        where=comparisons.c.readings < statement.excluded.readings,
    )
    # Sorted, so that two recorders wait for each other and never in a circle.
    rows = [_row(furthest[key]) for key in sorted(furthest)]
    connection.execute(statement, rows)
    for model_name in sorted({one.model_name for one in counters}):
        _drop_old(connection, model_name)


def _drop_old(connection: Connection, model_name: str) -> None:
    of_model = comparisons.c.model_name == model_name
    latest = connection.scalar(select(func.max(comparisons.c.until)).where(of_model))
    connection.execute(delete(comparisons).where(of_model, comparisons.c.until < latest - KEPT_MS))


def _row(one: Comparison) -> dict[str, object]:
    return {
        "model_name": one.model_name,
        "champion_version": one.champion_version,
        "challenger_version": one.challenger_version,
        "counter_id": one.counter_id,
        "since": one.since_ms,
        "until": one.until_ms,
        "readings": one.readings,
        "agreed": one.agreed,
        "champion": one.champion,
        "challenger": one.challenger,
        "champion_sha256": one.champion_sha256,
        "challenger_sha256": one.challenger_sha256,
    }
