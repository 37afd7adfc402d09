"""A member of a Kafka consumer group: manual commits, earliest first, rebalances told in order."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from faultline.adapters.confluent.clients import member
from faultline.adapters.confluent.commits import Commits
from faultline.adapters.confluent.connection import REQUEST_TIMEOUT_S, Connection, Reachability
from faultline.adapters.confluent.messages import (
    converted,
    parted,
    places,
    require_topics,
    waiting,
)
from faultline.errors import Unavailable
from faultline.ports.broker import Message, Partition, RebalanceListener
from faultline.telemetry import logger
from faultline.topics import Topic

log = logger(__name__)

_MAX_POLL_INTERVAL_S = 300.0
# librdkafka's poll does not return when an assignment came, so it is asked in short turns.
_TURN_S = 0.1
_SEEK_RETRY_S = 0.01


class Consumer:
    """One member of a group; connects with the first call that needs it. For one thread.

    The listener runs in the polling thread. librdkafka learns of an assignment with nothing to
    fetch; what is to be fetched, and from where, it is told once the listener has prepared it.

    Parameters
    ----------
    max_poll_interval_s
        The group gives a member up that was not polled for so long.
    """

    def __init__(
        self,
        connection: Connection,
        group: str,
        topics: Sequence[Topic],
        listener: RebalanceListener | None,
        max_poll_interval_s: float = _MAX_POLL_INTERVAL_S,
    ) -> None:
        self._connection = connection
        self._group = group
        self._topics = [topic.name for topic in topics]
        self._listener = listener
        self._max_poll_interval_s = max_poll_interval_s
        self._client: Client | None = None
        self._commits: Commits | None = None
        self._closed = False
        self._reachability = Reachability(connection)
        # Assigned by the group, but not yet told to the listener.
        self._untold: list[Partition] | None = None
        self._told: set[Partition] = set()
        self._member = ""
        # Where an assignment begins, while it is being told.
        self._starts: dict[Partition, int] | None = None
        self._positions: dict[Partition, int] = {}
        self._rebalanced = False
        self._in_callback = False
        self._failure: Exception | None = None

    def poll(self, timeout_s: float, max_messages: int) -> Sequence[Message]:
        """Messages of the assigned partitions; see `faultline.ports.broker.Consumer.poll`."""
        client = self._opened()
        self._raise_failure()
        deadline = time.monotonic() + timeout_s
        while True:
            self._tell_assigned(client)
            left = max(0.0, deadline - time.monotonic())
            messages = self._received(client, min(left, _TURN_S), max_messages)
            if messages:
                for message in messages:
                    self._positions[message.partition] = message.offset + 1
                self._reachability.seen()
                return messages
            self._raise_failure()
            if left <= _TURN_S:
                self._tell_assigned(client)
                self._reachability.check(client)
                return ()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets of the next messages; see `faultline.ports.broker.Consumer.commit`."""
        client = self._opened()
        doing = f"commit offsets of group {self._group} to"
        with self._connection.translated(doing):
            # Thrown out and not polled since, librdkafka would commit as nobody's member.
            if self._told and client.memberid() != self._member:
                raise KafkaException(KafkaError(KafkaError._ASSIGNMENT_LOST))
            assert self._commits is not None
            if self._in_callback:
                self._commits.commit_from_callback(offsets)
            else:
                self._commits.commit(offsets)

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The group's committed offsets; partitions without one are left out."""
        client = self._opened()
        if not partitions:
            return {}
        offsets: dict[Partition, int] = {}
        with self._connection.translated(f"read offsets of group {self._group} from"):
            asked = [TopicPartition(*partition) for partition in partitions]
            for place in client.committed(asked, timeout=REQUEST_TIMEOUT_S):
                if place.error is not None:
                    raise KafkaException(place.error)
                if place.offset >= 0:
                    offsets[Partition(place.topic, place.partition)] = place.offset
        return offsets

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""
        if self._starts is not None:
            self._starts[partition] = offset
            return
        client = self._opened()
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        with self._connection.translated(f"seek in {partition.topic}/{partition.number} of"):
            while True:
                try:
                    client.seek(TopicPartition(*partition, offset))
                    break
                except KafkaException as error:
                    # It has just been assigned and librdkafka does not fetch it yet.
                    if error.args[0].code() != KafkaError._STATE or time.monotonic() > deadline:
                        raise
                    time.sleep(_SEEK_RETRY_S)
        self._positions[partition] = offset

    def lag(self) -> Mapping[Partition, int]:
        """Messages behind the end, per assigned partition, as far as known."""
        lags: dict[Partition, int] = {}
        if self._client is None:
            return lags
        client = self._opened()
        with self._connection.translated("ask for positions in"):
            for partition in self._told:
                _, end = client.get_watermark_offsets(TopicPartition(*partition), cached=True)
                if end >= 0:
                    lags[partition] = max(0, end - self._positions[partition])
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
        client, commits = self._client, self._commits
        if client is None or commits is None:
            return
        self._failure = None
        # Before librdkafka does, which would let a commit wait for ever.
        self._on_gone(lost=commits.stuck or client.memberid() != self._member)
        self._client = None
        if commits.stuck:
            commits.afterwards(client.close)
        else:
            with self._connection.translated(f"leave group {self._group} at"):
                client.close()
        self._raise_failure()

    def _received(self, client: Client, timeout_s: float, max_messages: int) -> list[Message]:
        """What has come, without waiting for more than the first message."""
        doing = f"consume {', '.join(self._topics)} from"
        self._rebalanced = False
        with self._connection.translated(doing):
            good, errors = parted(waiting(client, timeout_s, max_messages))
        for each in errors:
            error = each.error()
            assert error is not None
            if error.code() == KafkaError._MAX_POLL_EXCEEDED:
                log.warning("the group has given this member up", group=self._group, why=str(error))
            else:
                # Raised once what came before it has been worked on.
                self._failure = self._connection.unavailable(doing, error)
        found = converted(good)
        # A rebalance may come in the middle; what it took away is another's to work on.
        return [one for one in found if one.partition in self._told] if self._rebalanced else found

    def _opened(self) -> Client:
        if self._client is not None:
            if self._commits is not None and self._commits.stuck:
                raise Unavailable(
                    f"Kafka at {self._connection.servers} has not answered to a commit of group "
                    f"{self._group}; open another consumer when it is back"
                )
            return self._client
        if self._closed:
            raise Unavailable(f"this consumer of group {self._group} is closed; open another one")
        client = member(
            self._connection, self._reachability, self._group, self._max_poll_interval_s
        )
        try:
            # librdkafka would wait until they exist, and be silent.
            require_topics(self._connection, client, self._topics)
            client.subscribe(
                self._topics,
                on_assign=self._on_assigned,
                on_revoke=self._on_revoked,
                on_lost=self._on_lost,
            )
        except BaseException:
            client.close()
            raise
        self._commits = Commits(client, REQUEST_TIMEOUT_S)
        self._client = client
        return client

    def _on_assigned(self, client: Client, partitions: list[TopicPartition]) -> None:
        """Within our poll."""
        self._rebalanced = True
        self._untold = sorted(Partition(each.topic, each.partition) for each in partitions)
        client.assign([])

    def _tell_assigned(self, client: Client) -> None:
        if self._untold is None:
            return
        partitions = self._untold
        # Kept while the listener is at it: it may commit as well as seek.
        self._member = client.memberid()
        self._starts = self._begins(client, partitions)
        try:
            if self._listener is not None:
                self._listener.assigned(self, partitions)
            starts = self._starts
        finally:
            self._starts = None
        with self._connection.translated("begin to read from"):
            client.assign(places(starts))
        # Only now: had the listener raised, the next poll would have told it again.
        self._positions = starts
        self._told, self._untold = set(partitions), None

    def _begins(self, client: Client, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Where the group stands; the first message where it has not committed yet."""
        starts = dict(self.committed(partitions))
        with self._connection.translated("find the beginning of partitions in"):
            for partition in partitions:
                if partition not in starts:
                    starts[partition], _ = client.get_watermark_offsets(
                        TopicPartition(*partition), timeout=REQUEST_TIMEOUT_S
                    )
        return starts

    def _on_revoked(self, _: Client, __: list[TopicPartition]) -> None:
        """Within our poll."""
        self._in_callback = True
        self._on_gone(lost=False)
        self._in_callback = False

    def _on_lost(self, _: Client, __: list[TopicPartition]) -> None:
        """Within our poll."""
        self._on_gone(lost=True)

    def _on_gone(self, *, lost: bool) -> None:
        # All of them: this protocol of the group takes everything before it gives anew.
        self._rebalanced = True
        gone = sorted(self._told)
        self._untold = None
        try:
            if gone and self._listener is not None:
                tell = self._listener.lost if lost else self._listener.revoked
                tell(self, gone)
        except Exception as error:
            # Raised again where the caller polls.
            self._failure = error
        finally:
            self._told = set()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
