"""Membership: what a group's members are told when partitions come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import pytest

from faultline.errors import Unavailable
from faultline.ports.broker import Broker, Consumer, Message, Partition
from faultline.topics import Topic

if TYPE_CHECKING:
    from tests.contract.broker.conftest import Rig

DEADLINE_S = 60.0


def test_an_assignment_is_told_before_its_first_message(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, b"1")
    listener = rig.listener()
    (message,) = rig.receive(broker.consumer(group, [topic], listener), 1)
    assert message.partition in listener.owned


def test_an_assignment_whose_listener_failed_is_told_again_and_nothing_is_lost(
    rig: Rig, broker: Broker, topic: Topic, group: str, throw_out: Callable[[str], None]
) -> None:
    rig.send(broker, topic, b"1", b"2")
    failures = [Unavailable("the database is down"), Unavailable("still")]

    def fail_twice(_: Consumer, __: Collection[Partition]) -> None:
        if failures:
            raise failures.pop()

    consumer = broker.consumer(group, [topic], rig.listener(fail_twice))
    messages: list[Message] = []
    refused = 0
    deadline = time.monotonic() + DEADLINE_S
    while len(messages) < 2 and time.monotonic() < deadline:
        try:
            messages += consumer.poll(0.2, 10)
        except Unavailable:
            refused += 1
    assert (refused, rig.values(messages)) == (2, [b"1", b"2"])


def test_two_members_share_the_partitions(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    one, other = rig.listener(), rig.listener()
    first, second = broker.consumer(group, [topic], one), broker.consumer(group, [topic], other)
    rig.share_out(first, one, second, other, 3)
    assert one.owned.isdisjoint(other.owned)


def test_an_assignment_that_came_between_two_polls_is_told_at_the_next(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    one, other, another = rig.listener(), rig.listener(), rig.listener()
    first = broker.consumer(group, [topic], one)
    rig.poll_until(lambda: "assigned" in one.told, first)
    second = broker.consumer(group, [topic], other)
    rig.share_out(first, one, second, other, 3)
    third = broker.consumer(group, [topic], another)
    one.told.clear()
    rig.poll_until(lambda: "revoked" in one.told, third, first)
    # The group waits for the second. What the first gets then comes while it is not polled, and
    # nobody else is polled when it is.
    other.told.clear()
    rig.poll_until(lambda: "assigned" in other.told, second)
    rig.poll_until(lambda: "assigned" in one.told, first)
    rig.poll_until(lambda: "assigned" in another.told, third)
    owned = [listener.owned for listener in (one, other, another)]
    assert sorted(len(each) for each in owned) == [1, 1, 1]


def test_what_a_member_commits_when_it_is_revoked_the_next_owner_does_not_get(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send_keyed(broker, topic, 30)
    one, other = rig.listener(), rig.listener()
    first = broker.consumer(group, [topic], one)
    messages = rig.receive(first, 30)
    one.to_commit = {message.partition: message.offset + 1 for message in messages}
    second = broker.consumer(group, [topic], other)
    again = rig.share_out(first, one, second, other, 3)
    again += [*first.poll(0.5, 100), *second.poll(0.5, 100)]
    assert (one.told[:2], again) == (["assigned", "revoked"], [])


def test_what_was_not_committed_when_revoked_comes_again(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send_keyed(broker, topic, 30)
    one, other = rig.listener(), rig.listener()
    first, second = broker.consumer(group, [topic], one), broker.consumer(group, [topic], other)
    rig.receive(first, 30)
    again = rig.share_out(first, one, second, other, 3)
    deadline = time.monotonic() + DEADLINE_S
    while len(again) < 30 and time.monotonic() < deadline:
        again += [*first.poll(0.1, 100), *second.poll(0.1, 100)]
    assert len(again) == 30


def test_a_listener_that_fails_when_partitions_go_is_heard(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    def fail(_: Consumer, __: Collection[Partition]) -> None:
        raise Unavailable("the state cannot be written")

    rig.send(broker, topic, b"1")
    consumer = broker.consumer(group, [topic], rig.listener(on_revoked=fail))
    rig.receive(consumer, 1)
    with pytest.raises(Unavailable, match="state cannot be written"):
        consumer.close()


def test_closing_a_member_tells_it_that_its_partitions_go(
    rig: Rig, broker: Broker, topic: Topic, group: str
) -> None:
    rig.send(broker, topic, b"1")
    listener = rig.listener()
    consumer = broker.consumer(group, [topic], listener)
    rig.receive(consumer, 1)
    consumer.close()
    assert listener.told == ["assigned", "revoked"]


def test_a_member_that_was_thrown_out_is_told_that_its_partitions_are_lost(
    rig: Rig, broker: Broker, topic: Topic, group: str, throw_out: Callable[[str], None]
) -> None:
    rig.send(broker, topic, b"1")
    listener = rig.listener()
    consumer = broker.consumer(group, [topic], listener)
    rig.receive(consumer, 1)
    throw_out(group)
    deadline = time.monotonic() + DEADLINE_S
    while listener.told.count("assigned") < 2:
        assert time.monotonic() < deadline, listener.told
        consumer.poll(0.2, 10)
    assert listener.told == ["assigned", "lost", "assigned"]
