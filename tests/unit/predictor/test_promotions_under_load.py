"""A hundred promotions while readings stream and predictions are asked for: no error, no gap.

A version is known by its boundary: readings at a distance of 1 score 1 divided by it, so an answer
that mixes two versions, or names another than the one that scored, shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import dropwhile
from typing import Any

import pytest

from faultline import events, topics, verdicts
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.detector import Detector
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.broker import Partition
from faultline.ports.registry import ModelVersion
from faultline.readings import encode_batch, make_reading
from faultline.verdicts import Status, VerdictBatch

World = Any
NAME = "faultline-pump"
PROMOTIONS = 100
MACHINES = [f"pump-{number}" for number in range(7)]
_DEADLINE_S = 60.0


def _boundary(version: str) -> float:
    return 2.0 + int(version) / 100


class Load:
    """Threads that send and ask until they are told to stop, and what they saw."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent = 0
        self.answers: list[list[tuple[str, float]]] = []
        self.errors: list[BaseException] = []
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        predictor = self.world.predictor
        loops = [loop.run for loop in predictor.loops]
        threads = [
            threading.Thread(target=self._guarded, args=(run,))
            for run in (*loops, self._send, self._ask)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(_DEADLINE_S)

    def is_answering(self, version: str) -> bool:
        return bool(self.answers[-1]) and self.answers[-1][0][0] == version

    def _guarded(self, run: Callable[[threading.Event], None]) -> None:
        try:
            run(self._stop)
        except BaseException as error:
            self.errors.append(error)
            raise

    def _send(self, stop: threading.Event) -> None:
        producer = self.world.broker.producer()
        while not stop.wait(0.001):
            for machine in MACHINES:
                one = make_reading(machine, 1_000 * self.sent, {"flow": 1.0, "heat": 0.0}, "pump")
                producer.send(topics.READINGS.name, machine.encode(), encode_batch([one]))
            self.sent += 1

    def _ask(self, stop: threading.Event) -> None:
        rows = [
            make_reading("nobody", 1_000 * row, {"flow": 1.0, "heat": 0.0}, "pump")
            for row in range(20)
        ]
        while not stop.is_set():
            answer = self.world.http.post("/api/v1/predict", content=encode_batch(rows))
            assert answer.status_code == 200, answer.text
            predictions = answer.json()["predictions"]
            self.answers.append(
                [(one["model_version"], one["score"]) for one in predictions if one["score"]]
            )


def _until(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _DEADLINE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(0.002)


def _said(world: World, machine: str) -> list[VerdictBatch]:
    return [
        verdicts.decode(message.value)
        for number in range(topics.VERDICTS.partitions)
        for message in world.broker.read(Partition(topics.VERDICTS.name, number))
        if message.key == machine.encode()
    ]


@pytest.fixture
def load(
    world: World,
    registry: MemoryRegistry,
    register: Callable[..., ModelVersion],
    make_detector: Callable[..., Detector],
) -> Load:
    """What was seen of a hundred promotions, one after the other."""
    for number in range(1, PROMOTIONS + 2):
        register(make_detector(boundary=_boundary(str(number))), promote=False)
    registry.promote(NAME, "1")
    load = Load(world)
    announce = world.broker.producer()
    with load.running():
        _until(lambda: any(load.answers) and load.sent > 10, "the load")
        for number in range(2, PROMOTIONS + 2):
            registry.promote(NAME, str(number))
            event = ModelEvent(
                event_id=str(number),
                kind=ModelEventKind.PROMOTED,
                model_name=NAME,
                model_version=str(number),
                at_ms=0,
                actor="test",
            )
            announce.send(topics.MODEL_EVENTS.name, NAME.encode(), events.encode(event))

            _until(partial(load.is_answering, str(number)), f"version {number}")
    return load


def test_a_hundred_promotions_leave_no_error_no_gap_and_no_mixture(
    load: Load, world: World
) -> None:
    assert load.errors == []
    _assert_streamed(world)
    _assert_answered(load)


def _assert_streamed(world: World) -> None:
    """Each reading has one verdict, from the version it names, and no version comes back."""
    for machine in MACHINES:
        batches = _said(world, machine)
        times = [verdict.timestamp_ms for batch in batches for verdict in batch.verdicts]
        assert times == sorted(set(times))
        assert times == list(range(0, 1_000 * len(times), 1_000))
        versions = [int(batch.model_version or 0) for batch in batches]
        assert versions == sorted(versions)
        scored = [
            (batch.model_version, verdict)
            for batch in batches
            for verdict in batch.verdicts
            if verdict.timestamp_ms >= 2_000
        ]
        assert {verdict.status for _, verdict in scored} == {Status.NORMAL}
        for version, verdict in scored:
            assert version is not None
            assert verdict.score == pytest.approx(1.0 / _boundary(version))


def _assert_answered(load: Load) -> None:
    """Each answer is wholly from the version that it names; all have answered, in their order."""
    order = []
    # Before the first version was loaded there was nothing to score with.
    for answer in dropwhile(lambda scored: not scored, load.answers):
        [version] = {version for version, _ in answer}
        assert [score for _, score in answer] == pytest.approx(
            [1.0 / _boundary(version)] * len(answer)
        )
        order.append(int(version))
    assert order == sorted(order)
    assert set(order) == set(range(1, PROMOTIONS + 2))
