"""Reading each event once, from some place on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from faultline.adapters.memory.feed import MemoryFeed, MemoryFollower
from faultline.ports.broker import Message
from faultline.verdicts import VerdictBatch
from services.predictor.live_events import TOPICS, LiveEvent
from services.predictor.live_reader import Lately, LiveReader

if TYPE_CHECKING:
    from tests.unit.predictor.live.conftest import Rig


def _in_small_steps(follower: MemoryFollower) -> MemoryFollower:
    """Gives one message at a time, as a broker may."""
    read = follower.poll

    def poll(timeout_s: float) -> Sequence[Message]:
        messages = read(timeout_s)
        for message in messages[1:2]:
            follower.seek(message.partition, message.offset)
        return messages[:1]

    follower.poll = poll  # type: ignore[method-assign]
    return follower


@pytest.fixture
def reader(rig: Rig) -> LiveReader:
    """After three verdicts, which it begins to look back over."""
    for time_ms in (1, 2, 3):
        rig.verdict(time_ms)
    follower = _in_small_steps(MemoryFeed(rig.broker).open(TOPICS))
    return LiveReader(follower, {one: each.end for one, each in follower.extents.items()})


def test_what_came_before_is_no_event_and_no_place_to_go_back_to(reader: LiveReader) -> None:
    for _ in range(4):
        events, position = reader.poll(0.0)
        assert events == []
        assert sum(position.values()) == 3


def test_what_came_before_is_known(rig: Rig) -> None:
    rig.verdict(1)
    follower = MemoryFeed(rig.broker).open(TOPICS)
    reader = LiveReader(follower, {one: each.end for one, each in follower.extents.items()})
    rig.verdict(1)
    rig.verdict(1, 2)
    events, _ = reader.poll(0.0)
    assert [_times(event) for event in events] == [[2]]


def test_the_last_thousand_messages_of_a_partition_are_known(rig: Rig) -> None:
    said = range(1_000)
    for time_ms in said:
        rig.verdict(time_ms)
    follower = MemoryFeed(rig.broker).open(TOPICS)
    reader = LiveReader(follower, {one: each.end for one, each in follower.extents.items()})
    for time_ms in (*said, 1_000):
        rig.verdict(time_ms)
    events, _ = reader.poll(0.0)
    assert [_times(event) for event in events] == [[1_000]]


def _times(event: LiveEvent) -> list[int]:
    assert isinstance(event.content, VerdictBatch)
    return [verdict.timestamp_ms for verdict in event.content.verdicts]


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    is_first = Lately(most=10)
    assert [is_first(number) for number in (1, 1, 2)] == [True, False, True]
    assert all(is_first(number) for number in range(3, 13))
    # At least the last ten are known, and not all that ever was.
    assert not any(is_first(number) for number in range(3, 13))
    assert all(is_first(number) for number in range(100, 120))
    assert is_first(1)
