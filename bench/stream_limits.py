"""The hand-written limits of `bench.stream_speed`: what a loop around each client can do at best.

Polls, decodes with msgspec, scores with one matrix product, sends what is far off, flushes and
commits, at least once; no windows, verdicts, states or metrics. A process of its own: prints
readings per second, from the first poll that brings something to the last commit.
"""

from __future__ import annotations

import argparse
import time
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer
from kafka import KafkaConsumer, KafkaProducer

CLIENTS = ("kafka-python", "confluent")
_BATCH = 5_000
_FAR = 1e6
_ALARMS = "limit.alarms"


_Sensors: Any = msgspec.defstruct(
    "_Sensors", [(f"sensor_{number}", float) for number in range(16)], gc=False
)


class Reading(msgspec.Struct, gc=False):
    """As much of a reading as the loop needs."""

    machine_id: str
    timestamp: str
    sensors: _Sensors


_ONE = msgspec.json.Decoder(Reading)
_MANY = msgspec.json.Decoder(list[Reading])
_CENTRES = np.arange(4.0)[:, np.newaxis] * np.ones(16)


def decoded(values: list[bytes]) -> list[Reading]:
    """Readings of messages that hold one or many."""
    return list(
        chain.from_iterable(
            _MANY.decode(value) if value[:1] == b"[" else (_ONE.decode(value),) for value in values
        )
    )


def far(readings: list[Reading]) -> list[tuple[bytes, bytes]]:
    """Messages about the readings that are far from every centre."""
    flat = chain.from_iterable(msgspec.structs.astuple(reading.sensors) for reading in readings)
    rows = np.fromiter(flat, float, len(readings) * 16).reshape(-1, 16)
    squares = (rows**2).sum(1)[:, None] - 2 * rows @ _CENTRES.T + (_CENTRES**2).sum(1)
    return [
        (readings[row].machine_id.encode(), msgspec.json.encode(readings[row]))
        for row in np.flatnonzero(squares.min(1) > _FAR)
    ]


def with_kafka_python(servers: str, topic: str, group: str, count: int, messages: int) -> float:
    """Seconds that the loop takes with kafka-python."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=messages,
        fetch_max_bytes=50 << 20,
        max_partition_fetch_bytes=4 << 20,
    )
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=0)
    begun_s, done = 0.0, 0
    while done < count:
        polled = consumer.poll(timeout_ms=1000)
        if not polled:
            continue
        begun_s = begun_s or time.perf_counter()
        readings = decoded([one.value for records in polled.values() for one in records])
        for key, value in far(readings):
            producer.send(_ALARMS, value, key=key)
        producer.flush()
        done += len(readings)
        (consumer.commit if done >= count else consumer.commit_async)()
    took_s = time.perf_counter() - begun_s
    consumer.close()
    producer.close()
    return took_s


def with_confluent(servers: str, topic: str, group: str, count: int, messages: int) -> float:
    """Seconds that the loop takes with confluent-kafka."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.max.bytes": 50 << 20,
            "max.partition.fetch.bytes": 8 << 20,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([topic])
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "linger.ms": 0})
    begun_s, done = 0.0, 0
    while done < count:
        polled = consumer.consume(messages, 0.05)
        if not polled:
            continue
        begun_s = begun_s or time.perf_counter()
        here = [one for one in consumer.position(consumer.assignment()) if one.offset >= 0]
        readings = decoded([one.value() or b"" for one in polled if one.error() is None])
        for key, value in far(readings):
            producer.produce(_ALARMS, value, key)
        producer.flush()
        done += len(readings)
        # With offsets of its own: a bare asynchronous commit may take in the next poll.
        if done >= count:
            consumer.commit(offsets=here, asynchronous=False)
        else:
            consumer.commit(offsets=here, asynchronous=True)
    took_s = time.perf_counter() - begun_s
    consumer.close()
    return took_s


def main() -> None:
    """Run one turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("group")
    parser.add_argument("count", type=int)
    parser.add_argument("per_message", type=int)
    given = parser.parse_args()
    run = with_confluent if given.client == "confluent" else with_kafka_python
    messages = max(1, _BATCH // given.per_message)
    print(given.count / run(given.servers, given.topic, given.group, given.count, messages))


if __name__ == "__main__":
    main()
