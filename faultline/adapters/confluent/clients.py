"""How librdkafka's consumers are configured: a group's member, and one that is in no group."""

from __future__ import annotations

from confluent_kafka import Consumer as Client

from faultline.adapters.confluent.connection import Connection, Reachability

_HEARTBEAT_MS = 2_000
_FETCHED_AHEAD_KBYTES = 32 * 1024
# 1,000 by default: once the queue was full nothing is fetched for a second.
_FETCH_QUEUE_BACKOFF_MS = 5


def member(
    connection: Connection, reachability: Reachability, group: str, max_poll_interval_s: float
) -> Client:
    """Make a consumer that has yet to join a group; it commits nothing by itself."""
    settings = connection.settings
    static = {}
    if settings.kafka_group_instance_id is not None:
        static["group_instance_id"] = settings.kafka_group_instance_id
    return Client(
        connection.config(
            reachability.note,
            group_id=group,
            **static,
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            auto_offset_reset="earliest",
            # What an aborted transaction of someone else left in a topic was never said.
            isolation_level="read_committed",
            # As kafka-python's: both clients may be members of one group.
            partition_assignment_strategy="range,roundrobin",
            session_timeout_ms=round(settings.kafka_session_timeout_s * 1000),
            heartbeat_interval_ms=_HEARTBEAT_MS,
            max_poll_interval_ms=round(max_poll_interval_s * 1000),
            fetch_queue_backoff_ms=_FETCH_QUEUE_BACKOFF_MS,
            queued_max_messages_kbytes=_FETCHED_AHEAD_KBYTES,
        )
    )


def ungrouped(connection: Connection, reachability: Reachability) -> Client:
    """Make a consumer that joins no group and commits nothing; it tells where a partition ends."""
    return Client(
        connection.config(
            reachability.note,
            # librdkafka wants a name; nothing is ever said under it.
            group_id=f"{connection.client_id}-ungrouped",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            enable_partition_eof=True,
            fetch_queue_backoff_ms=_FETCH_QUEUE_BACKOFF_MS,
            queued_max_messages_kbytes=_FETCHED_AHEAD_KBYTES,
        )
    )
