"""Writes verdicts (the first of a reading stays, whatever is told later) and reads them back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from faultline.adapters.postgres.bulk import (
    NULL,
    copy_in,
    escaped,
    escaped_json,
    escaped_or_null,
)
from faultline.ports.stores import StoredVerdict
from faultline.verdicts import Status, Verdict, VerdictBatch

_INCOMING = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_verdicts (
        position integer, machine_id text, machine_type text, model_name text, model_version text,
        at_ms bigint, status text, score double precision, cluster integer, known boolean,
        reason text, contributions jsonb, health jsonb
    ) ON COMMIT DELETE ROWS
""")
_STORE = text("""
    INSERT INTO verdicts (machine_id, timestamp, machine_type, status, score, cluster, known,
                          reason, contributions, health, model_name, model_version)
    SELECT machine_id, 'epoch'::timestamptz + at_ms * interval '1 millisecond', machine_type,
           status, score, cluster, known, reason, contributions, health, model_name, model_version
    FROM incoming_verdicts ORDER BY machine_id, at_ms, position
    ON CONFLICT DO NOTHING
""")
_encoder = msgspec.json.Encoder()


def write_verdicts(connection: Connection, batches: Sequence[VerdictBatch]) -> None:
    """Store verdicts on readings that have none yet, in the transaction of the connection.

    By the order of the stream a reading's own verdict comes before the one that calls its repeat
    a duplicate, so keeping the first keeps the one that counts. Their partitions must exist.
    """
    connection.execute(_INCOMING)
    copy_in(connection, "incoming_verdicts", _lines(batches))
    connection.execute(_STORE)


def to_stored_verdict(row: Mapping[Any, Any]) -> StoredVerdict:
    """Verdict of a row of `verdicts`."""
    return StoredVerdict(
        machine_id=row["machine_id"],
        machine_type=row["machine_type"],
        model_name=row["model_name"],
        model_version=row["model_version"],
        verdict=Verdict(
            timestamp_ms=row["timestamp"],
            status=Status(row["status"]),
            score=row["score"],
            cluster=row["cluster"],
            known=row["known"],
            reason=row["reason"],
            contributions=row["contributions"] or (),
            health=row["health"] or {},
        ),
    )


def _lines(batches: Sequence[VerdictBatch]) -> Iterator[str]:
    position = 0
    for batch in batches:
        of_batch = "\t".join(
            (
                escaped(batch.machine_id),
                escaped(batch.machine_type),
                escaped_or_null(batch.model_name),
                escaped_or_null(batch.model_version),
            )
        )
        for verdict in batch.verdicts:
            yield f"{position}\t{of_batch}\t{_fields(verdict)}"
            position += 1


def _fields(verdict: Verdict) -> str:
    # repr gives the shortest text that reads back as the same float.
    score = NULL if verdict.score is None else repr(float(verdict.score))
    cluster = NULL if verdict.cluster is None else str(verdict.cluster)
    contributions = _json(verdict.contributions) if verdict.contributions else NULL
    health = _json(verdict.health) if verdict.health else NULL
    return (
        f"{verdict.timestamp_ms}\t{verdict.status.value}\t{score}\t{cluster}\t"
        f"{'t' if verdict.known else 'f'}\t{escaped_or_null(verdict.reason)}\t"
        f"{contributions}\t{health}"
    )


def _json(value: object) -> str:
    return escaped_json(_encoder.encode(value))
