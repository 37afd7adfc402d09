"""The sinks that write to the topics of readings and of labels.

They know the broker's port, not its adapter.
"""

from __future__ import annotations

from collections.abc import Sequence

from faultline import labels, topics
from faultline.errors import Overloaded
from faultline.labels import FaultLabel
from faultline.ports.broker import Headers, Producer
from faultline.readings import Reading, encode_messages

# A message of a hundred readings costs the broker little more than one of a single reading.
_READINGS_PER_MESSAGE = 100


class TopicSink:
    """Sends readings to `sensor.readings`: one machine per message, keyed by machine id.

    Parameters
    ----------
    producer
        Shared with others if need be; it is flushed here, not closed.
    flush_timeout_s
        How long a flush may take before it raises `Unavailable`.
    """

    def __init__(self, producer: Producer, *, flush_timeout_s: float = 60.0) -> None:
        self._producer = producer
        self._flush_timeout_s = flush_timeout_s

    def send(self, readings: Sequence[Reading], headers: Headers = ()) -> None:
        """Hand readings to the producer; when too much is in flight, wait until it has gone out.

        Parameters
        ----------
        headers
            Of every message they become.
        """
        for key, value in encode_messages(readings, _READINGS_PER_MESSAGE):
            _send(
                self._producer,
                topics.READINGS.name,
                key,
                value,
                self._flush_timeout_s,
                headers=headers,
            )

    def flush(self) -> None:
        """Return once the broker has acknowledged everything sent before."""
        self._producer.flush(self._flush_timeout_s)


class LabelSink:
    """Sends known faults to `sensor.labels`, keyed by machine id.

    Parameters
    ----------
    producer, flush_timeout_s
        As for `TopicSink`.
    """

    def __init__(self, producer: Producer, *, flush_timeout_s: float = 60.0) -> None:
        self._producer = producer
        self._flush_timeout_s = flush_timeout_s

    def send(self, label: FaultLabel) -> None:
        """Hand a label to the producer; it has arrived once `flush` returns."""
        key, value = label.machine_id.encode(), labels.encode(label)
        _send(self._producer, topics.LABELS.name, key, value, self._flush_timeout_s)

    def flush(self) -> None:
        """Return once the broker has acknowledged everything sent before."""
        self._producer.flush(self._flush_timeout_s)


def _send(
    producer: Producer,
    topic: str,
    key: bytes,
    value: bytes,
    timeout_s: float,
    *,
    headers: Headers = (),
) -> None:
    """Send; when too much is in flight, wait until it has gone out and send again."""
    try:
        producer.send(topic, key, value, headers)
    except Overloaded:
        producer.flush(timeout_s)
        producer.send(topic, key, value, headers)
