"""Clients that are slow, too many, gone; a broker that is away; a service that ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from faultline.errors import Unavailable

if TYPE_CHECKING:
    from tests.unit.predictor.live.conftest import Rig


def test_a_slow_client_loses_the_oldest_is_told_how_many_and_holds_up_nobody(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica(queue_bytes=2_000) as live:
            async with rig.client(live) as slow, rig.client(live) as quick:
                await slow.joined()
                await quick.joined()
                for time_ms in range(50):
                    rig.verdict(time_ms)
                    assert await quick.times(1) == [time_ms]
                [gap] = await slow.events(1)
                dropped = gap.data["missed"]["verdict"]
                assert gap.data == {"reason": "slow", "missed": {"verdict": dropped}}
                assert 40 < dropped < 50
                assert await slow.times(50 - dropped) == list(range(dropped, 50))
                assert rig.count(live, "verdict", "dropped") == dropped
                assert rig.count(live, "verdict", "sent") == 50 + 50 - dropped
            # What was told as missed does not come after all.
            async with rig.client(live, last_id=gap.id) as back:
                assert await back.times(50 - dropped) == list(range(dropped, 50))

    asyncio.run(scenario())


def test_an_event_larger_than_the_queue_comes_alone(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica(queue_bytes=10) as live:
            async with rig.client(live) as client:
                await client.joined()
                rig.verdict(1)
                assert await client.times(1) == [1]

    asyncio.run(scenario())


def test_more_clients_than_there_may_be_are_refused_until_one_leaves(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica(most_clients=1) as live:

            async def listen() -> None:
                async with rig.client(live) as client:
                    await client.joined()
                    sample = live.metrics.registry.get_sample_value
                    assert sample("faultline_predictor_live_clients") == 1
                    with pytest.raises(Unavailable, match="1 clients"):
                        async with rig.client(live):
                            pass

            await listen()
            await listen()

    asyncio.run(scenario())


def test_nothing_is_read_while_nobody_listens(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as live:
            async with rig.client(live) as client:
                first = await client.joined()
            await rig.until(lambda: live._position is None)
            rig.verdict(1)
            async with rig.client(live) as client:
                # From where it is now, and not from where the last one left.
                assert await client.joined() != first
                rig.verdict(2)
                assert await client.times(1) == [2]

    asyncio.run(scenario())


def test_a_broker_that_is_away_is_waited_for_with_heartbeats(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as live:
            async with rig.client(live, heartbeat_s=0.01) as client:
                await client.joined()
                rig.verdict(1)
                assert await client.times(1) == [1]
                rig.broker.stop()
                for _ in range(3):
                    assert (await client.read()).comments == ["ping"]
                # Also who comes now, new or again.
                async with (
                    rig.client(live, heartbeat_s=0.01) as new,
                    rig.client(live, last_id=client.last_id, heartbeat_s=0.01) as back,
                ):
                    for one in (new, back):
                        assert (await one.read()).retry
                    assert (await back.read()).comments == ["ping"]
                    rig.broker.start()
                    rig.verdict(2)
                    assert await client.times(1) == [2]
                    assert await back.times(1) == [2]

    asyncio.run(scenario())


def test_a_service_that_ends_lets_its_clients_go_and_takes_no_new_ones(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as live:
            async with (
                rig.client(live, heartbeat_s=1_000.0) as client,
                rig.client(live, last_id="x", heartbeat_s=1_000.0) as resuming,
            ):
                await client.joined()
                await resuming.events(1)
                waiting = [asyncio.create_task(each.ended()) for each in (client, resuming)]
                rig.verdict(1)
                await rig.until(lambda: rig.count(live, "verdict", "sent") == 2)
                live.end()
                assert await asyncio.gather(*waiting) == [True, True]
            with pytest.raises(Unavailable, match="ends"):
                async with rig.client(live):
                    pass

    asyncio.run(scenario())
