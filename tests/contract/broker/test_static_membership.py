"""Members of a Kafka group with lasting names: who comes back, and who comes under another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from faultline.adapters.broker import open_broker
from faultline.errors import Unavailable
from faultline.local.home import Endpoints
from faultline.ports.broker import Broker
from faultline.settings import KafkaSettings

if TYPE_CHECKING:
    from tests.contract.broker.conftest import Rig

pytestmark = pytest.mark.real

Process = Callable[[str], Broker]


@pytest.fixture(params=["kafka-python", "confluent"])
def process(request: pytest.FixtureRequest, platform: Endpoints) -> Iterator[Process]:
    """Starts a process whose members have this name; ending it closes what it opened."""
    with ExitStack() as opened:

        def start(name: str) -> Broker:
            settings = KafkaSettings(
                kafka_bootstrap_servers=platform.kafka,
                kafka_group_instance_id=name,
                kafka_client=request.param,
            )
            broker = open_broker(settings, name)
            opened.callback(broker.close)
            return broker

        yield start


# The first to join leads the group: it hands the partitions out.
@pytest.mark.parametrize("restarted", [0, 1], ids=["leader", "follower"])
def test_a_member_that_is_back_under_its_name_disturbs_nobody(
    rig: Rig, process: Process, group: str, restarted: int
) -> None:
    processes = [process("one"), process("two")]
    topic = rig.topic(processes[0])
    listeners = [rig.listener(), rig.listener()]
    members = [
        broker.consumer(group, [topic], listener)
        for broker, listener in zip(processes, listeners, strict=True)
    ]
    rig.poll_until(lambda: bool(listeners[0].owned), members[0])
    rig.share_out(members[0], listeners[0], members[1], listeners[1], 3)
    owned = [set(listener.owned) for listener in listeners]
    for listener in listeners:
        listener.told.clear()

    other = 1 - restarted
    processes[restarted].close()
    assert listeners[restarted].told == ["revoked"]
    back = rig.listener()
    again = process(("one", "two")[restarted]).consumer(group, [topic], back)
    # Only this one is polled: had the group to share out anew, it would wait for the other.
    rig.poll_until(lambda: bool(back.owned), again)
    assert back.owned == owned[restarted]

    rig.send_keyed(processes[other], topic, 60)
    seen = {message.partition for message in rig.receive(again, 1)}
    assert seen <= owned[restarted]
    assert {one.partition for one in rig.receive(members[other], 1)} <= owned[other]
    assert listeners[other].told == []

    # And whoever is new still gets a share.
    third = rig.listener()
    last = process("three").consumer(group, [topic], third)
    rig.poll_until(
        lambda: [len(each.owned) for each in (back, listeners[other], third)] == [1, 1, 1],
        again,
        members[other],
        last,
    )


def test_who_lost_its_name_to_another_process_is_told_which_setting_to_look_at(
    rig: Rig, process: Process, group: str
) -> None:
    older, newer = process("one"), process("one")
    topic = rig.topic(older)
    listeners = [rig.listener(), rig.listener()]
    first = older.consumer(group, [topic], listeners[0])
    rig.poll_until(lambda: bool(listeners[0].owned), first)
    second = newer.consumer(group, [topic], listeners[1])
    rig.poll_until(lambda: bool(listeners[1].owned), second)
    with pytest.raises(Unavailable, match="FAULTLINE_KAFKA_GROUP_INSTANCE_ID"):
        first.commit(dict.fromkeys(listeners[0].owned, 0))
