"""What kafka-python's records become."""

from __future__ import annotations

from kafka import TopicPartition
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from faultline.adapters.kafka.messages import flattened
from faultline.ports.broker import Partition


class _Record:
    """As kafka-python's consumer hands it out."""

    def __init__(self, headers: list[tuple[str, bytes | None]], value: bytes | None) -> None:
        batch = DefaultRecordBatchBuilder(2, 0, 0, 0, 0, 0, 1_000)
        batch.append(0, 7, b"key", value, headers)
        (record,) = DefaultRecordBatch(bytes(batch.build()))
        self.offset, self.timestamp = record.offset, record.timestamp
        self.key, self.value, self.headers = record.key, record.value, record.headers


def test_null_is_empty_as_a_value_and_in_a_header() -> None:
    record = _Record([("h", None), ("reason", b"because")], None)
    (message,) = flattened({TopicPartition("topic", 3): [record]})
    assert (message.partition, message.value) == (Partition("topic", 3), b"")
    assert message.headers == (("h", b""), ("reason", b"because"))
