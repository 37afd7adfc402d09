"""What goes over the wire is what the lists answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from faultline import alarms, drift, events, topics, verdicts
from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.stores import StoredVerdict
from faultline.verdicts import Status, Verdict, VerdictBatch
from services.predictor.answers import Verdicts, alarm_answer, verdict_answer
from services.predictor.drift_api import event_answer
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
                drifted = rig.drift()
                [drifting] = await client.events(1)
        names = [event.name for event in (verdict, raised, model, drifting)]
        assert names == ["verdict", "alarm", "model", "drift"]
        stored = [
            StoredVerdict(batch.machine_id, batch.machine_type, "faultline-pump", "3", one)
            for one in reversed(batch.verdicts)
        ]
        listed = Verdicts(machine_id="pump-1", verdicts=[verdict_answer(one) for one in stored])
        assert verdict.data == listed.model_dump(mode="json")
        assert raised.data == alarm_answer(alarm).model_dump(mode="json")
        assert ModelNews.model_validate(model.data).previous_version == "3"
        assert drifting.data == event_answer(drifted).model_dump(mode="json")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (Wanted(), ["verdict", "alarm", "model", "verdict", "verdict", "verdict", "drift"]),
        (Wanted(kinds=frozenset({Kind.ALARM})), ["alarm"]),
        (Wanted(kinds=frozenset({Kind.MODEL})), ["model"]),
        (Wanted(kinds=frozenset({Kind.DRIFT})), ["drift"]),
        (Wanted(machine_ids=frozenset({"pump-2"})), ["verdict"]),
        (Wanted(machine_ids=frozenset({"pump-1", "pump-2"})), ["verdict", "alarm", "verdict"]),
        (Wanted(machine_type="valve"), ["verdict", "drift"]),
        (Wanted(status=Status.FAILURE), ["alarm", "model", "verdict", "drift"]),
    ],
    ids=["all", "alarms", "models", "drift", "one machine", "two machines", "a type", "a status"],
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
                    lambda: rig.drift("valve"),
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


_FAR_MS = 99_999_999_999_999_999
_VERDICT = Verdict(timestamp_ms=1, status=Status.NORMAL)
_ALARM = Alarm(
    alarm_id="a-2", machine_id="pump-1", machine_type="pump", state=AlarmState.OPEN, began_at_ms=1,
    opened_at_ms=2, updated_at_ms=2, peak_score=2.5, peak_at_ms=2, top_sensors=(), bad_readings=6,
    model_name="faultline-pump", model_version="3",
)  # fmt: skip
_MODEL = ModelEvent(
    event_id="m-2", kind=ModelEventKind.PROMOTED, model_name="faultline-pump", model_version="4",
    at_ms=0, actor="gate",
)  # fmt: skip


_FINDING = Finding(kind=DriftKind.SENSOR, name="flow", statistic=0.5, threshold=0.25)
_DRIFT = DriftEvent(
    event_id="d-2", machine_type="pump", model_name="faultline-pump", model_version="3", at_ms=3,
    findings=(_FINDING,), start_ms=1, end_ms=2, readings=500,
)  # fmt: skip


def _drift_with(**fields: object) -> bytes:
    return drift.encode(replace(_DRIFT, **fields))


def _verdict_at(at_ms: int) -> bytes:
    verdict = replace(_VERDICT, timestamp_ms=at_ms)
    return verdicts.encode(
        VerdictBatch(machine_id="pump-1", machine_type="pump", verdicts=(_VERDICT, verdict))
    )


def _alarm_with(**times_ms: int) -> bytes:
    alarm = replace(_ALARM, **times_ms)
    return alarms.encode(AlarmEvent(event_id="e-2", kind=AlarmEventKind.OPENED, alarm=alarm))


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        (topics.VERDICTS, b"{"),
        (topics.VERDICTS, b'{"x":' + b"[" * 100_000),
        (topics.VERDICTS, b'{"machine_id":"\xff"}'),
        (topics.VERDICTS, _verdict_at(_FAR_MS)),
        (topics.VERDICTS, _verdict_at(-_FAR_MS)),
        (topics.ALARMS, _alarm_with(began_at_ms=_FAR_MS)),
        (topics.ALARMS, _alarm_with(opened_at_ms=_FAR_MS)),
        (topics.ALARMS, _alarm_with(updated_at_ms=_FAR_MS)),
        (topics.ALARMS, _alarm_with(peak_at_ms=_FAR_MS)),
        (topics.ALARMS, _alarm_with(closed_at_ms=_FAR_MS)),
        (topics.MODEL_EVENTS, events.encode(replace(_MODEL, at_ms=_FAR_MS))),
        (topics.DRIFT_EVENTS, _drift_with(at_ms=_FAR_MS)),
        (topics.DRIFT_EVENTS, _drift_with(start_ms=_FAR_MS)),
        (topics.DRIFT_EVENTS, _drift_with(end_ms=_FAR_MS)),
        (topics.DRIFT_EVENTS, _drift_with(findings=(replace(_FINDING, threshold=0.0),))),
    ],
)
def test_what_cannot_be_read_is_passed_over(rig: Rig, topic: topics.Topic, value: bytes) -> None:
    async def scenario() -> list[int]:
        with rig.replica() as live:
            async with rig.client(live) as client:
                await client.joined()
                rig.raw(topic, value)
                rig.verdict(1_000)
                return await client.times(1)

    assert asyncio.run(scenario()) == [1_000]
