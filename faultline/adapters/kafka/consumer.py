"""A member of a Kafka consumer group: manual commits, earliest first, rebalances told in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.future import Future
from kafka.structs import OffsetAndMetadata

from faultline.adapters.kafka.connection import REQUEST_TIMEOUT_MS, Connection
from faultline.adapters.kafka.joining import keep_answered_joins
from faultline.adapters.kafka.messages import Reachability, flattened, require_topics
from faultline.errors import Unavailable
from faultline.ports.broker import Message, Partition, RebalanceListener
from faultline.topics import Topic

_HEARTBEAT_MS = 2_000
# kafka-python's poll does not return when an assignment came, so it is asked in short turns.
_TURN_S = 0.1
_POSITION_TIMEOUT_MS = 100
_CLOSE_TIMEOUT_MS = 3_000


class _Rebalances(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Hands rebalances over from kafka-python's event loop, which nothing may block."""

    def __init__(
        self,
        gone: Callable[[Collection[TopicPartition], bool, Callable[[], None]], None],
        assigned: Callable[[Collection[TopicPartition]], None],
    ) -> None:
        self._gone = gone
        self._assigned = assigned

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Wait until the listener has finished; meanwhile heartbeats and commits go on."""
        await self._told(revoked, lost=False)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Wait as well. By default kafka-python would say that they were revoked."""
        await self._told(lost, lost=True)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Note what came; the thread that polls tells the listener."""
        self._assigned(assigned)

    async def _told(self, partitions: Collection[TopicPartition], *, lost: bool) -> None:
        finished = Future()
        self._gone(partitions, lost, lambda: finished.success(None))
        await finished


class Consumer:
    """One member of a group; connects with the first call that needs it. For one thread.

    The listener's `assigned` runs in the polling thread. Its `revoked` and `lost` run in another
    one while the polling thread stands still, because kafka-python asks in the middle of its poll.
    """

    def __init__(
        self,
        connection: Connection,
        group: str,
        topics: Sequence[Topic],
        listener: RebalanceListener | None,
    ) -> None:
        self._connection = connection
        self._group = group
        self._topics = [topic.name for topic in topics]
        self._listener = listener
        self._kafka: KafkaConsumer | None = None
        self._closed = False
        self._reachability = Reachability(connection)
        # Assigned by the group, but not yet told to the listener: paused until it is.
        self._untold: set[TopicPartition] | None = None
        self._told: set[TopicPartition] = set()
        self._revoke_failure: Exception | None = None
        self._positions: dict[Partition, int] = {}

    def poll(self, timeout_s: float, max_messages: int) -> Sequence[Message]:
        """Messages of the assigned partitions; see `faultline.ports.broker.Consumer.poll`."""
        kafka = self._opened()
        deadline = time.monotonic() + timeout_s
        while True:
            self._tell_assigned(kafka)
            left = max(0.0, deadline - time.monotonic())
            with self._connection.translated(f"consume {', '.join(self._topics)} from"):
                records = kafka.poll(timeout_ms=min(left, _TURN_S) * 1000, max_records=max_messages)
            # No record comes in a turn with a rebalance: what is new is paused until it is told.
            self._raise_revoke_failure()
            if records:
                self._reachability.seen()
                messages = flattened(records)
                for message in messages:
                    self._positions[message.partition] = message.offset + 1
                return messages
            if left <= _TURN_S:
                self._tell_assigned(kafka)
                self._reachability.check(kafka)
                return ()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets of the next messages; see `faultline.ports.broker.Consumer.commit`."""
        with self._connection.translated(f"commit offsets of group {self._group} to"):
            self._opened().commit(
                {
                    TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
                    for partition, offset in offsets.items()
                },
                timeout_ms=REQUEST_TIMEOUT_MS,
            )

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The group's committed offsets; partitions without one are left out."""
        kafka = self._opened()
        offsets: dict[Partition, int] = {}
        with self._connection.translated(f"read offsets of group {self._group} from"):
            for partition in partitions:
                offset = kafka.committed(TopicPartition(*partition), timeout_ms=REQUEST_TIMEOUT_MS)
                if offset is not None:
                    offsets[partition] = offset
        return offsets

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""
        with self._connection.translated(f"seek in {partition.topic}/{partition.number} of"):
            self._opened().seek(TopicPartition(*partition), offset)
        self._positions[partition] = offset

    def lag(self) -> Mapping[Partition, int]:
        """Messages behind the end, per assigned partition, as far as known."""
        kafka = self._kafka
        if kafka is None:
            return {}
        lags: dict[Partition, int] = {}
        for topic_partition in self._told:
            end = kafka.highwater(topic_partition)
            position = self._positions.get(Partition(*topic_partition))
            if position is None and end is not None:
                with self._connection.translated("ask for positions in"):
                    position = kafka.position(topic_partition, timeout_ms=_POSITION_TIMEOUT_MS)
            if end is not None and position is not None:
                lags[Partition(*topic_partition)] = max(0, end - position)
        return lags

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Leave the group, having told the listener that its partitions go.

        A member with a lasting name stays in the group: until its session ends, its partitions
        are kept for who comes back under that name.
        """
        self._closed = True
        if self._kafka is None:
            return
        try:
            with self._connection.translated(f"leave group {self._group} at"):
                self._kafka.close(autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)
        finally:
            self._kafka = None
        self._raise_revoke_failure()

    def _opened(self) -> KafkaConsumer:
        if self._kafka is not None:
            return self._kafka
        if self._closed:
            raise Unavailable(f"this consumer of group {self._group} is closed; open another one")
        settings = self._connection.settings
        kafka = self._connection.open(
            KafkaConsumer,
            group_id=self._group,
            group_instance_id=settings.kafka_group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # What an aborted transaction of someone else left in a topic was never said.
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            session_timeout_ms=round(settings.kafka_session_timeout_s * 1000),
            heartbeat_interval_ms=_HEARTBEAT_MS,
            metrics_enabled=False,
        )
        try:
            keep_answered_joins(kafka)
            kafka.subscribe(self._topics, listener=_Rebalances(self._on_gone, self._on_assigned))
            # Without the partitions at hand the first assignment would be empty, and another soon
            # follow.
            require_topics(self._connection, kafka, self._topics)
        except BaseException:
            kafka.close()
            raise
        self._kafka = kafka
        return kafka

    def _on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """In kafka-python's loop, within our poll."""
        assert self._kafka is not None
        self._untold = set(partitions)
        self._kafka.pause(*partitions)

    def _tell_assigned(self, kafka: KafkaConsumer) -> None:
        if self._untold is None:
            return
        partitions = sorted(Partition(*partition) for partition in self._untold)
        # kafka-python keeps the position of a partition that was ours before; it may be ahead of
        # what was committed, and whoever was told that the partition is gone has let go of that.
        committed = self.committed(partitions)
        for partition in partitions:
            if partition in committed:
                self.seek(partition, committed[partition])
            else:
                self._positions.pop(partition, None)
                kafka.seek_to_beginning(TopicPartition(*partition))
        if self._listener is not None:
            self._listener.assigned(self, partitions)
        # Only now: had the listener raised, the next poll would have told it again.
        self._told, self._untold = self._untold, None
        kafka.resume(*self._told)

    def _on_gone(
        self, partitions: Collection[TopicPartition], lost: bool, finished: Callable[[], None]
    ) -> None:
        """In kafka-python's loop, within our poll or close."""
        net = self._net()
        gone = sorted(Partition(*partition) for partition in self._told.intersection(partitions))
        self._told, self._untold = set(), None

        def tell() -> None:
            try:
                if gone and self._listener is not None:
                    tell_listener = self._listener.lost if lost else self._listener.revoked
                    tell_listener(self, gone)
            except Exception as error:
                # Raised again where the caller polls.
                self._revoke_failure = error
            finally:
                net.call_soon_threadsafe(finished)

        threading.Thread(target=tell, name=f"revoked-{self._group}", daemon=True).start()

    def _net(self) -> Any:
        # Not public, and the only way back into the loop; the range of versions is pinned, and the
        # contract suite would tell.
        assert self._kafka is not None
        return self._kafka._net

    def _raise_revoke_failure(self) -> None:
        failure, self._revoke_failure = self._revoke_failure, None
        if failure is not None:
            raise failure
