"""A broker whose messages carry the trace that they belong to, in the header `traceparent`.

What a consumer polls is under way, in its thread, until it polls again: a span for each message
that comes with a trace. What is sent meanwhile under the same key continues that trace; without
one, it continues the span that is current, such as a request's. A machine's readings and verdicts
share their key, so a verdict continues the trace of its reading.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType

from opentelemetry.trace import Link, Span, SpanKind, Tracer, get_current_span

from faultline import topics
from faultline.adapters.tracing.headers import context_of, headers_of
from faultline.adapters.tracing.reloads import Reloads, TracedTail
from faultline.ports.broker import (
    Broker,
    Consumer,
    Delivery,
    Headers,
    Message,
    Partition,
    Producer,
    RebalanceListener,
    Tail,
)
from faultline.topics import Topic

_CARRYING = {
    each.name for each in (topics.READINGS, topics.VERDICTS, topics.ALARMS, topics.MODEL_EVENTS)
}

# By key.
_under_way: ContextVar[Mapping[bytes, Span]] = ContextVar("under_way", default=MappingProxyType({}))


class TracedBroker:
    """See `faultline.ports.broker.Broker`; what goes through its producers and groups is traced."""

    def __init__(self, broker: Broker, tracer: Tracer, reloads: Reloads) -> None:
        self._broker = broker
        self._tracer = tracer
        self._reloads = reloads

    def producer(self) -> Producer:
        """Open a producer, which gives messages their trace to carry."""
        return TracedProducer(self._broker.producer())

    def consumer(
        self, group: str, topics: Sequence[Topic], listener: RebalanceListener | None = None
    ) -> Consumer:
        """Join a group; its messages are spans."""
        return TracedConsumer(self._broker.consumer(group, topics, listener), group, self._tracer)

    def tail(self, topic: Topic) -> Tail:
        """Follow a topic from now on; what tells of a version gives its reload the trace."""
        tail = self._broker.tail(topic)
        return TracedTail(tail, self._reloads) if topic == topics.MODEL_EVENTS else tail

    def read(self, partition: Partition) -> Iterator[Message]:
        """All messages of a partition."""
        return self._broker.read(partition)

    def create_topics(self, topics: Sequence[Topic]) -> Sequence[str]:
        """Create the topics that are missing."""
        return self._broker.create_topics(topics)

    def close(self) -> None:
        """Close all that was opened through it."""
        self._broker.close()


class TracedProducer:
    """See `faultline.ports.broker.Producer`."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Delivery:
        """Hand a message over, with the trace that it belongs to if that is kept."""
        if topic in _CARRYING:
            span = _under_way.get().get(key) if key is not None else None
            headers = (*headers, *headers_of(span or get_current_span()))
        return self._producer.send(topic, key, value, headers, partition)

    def flush(self, timeout_s: float) -> None:
        """Return once everything sent before is acknowledged."""
        self._producer.flush(timeout_s)

    def close(self) -> None:
        """Send what is left, and let go."""
        self._producer.close()


class TracedConsumer:
    """See `faultline.ports.broker.Consumer`."""

    def __init__(self, consumer: Consumer, group: str, tracer: Tracer) -> None:
        self._consumer = consumer
        self._group = group
        self._tracer = tracer
        self._spans: list[Span] = []

    def poll(self, timeout_s: float, max_messages: int) -> Sequence[Message]:
        """Messages of the assigned partitions; those before are done with."""
        self._end()
        messages = self._consumer.poll(timeout_s, max_messages)
        self._begin(messages)
        return messages

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the offsets of the next messages to read."""
        self._consumer.commit(offsets)

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The group's committed offsets."""
        return self._consumer.committed(partitions)

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""
        self._consumer.seek(partition, offset)

    def lag(self) -> Mapping[Partition, int]:
        """Messages behind the end."""
        return self._consumer.lag()

    def close(self) -> None:
        """Leave the group."""
        self._end()
        self._consumer.close()

    def _begin(self, messages: Sequence[Message]) -> None:
        under_way: dict[bytes, Span] = {}
        for message in messages:
            if not message.headers:
                continue
            context = context_of(message.headers)
            if context is None:
                continue
            # Verdicts of several messages of a machine travel in one: it continues the first's
            # trace, and the others point to that.
            first = under_way.get(message.key) if message.key is not None else None
            span = self._tracer.start_span(
                f"process {message.partition.topic}",
                context,
                SpanKind.CONSUMER,
                {
                    "messaging.system": "kafka",
                    "messaging.operation.name": "process",
                    "messaging.destination.name": message.partition.topic,
                    "messaging.destination.partition.id": str(message.partition.number),
                    "messaging.consumer.group.name": self._group,
                    "messaging.kafka.offset": message.offset,
                },
                links=() if first is None else [Link(first.get_span_context())],
            )
            self._spans.append(span)
            if message.key is not None:
                under_way.setdefault(message.key, span)
        _under_way.set(under_way)

    def _end(self) -> None:
        spans, self._spans = self._spans, []
        for span in spans:
            span.end()
        _under_way.set(MappingProxyType({}))
