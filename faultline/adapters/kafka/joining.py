"""Mends how kafka-python joins a group; knows nothing of partitions or messages."""

from __future__ import annotations

from kafka import KafkaConsumer
from kafka.structs import MemberState


def keep_answered_joins(kafka: KafkaConsumer) -> None:
    """Let a consumer take up the assignment that came while it was not being polled.

    kafka-python 3.0 goes on with a join that a short poll left under way, but not with one that
    was answered since: it forgets the assignment and joins again. That makes all members join
    again at their next heartbeats, and whoever is unlucky each time never gets its share.
    """
    # Not public; the contract suite would tell if it became something else.
    coordinator = kafka._coordinator
    join_and_sync = coordinator._do_join_and_sync_async
    answer: bytes | None = None

    async def join_unless_answered() -> bytes:
        nonlocal answer
        # Only a join begins this state, and only taking up its answer or losing the membership
        # ends it. If the answer has become outdated, the next heartbeat says so.
        if answer is None or coordinator.state is not MemberState.REBALANCING:
            answer = None
            answer = await join_and_sync()
        return answer

    coordinator._do_join_and_sync_async = join_unless_answered
