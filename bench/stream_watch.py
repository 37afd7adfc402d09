"""Where topics end and groups stand, asked from outside, for `bench.stream_speed`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import create_engine, select

from faultline import topics, verdicts
from faultline.adapters.postgres.schema import stream_offsets
from faultline.local.home import Endpoints
from faultline.topics import Topic


class Watch:
    """Where topics end and groups stand, from outside of them."""

    def __init__(self, platform: Endpoints) -> None:
        self._servers = platform.kafka
        self._engine = create_engine(platform.database_url)

    def ends(self, topic: Topic) -> dict[int, int]:
        """Offset of the next message, by partition."""
        with self._consumer("bench") as consumer:
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic.name, number), 10)[1]
                for number in range(topic.partitions)
            }

    def committed(self, group: str, topic: Topic) -> Callable[[], dict[int, int]]:
        """Ask where a group of Kafka's stands."""

        def ask() -> dict[int, int]:
            with self._consumer(group) as consumer:
                asked = [TopicPartition(topic.name, n) for n in range(topic.partitions)]
                return {one.partition: one.offset for one in consumer.committed(asked, 10)}

        return ask

    def stored(self, topic: Topic) -> Callable[[], dict[int, int]]:
        """Ask where the recorder stands, which keeps its offsets with its rows."""

        def ask() -> dict[int, int]:
            columns = (stream_offsets.c.partition, stream_offsets.c.next_offset)
            query = select(*columns).where(stream_offsets.c.topic == topic.name)
            with self._engine.connect() as connection:
                return {one.partition: one.next_offset for one in connection.execute(query)}

        return ask

    def verdicts_since(self, start: dict[int, int]) -> int:
        """How many verdicts were published from these offsets on."""
        count, left = 0, {n: end for n, end in self.ends(topics.VERDICTS).items() if end > start[n]}
        with self._consumer("bench") as consumer:
            consumer.assign([TopicPartition(topics.VERDICTS.name, n, start[n]) for n in left])
            while left:
                for message in consumer.consume(500, 1.0):
                    count += len(verdicts.decode(message.value() or b"").verdicts)
                    if (message.offset() or 0) + 1 >= left.get(message.partition() or 0, 0):
                        left.pop(message.partition() or 0, None)
        return count

    @contextmanager
    def _consumer(self, group: str) -> Iterator[Consumer]:
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": group})
        try:
            yield consumer
        finally:
            consumer.close()
