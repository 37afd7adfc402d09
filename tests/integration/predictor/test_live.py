"""The live stream on real Kafka: at any replica everything comes once, also when one is killed."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from faultline.client import LiveEvent, PredictorClient
from faultline.errors import Unavailable

if TYPE_CHECKING:
    from tests.integration.conftest import Running, Until
    from tests.integration.predictor.conftest import World

pytestmark = pytest.mark.real

_DEADLINE_S = 60.0


@dataclass
class Heard:
    """What a client was sent, whichever replicas it asked."""

    verdicts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    alarms: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    others: list[LiveEvent] = field(default_factory=list)
    last_id: str | None = None

    def note(self, event: LiveEvent) -> None:
        self.last_id = event.id
        data: Mapping[str, Any] = event.data
        if event.kind == "verdict":
            self.verdicts.update(
                (data["machine_id"], one["timestamp"], one["status"]) for one in data["verdicts"]
            )
        elif event.kind == "alarm":
            self.alarms[data["machine_id"], data["state"], data["updated_at"]] += 1
        else:
            self.others.append(event)


@contextmanager
def _listening(replica: Running, heard: Heard, until: Until, kind: str) -> Iterator[None]:
    """A client in a thread, from the event on that it heard last; it has joined."""
    leave = threading.Event()
    begun = threading.Event()

    def listen() -> None:
        with PredictorClient(replica.url) as client:
            try:
                for event in client.follow(
                    machine_type=kind, last_event_id=heard.last_id, patience_s=0.0
                ):
                    heard.note(event)
                    begun.set()
                    if leave.is_set():
                        return
            except Unavailable:
                assert leave.is_set() or replica.process.poll() is not None

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        until(begun.is_set, "a client that listens")
        yield
    finally:
        leave.set()
        thread.join(_DEADLINE_S)
        assert not thread.is_alive()


def _times(machine: str, seconds: range) -> set[tuple[str, str]]:
    return {(machine, f"1970-01-01T00:{s // 60:02}:{s % 60:02}.000Z") for s in seconds}


def _heard_of(heard: Heard) -> set[tuple[str, str]]:
    return {(machine, at) for machine, at, _ in heard.verdicts}


def test_clients_of_any_replica_hear_of_all_machines_once_also_when_one_is_killed(
    world: World, until: Until
) -> None:
    world.register(boundary=2.0)
    machines = [f"{world.kind}/{number}" for number in range(8)]
    wanted: set[tuple[str, str]] = set()
    stays, moves = Heard(), Heard()

    def say(seconds: range, value: float, *heard: Heard) -> None:
        for machine in machines:
            world.send(seconds, value, machine)
            wanted.update(_times(machine, seconds))
        until(lambda: all(wanted <= _heard_of(each) for each in heard), "all verdicts")

    with world.predictor() as one, world.predictor() as other:
        until(
            lambda: all(each.judges_by(world.kind, "1") for each in (one, other)), "both replicas"
        )
        with _listening(one, stays, until, world.kind):
            with _listening(other, moves, until, world.kind):
                say(range(20), 0.1, stays, moves)
                say(range(20, 30), 9.0, stays, moves)
            # Meanwhile the second listens nowhere.
            say(range(30, 50), 9.0)
            # To the replica that the first is at, and then with the other one killed.
            with _listening(one, moves, until, world.kind):
                say(range(50, 60), 0.1)
                other.end(signal.SIGKILL)
                say(range(60, 90), 0.1, stays, moves)
                until(
                    lambda: all(
                        sum(state == "closed" for _, state, _ in each.alarms) == len(machines)
                        for each in (stays, moves)
                    ),
                    "the end of every alarm",
                )
    for heard in (stays, moves):
        assert _heard_of(heard) == wanted
        assert set(heard.verdicts.values()) == {1}
        assert set(heard.alarms.values()) == {1}
        opened = {machine for machine, state, _ in heard.alarms if state == "open"}
        assert opened == set(machines)
        assert [each.kind for each in heard.others if each.kind == "gap"] == []


def test_a_predictor_that_is_told_to_stop_ends_its_streams_at_once(
    world: World, until: Until
) -> None:
    with world.predictor() as predictor, PredictorClient(predictor.url) as client:
        events = client.follow(patience_s=0.0)
        assert next(events).id
        predictor.process.send_signal(signal.SIGTERM)
        with pytest.raises(Unavailable, match="ended the stream"):
            list(events)
        assert predictor.process.wait(_DEADLINE_S) == 0
