"""Writes readings: stored once by identity, conflicts found, the machines' counts kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, text

from faultline.adapters.postgres.bulk import copy_in, escaped, escaped_json
from faultline.readings import Reading

# Kept by the connection and emptied by the commit. The times come as integers: multiplying them
# here is exact, and cheaper than writing and parsing dates.
_INCOMING = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_readings (
        position integer, machine_id text, at_ms bigint, machine_type text, sensors jsonb
    ) ON COMMIT DELETE ROWS
""")
# In the order of the key: quicker for the index, and two recorders cannot wait in a circle.
# Within the batch the first of an identity wins, so position comes last.
_STORE = text("""
    WITH stored AS (
        INSERT INTO readings (machine_id, timestamp, machine_type, sensors)
        SELECT machine_id, 'epoch'::timestamptz + at_ms * interval '1 millisecond',
               machine_type, sensors
        FROM incoming_readings ORDER BY machine_id, at_ms, position
        ON CONFLICT DO NOTHING
        RETURNING machine_id, timestamp, machine_type
    ), seen AS (
        INSERT INTO machines AS known
            (machine_id, machine_type, machine_types, first_seen, last_seen, readings)
        SELECT machine_id, (array_agg(machine_type ORDER BY timestamp DESC))[1],
               array_agg(DISTINCT machine_type), min(timestamp), max(timestamp), count(*)
        FROM stored GROUP BY machine_id ORDER BY machine_id
        ON CONFLICT (machine_id) DO UPDATE SET
            machine_type = CASE WHEN excluded.last_seen > known.last_seen
                           THEN excluded.machine_type ELSE known.machine_type END,
            machine_types = CASE WHEN known.machine_types @> excluded.machine_types
                            THEN known.machine_types
                            ELSE ARRAY(SELECT unnest(known.machine_types)
                                       UNION SELECT unnest(excluded.machine_types)) END,
            first_seen = least(known.first_seen, excluded.first_seen),
            last_seen = greatest(known.last_seen, excluded.last_seen),
            readings = known.readings + excluded.readings
    )
    SELECT count(*) FROM stored
""")
_CONFLICTS = text("""
    SELECT incoming.position
    FROM incoming_readings AS incoming
    JOIN readings AS first
      ON first.machine_id = incoming.machine_id
     AND first.timestamp = 'epoch'::timestamptz + incoming.at_ms * interval '1 millisecond'
    WHERE (first.sensors <> incoming.sensors OR first.machine_type <> incoming.machine_type)
      AND first.timestamp BETWEEN 'epoch'::timestamptz + :first_ms * interval '1 millisecond'
                              AND 'epoch'::timestamptz + :last_ms * interval '1 millisecond'
    ORDER BY incoming.position
""")
_encoder = msgspec.json.Encoder()


class ReadingsWritten(NamedTuple):
    """How many were new, and the indexes of those whose identity is stored with other values."""

    stored: int
    conflicts: Sequence[int]


def write_readings(connection: Connection, readings: Sequence[Reading]) -> ReadingsWritten:
    """Store readings that are not there yet, in the transaction of the connection.

    Their partitions must exist.
    """
    connection.execute(_INCOMING)
    copy_in(connection, "incoming_readings", _lines(readings))
    stored: int = connection.scalar(_STORE) or 0
    if stored == len(readings):
        return ReadingsWritten(stored, ())
    times = [reading.timestamp_ms for reading in readings]
    conflicts = connection.scalars(_CONFLICTS, {"first_ms": min(times), "last_ms": max(times)})
    return ReadingsWritten(stored, conflicts.all())


def _lines(readings: Sequence[Reading]) -> Iterator[str]:
    names: dict[str, str] = {}
    for position, reading in enumerate(readings):
        machine_id = names.get(reading.machine_id)
        if machine_id is None:
            machine_id = names[reading.machine_id] = escaped(reading.machine_id)
        yield (
            f"{position}\t{machine_id}\t{reading.timestamp_ms}\t{escaped(reading.machine_type)}\t"
            f"{escaped_json(_encoder.encode(reading.sensors))}"
        )
