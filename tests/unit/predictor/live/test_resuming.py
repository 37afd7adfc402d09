"""A client that comes back, to any replica, misses nothing and gets nothing twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from faultline import topics
from faultline.adapters.memory.feed import MemoryFeed, MemoryFollower
from faultline.ports.broker import Message, Partition
from faultline.topics import Topic
from services.predictor.live import LiveEvents
from services.predictor.live_events import TOPICS, Kind, Wanted
from services.predictor.live_position import Position, from_id

if TYPE_CHECKING:
    from tests.unit.predictor.live.conftest import Rig

_DEADLINE_S = 20.0


def test_at_another_replica_it_goes_on_where_it_was(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as one, rig.replica() as other:
            async with rig.client(one) as client:
                await client.joined()
                for time_ms in range(1, 8):
                    rig.verdict(time_ms, machine=f"pump-{time_ms}")
                got = await client.times(3)
            for time_ms in range(8, 12):
                rig.verdict(time_ms, machine=f"pump-{time_ms}")
            async with rig.client(other, last_id=client.last_id) as back:
                got += await back.times(8)
                rig.verdict(12)
                got += await back.times(1)
        assert sorted(got) == list(range(1, 13))

    asyncio.run(scenario())


def test_it_gets_everything_once_while_more_and_more_comes(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as one, rig.replica() as other:
            async with rig.client(one) as first, rig.client(other) as beside:
                got: list[int] = []
                last_id: str | None = await first.joined()
                await beside.joined()
                for turn in range(10):
                    live = (one, other)[turn % 2]
                    for time_ms in range(turn * 20, turn * 20 + 20):
                        rig.verdict(time_ms, machine=f"pump-{time_ms % 9}")
                    async with rig.client(live, last_id=last_id) as client:
                        # Some are left unread, for the next turn to get.
                        got += await client.times(13)
                        last_id = client.last_id
                async with rig.client(one, last_id=last_id) as client:
                    got += await client.times(200 - len(got))
        assert sorted(got) == list(range(200))

    asyncio.run(scenario())


class _Overlapping(MemoryFeed):
    """Whatever its second follower reads, the first has passed on already, and one more."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.broker)
        self._rig = rig
        self._opened = 0
        self.live: LiveEvents | None = None
        self.said = 1

    def open(self, topics: Sequence[Topic]) -> MemoryFollower:
        self._opened += 1
        follower = super().open(topics)
        if self._opened == 2:
            read = follower.poll

            def poll(timeout_s: float) -> Sequence[Message]:
                self._say()
                messages = read(timeout_s)
                self._say()
                return messages

            follower.poll = poll  # type: ignore[method-assign]
        return follower

    def _say(self) -> None:
        self.said += 1
        self._rig.verdict(self.said)
        deadline_s = time.monotonic() + _DEADLINE_S
        while sum(((self.live and self.live._position) or {}).values()) < self.said:
            assert time.monotonic() < deadline_s
            time.sleep(0.001)


def test_where_reading_ends_and_the_queue_begins_nothing_is_missed_and_nothing_is_double(
    rig: Rig,
) -> None:
    async def scenario() -> None:
        feed = _Overlapping(rig)
        with rig.replica(feed) as live:
            feed.live = live
            async with rig.client(live) as beside:
                begin = await beside.joined()
                rig.verdict(1)
                async with rig.client(live, last_id=begin) as client:
                    got = await client.times(3)
                    rig.verdict(100)
                    while got[-1] != 100:
                        got += await client.times(1)
        assert got == [*range(1, feed.said + 1), 100]

    asyncio.run(scenario())


def test_who_comes_back_when_many_do_waits_for_its_turn(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as live:
            async with rig.client(live) as client:
                begin = await client.joined()
            rig.verdict(1)
            rig.verdict(2)
            # Both come with one chunk, after which the first still has its reader.
            async with rig.client(live, last_id=begin, heartbeat_s=0.0) as second:
                async with rig.client(live, last_id=begin) as first:
                    assert await first.times(2) == [1, 2]
                    assert (await second.read()).retry
                    assert (await second.read()).comments == ["ping"]
                assert await second.times(2) == [1, 2]

    asyncio.run(scenario())


def test_what_a_restarted_predictor_says_again_is_not_sent_again(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as live, rig.replica() as other:
            async with rig.client(live) as client:
                await client.joined()
                rig.verdict(1, 2)
                rig.alarm("opened")
                await client.events(2)
                # Judged again since its last checkpoint, and cut in another way.
                rig.alarm("opened")
                rig.verdict(1)
                rig.verdict(2, 3)
                [event] = await client.events(1)
                assert len(event.data["verdicts"]) == 1
                rig.verdict(2, 3)
                rig.verdict(4)
            async with rig.client(other, last_id=client.last_id) as back:
                rig.verdict(5)
                assert await back.times(2) == [4, 5]

    asyncio.run(scenario())


def test_who_comes_back_too_late_is_told_what_is_left_out(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as live:
            async with rig.client(live) as client:
                begin = await client.joined()
            for time_ms in range(10):
                rig.verdict(time_ms)
            async with rig.client(live, last_id=begin, most_behind=4) as client:
                [gap] = await client.events(1)
                assert gap.data == {"reason": "behind", "missed": {"verdict": 6}}
                gap_id = gap.id
                assert await client.times(4) == [6, 7, 8, 9]
            # Told once: from there on nothing is missing.
            async with rig.client(live, last_id=gap_id, most_behind=4) as client:
                assert await client.times(4) == [6, 7, 8, 9]

    asyncio.run(scenario())


@pytest.mark.parametrize("strange", ["", "x", "1.2", "9" * 30, "999.0.0.0.0.0-0.0.0.0.0.0-0-0"])
def test_an_id_of_another_stream_is_told_and_the_stream_goes_on_from_now(
    rig: Rig, strange: str
) -> None:
    async def scenario() -> None:
        rig.verdict(1)
        with rig.replica() as live:
            async with rig.client(live, last_id=strange) as client:
                [gap] = await client.events(1)
                assert gap.data == {"reason": "unknown_id", "missed": {}}
                rig.verdict(2)
                assert await client.times(1) == [2]

    asyncio.run(scenario())


def test_who_asks_for_little_does_not_fall_behind_for_that(rig: Rig) -> None:
    async def scenario() -> None:
        alarms = Wanted(kinds=frozenset({Kind.ALARM}))
        with rig.replica() as live:
            async with (
                rig.client(live) as beside,
                rig.client(live, alarms, heartbeat_s=0.01) as client,
            ):
                await beside.joined()
                begin = await client.joined()
                rig.verdict(1)
                await beside.events(1)
                while client.last_id == begin:
                    assert (await client.read()).comments in (["ping"], [])

    asyncio.run(scenario())


def test_an_id_says_the_next_offset_of_every_partition() -> None:
    partitions = {Partition(one.name, n): 0 for one in TOPICS for n in range(one.partitions)}
    offsets = {each: number * 7 for number, each in enumerate(partitions)}
    text = Position(offsets).as_id(TOPICS)
    assert from_id(text, TOPICS, partitions) == offsets
    assert from_id(f"{text}-1", TOPICS, partitions) is None
    assert from_id(text.replace("-", ".", 1), TOPICS, partitions) is None


def test_the_order_of_topics_is_part_of_the_format() -> None:
    assert list(TOPICS) == [
        topics.VERDICTS,
        topics.ALARMS,
        topics.MODEL_EVENTS,
        topics.DRIFT_EVENTS,
    ]
