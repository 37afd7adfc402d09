"""A predictor that was ended or killed goes on where it stood."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from faultline.alarms import AlarmEventKind
from faultline.verdicts import Status

if TYPE_CHECKING:
    from tests.integration.predictor.conftest import World

pytestmark = pytest.mark.real


def test_a_restart_continues_the_window_and_the_alarm(world: World) -> None:
    world.register(boundary=2.0)
    with world.predictor() as predictor:
        world.send(range(10))
        world.send(range(10, 20), value=9.0)
        world.wait_for(range(20))
        assert predictor.end(signal.SIGTERM) == 0
    world.send(range(20, 40))
    with world.predictor():
        said = world.wait_for(range(40))
    times = [verdict.timestamp_ms for _, verdict in said.verdicts]
    assert times == [second * 1_000 for second in range(40)]
    warming_up = [v.timestamp_ms for _, v in said.verdicts if v.status is Status.WARMING_UP]
    assert warming_up == [0, 1_000]
    kinds = [event.kind for event in said.alarms]
    assert (kinds[0], kinds[-1]) == (AlarmEventKind.OPENED, AlarmEventKind.CLOSED)
    assert len({event.alarm.alarm_id for event in said.alarms}) == 1


def test_a_killed_predictor_leaves_nothing_out_and_says_nothing_else_the_second_time(
    world: World,
) -> None:
    world.register(boundary=2.0)
    with world.predictor() as predictor:
        world.send(range(10))
        world.send(range(10, 20), value=9.0)
        world.wait_for([0])
        predictor.end(signal.SIGKILL)
    world.send(range(20, 40))
    with world.predictor():
        said = world.wait_for(range(40))
    first = said.first()
    assert all(verdict == first[verdict.timestamp_ms] for _, verdict in said.verdicts)
    assert [at for at, verdict in first.items() if verdict.status is Status.WARMING_UP] == [
        0,
        1_000,
    ]
    by_id = {event.event_id: event for event in said.alarms}
    assert all(event == by_id[event.event_id] for event in said.alarms)
    assert len({event.alarm.alarm_id for event in said.alarms}) == 1
