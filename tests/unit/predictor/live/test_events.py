"""What goes over the wire is what the lists answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from faultline import topics
from faultline.ports.stores import StoredVerdict
from faultline.verdicts import Status
from services.predictor.answers import Verdicts, alarm_answer, verdict_answer
from services.predictor.live_events import Kind, ModelNews, Wanted

if TYPE_CHECKING:
    from tests.unit.predictor.live.conftest import Rig


def test_each_kind_has_the_shape_of_its_list(rig: Rig) -> None:
    async def scenario() -> None:
        with rig.replica() as live:
            async with rig.client(live) as client:
                first = await client.read()
                assert first.retry == 3_000
                await client.joined()
                batch = rig.verdict(1_000, 2_000)
                [verdict] = await client.events(1)
                alarm = rig.alarm()
                [raised] = await client.events(1)
                rig.model()
                [model] = await client.events(1)
        assert (verdict.name, raised.name, model.name) == ("verdict", "alarm", "model")
        stored = [
            StoredVerdict(batch.machine_id, batch.machine_type, "faultline-pump", "3", one)
            for one in reversed(batch.verdicts)
        ]
        listed = Verdicts(machine_id="pump-1", verdicts=[verdict_answer(one) for one in stored])
        assert verdict.data == listed.model_dump(mode="json")
        assert raised.data == alarm_answer(alarm).model_dump(mode="json")
        assert ModelNews.model_validate(model.data).previous_version == "3"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (Wanted(), ["verdict", "alarm", "model", "verdict", "verdict", "verdict"]),
        (Wanted(kinds=frozenset({Kind.ALARM})), ["alarm"]),
        (Wanted(kinds=frozenset({Kind.MODEL})), ["model"]),
        (Wanted(machine_ids=frozenset({"pump-2"})), ["verdict"]),
        (Wanted(machine_ids=frozenset({"pump-1", "pump-2"})), ["verdict", "alarm", "verdict"]),
        (Wanted(machine_type="valve"), ["verdict"]),
        (Wanted(status=Status.FAILURE), ["alarm", "model", "verdict"]),
    ],
    ids=["all", "alarms", "models", "one machine", "two machines", "a type", "a status"],
)
def test_a_client_gets_what_it_asks_for_and_nothing_else(
    rig: Rig, wanted: Wanted, seen: list[str]
) -> None:
    async def scenario() -> list[str | None]:
        with rig.replica() as live:
            async with rig.client(live) as everything, rig.client(live, wanted) as client:
                await everything.joined()
                last_id = await client.joined()
                # One after the other, as partitions have no order among them.
                for say in (
                    lambda: rig.verdict(1),
                    rig.alarm,
                    rig.model,
                    lambda: rig.verdict(2, machine="pump-2"),
                    lambda: rig.verdict(3, machine="valve-1", kind="valve"),
                    lambda: rig.verdict(4, machine="pump-9", status=Status.FAILURE),
                ):
                    say()
                    await everything.events(1)
                live_names = [event.name for event in await client.events(len(seen))]
            # The same where it is read and not queued.
            async with rig.client(live, wanted, last_id) as again:
                names = [event.name for event in await again.events(len(seen))]
                live.end()
                assert await again.ended()
        assert sorted(map(str, names)) == sorted(seen)
        return live_names

    assert asyncio.run(scenario()) == seen


def test_of_a_batch_only_the_verdicts_of_that_status_come(rig: Rig) -> None:
    async def scenario() -> list[str]:
        with rig.replica() as live:
            async with rig.client(live, Wanted(status=Status.FAILURE)) as client:
                await client.joined()
                rig.verdict(1, 2)
                rig.verdict(3, status=Status.FAILURE)
                [event] = await client.events(1)
                return [one["status"] for one in event.data["verdicts"]]

    assert asyncio.run(scenario()) == ["failure"]


def test_what_cannot_be_read_is_passed_over(rig: Rig) -> None:
    async def scenario() -> list[int]:
        with rig.replica() as live:
            async with rig.client(live) as client:
                await client.joined()
                rig.raw(topics.VERDICTS, b"{")
                rig.verdict(1_000)
                return await client.times(1)

    assert asyncio.run(scenario()) == [1_000]
