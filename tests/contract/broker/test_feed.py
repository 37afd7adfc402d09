"""Following topics from an offset that is chosen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from faultline.adapters.broker import open_feed
from faultline.adapters.confluent import ConfluentBroker
from faultline.adapters.memory import MemoryBroker
from faultline.adapters.memory.feed import MemoryFeed
from faultline.errors import Unavailable
from faultline.ports.broker import Broker, Message, Partition
from faultline.ports.feed import Extent, Feed, Follower
from faultline.settings import KafkaSettings
from faultline.topics import Topic

if TYPE_CHECKING:
    from tests.contract.broker.conftest import Rig

DEADLINE_S = 60.0


@pytest.fixture
def feed(request: pytest.FixtureRequest, broker: Broker) -> Feed:
    """Through the client that the broker is made with."""
    if isinstance(broker, MemoryBroker):
        return MemoryFeed(broker)
    client = "confluent" if isinstance(broker, ConfluentBroker) else "kafka-python"
    platform = request.getfixturevalue("platform")
    settings = KafkaSettings(kafka_bootstrap_servers=platform.kafka, kafka_client=client)
    return open_feed(settings, "contract")


@pytest.fixture
def topics(rig: Rig, broker: Broker) -> Sequence[Topic]:
    """Of two partitions, and of one."""
    return [rig.topic(broker, 2), rig.topic(broker, 1)]


def _read(follower: Follower, count: int) -> Iterator[Message]:
    deadline_s = time.monotonic() + DEADLINE_S
    while count > 0:
        assert time.monotonic() < deadline_s, f"{count} messages did not come"
        messages = follower.poll(0.2)
        count -= len(messages)
        yield from messages


def test_it_begins_at_the_end_of_every_partition_and_says_what_they_hold(
    rig: Rig, broker: Broker, feed: Feed, topics: Sequence[Topic]
) -> None:
    two, one = topics
    rig.send(broker, one, b"1", b"2")
    with closing(feed.open(topics)) as follower:
        assert follower.extents == {
            Partition(two.name, 0): Extent(0, 0),
            Partition(two.name, 1): Extent(0, 0),
            Partition(one.name, 0): Extent(0, 2),
        }
        assert follower.positions() == {
            partition: extent.end for partition, extent in follower.extents.items()
        }
        rig.send(broker, one, b"3")
        rig.send(broker, two, b"4")
        assert sorted(rig.values(list(_read(follower, 2)))) == [b"3", b"4"]
        assert follower.positions()[Partition(one.name, 0)] == 3


def test_it_reads_on_from_where_it_is_put(
    rig: Rig, broker: Broker, feed: Feed, topics: Sequence[Topic]
) -> None:
    _, one = topics
    partition = Partition(one.name, 0)
    rig.send(broker, one, b"0", b"1", b"2", b"3")
    with closing(feed.open(topics)) as follower:
        follower.seek(partition, 2)
        assert follower.positions()[partition] == 2
        read = list(_read(follower, 2))
        assert [(each.partition, each.offset, each.value) for each in read] == [
            (partition, 2, b"2"),
            (partition, 3, b"3"),
        ]
        follower.seek(partition, 1)
        assert rig.values(list(_read(follower, 3))) == [b"1", b"2", b"3"]


def test_without_news_it_stays_where_it_is(
    rig: Rig, broker: Broker, feed: Feed, topics: Sequence[Topic]
) -> None:
    rig.send(broker, topics[1], b"before")
    with closing(feed.open(topics)) as follower:
        before = follower.positions()
        assert list(follower.poll(0.2)) == []
        assert follower.positions() == before


def test_a_topic_that_does_not_exist_is_unavailable(feed: Feed) -> None:
    with pytest.raises(Unavailable, match="no topic nowhere"):
        feed.open([Topic("nowhere", "key", "Nothing.", 1, 1_000)])
