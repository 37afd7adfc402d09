"""A hundred promotions by the trainer while readings stream and predictions are asked for.

The trainer and the predictor are processes, on the real Kafka, PostgreSQL and MLflow. Versions
differ in all their numbers, so what mixes two, or names another than the one that judged, shows.
In memory, and quickly, the same is in `tests/unit/predictor`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest

from faultline import events, topics
from faultline.alarms import AlarmPolicy
from faultline.bundle import read_bundle
from faultline.client import TrainerClient
from faultline.events import ModelEventKind
from faultline.judge import EVERYTHING, Model, judge
from faultline.machine_state import MachineState
from faultline.ports.promotions import Promotion
from faultline.ports.registry import Stage
from faultline.readings import Reading, encode_batch, make_reading
from services.predictor.fleet import Judged
from services.predictor.prediction_answers import encode_predictions
from services.predictor.slot import ModelSlot

if TYPE_CHECKING:
    from tests.integration.conftest import Running, Until
    from tests.integration.predictor.conftest import Said, World

pytestmark = pytest.mark.real

_PROMOTIONS = 100
_MACHINES = 3
_PATIENCE_S = 300.0
# The load leaves the rest of a small machine to what it loads.
_EVERY_S = 0.02
_LOOK_EVERY_S = 0.01


class Answer(NamedTuple):
    """What came of a request to predict; times in milliseconds since the epoch."""

    asked_ms: int
    given_ms: int
    version: int
    content: bytes


@dataclass(frozen=True)
class Sent:
    """A reading in the stream: when it was sent, and which version was answering already."""

    reading: Reading
    at_ms: int
    answering: int


class Load:
    """Threads that send and ask again and again until they are told to stop, and what they saw."""

    def __init__(self, world: World, predictor: Running) -> None:
        self.answers: list[Answer] = []
        self.sent: list[Sent] = []
        self.machines = [f"{world.kind}/{number}" for number in range(_MACHINES)]
        self.asked = [_reading(world.kind, "new", second) for second in range(10)]
        self.errors: list[BaseException] = []
        self._world = world
        self._predictor = predictor
        self._body = encode_batch(self.asked)
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._again_and_again, args=(do,))
            for do in (self._send, self._ask)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(_PATIENCE_S)

    def answering(self) -> int:
        """The version of the last answer."""
        return self.answers[-1].version if self.answers else 0

    def is_answering(self, version: int) -> bool:
        assert self.errors == []
        return self.answering() == version

    def sent_of(self, machine: str) -> list[Sent]:
        return [one for one in self.sent if one.reading.machine_id == machine]

    def _again_and_again(self, do: Callable[[], None]) -> None:
        try:
            while not self._stop.wait(_EVERY_S):
                do()
        except BaseException as error:
            self.errors.append(error)
            raise

    def _send(self) -> None:
        second = len(self.sent) // _MACHINES
        for machine in self.machines:
            reading = _reading(self._world.kind, machine, second)
            self.sent.append(Sent(reading, _now_ms(), self.answering()))
            self._world.publish([reading])

    def _ask(self) -> None:
        asked_ms = _now_ms()
        answer = self._predictor.http.post("/api/v1/predict", content=self._body)
        assert answer.status_code == 200, answer.text
        versions = {int(one["model_version"]) for one in answer.json()["predictions"]}
        assert len(versions) == 1, answer.text
        self.answers.append(Answer(asked_ms, _now_ms(), versions.pop(), answer.content))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _reading(kind: str, machine: str, second: int) -> Reading:
    values: dict[str, float | None] = {"flow": math.sin(second), "heat": math.cos(second * 1.7)}
    return make_reading(machine, 1_000 * second, values, kind)


@dataclass(frozen=True)
class Promoted:
    """What is known of a hundred promotions when they are over."""

    load: Load
    said: Mapping[str, Said]
    rows: Sequence[Promotion]
    models: Mapping[str, Model]

    def live_at(self, at_ms: int) -> int:
        """The version in Production then, by the table of promotions; 0 when there was none."""
        return max((int(row.to_version or 0) for row in self.rows if row.at_ms <= at_ms), default=0)


@pytest.fixture
def promoted(world: World, until: Until) -> Promoted:
    """Promote a hundred versions by the trainer's API, one after the other, under load."""
    # The first by itself: two that set an alias for the first time at once, and MLflow fails.
    first = world.register(2.0, promote=False)
    with ThreadPoolExecutor(4) as threads:
        registered = threads.map(
            lambda number: world.register(2.0 + number / 100, centre=number / 1_000, promote=False),
            range(1, _PROMOTIONS),
        )
        versions = [first, *sorted(registered, key=int)]
    with (
        world.predictor() as predictor,
        world.trainer(FAULTLINE_TRAINER_RECONCILE_S="1") as trainer,
        TrainerClient(trainer.url) as client,
    ):
        load = Load(world, predictor)
        client.promote(world.name, versions[0], reason="the first")
        until(partial(predictor.judges_by, world.kind, versions[0]), "the first version")
        with load.running():
            until(lambda: bool(load.answers), "the first answer", _LOOK_EVERY_S)
            for version in versions[1:]:
                client.promote(world.name, version, reason="the next")
                answering = partial(load.is_answering, int(version))
                until(answering, f"version {version}", _LOOK_EVERY_S)
        seconds = range(len(load.sent) // _MACHINES)
        said = {machine: world.wait_for(seconds, machine) for machine in load.machines}
    rows = list(reversed(world.database.promotion_log().list(world.name, 2 * _PROMOTIONS)))
    models = {
        version: Model(world.name, version, read_bundle(folder).detector)
        for version, folder in world.bundles.items()
    }
    return Promoted(load, said, rows, models)


def test_a_hundred_promotions_leave_no_error_no_gap_and_no_mixture(
    world: World, promoted: Promoted
) -> None:
    assert promoted.load.errors == []
    _assert_answered(promoted)
    for machine in promoted.load.machines:
        _assert_streamed(machine, promoted)
    _assert_recorded(world, promoted.rows)


def _assert_answered(promoted: Promoted) -> None:
    """Each answer is to the bit what its version says; all have answered, in their order."""
    expected = {
        int(version): _predicted(model, promoted.load.asked)
        for version, model in promoted.models.items()
    }
    for answer in promoted.load.answers:
        assert answer.content == expected[answer.version]
        # Its successor is promoted only once it has answered.
        assert promoted.live_at(answer.asked_ms) - 1 <= answer.version
        assert answer.version <= promoted.live_at(answer.given_ms)
    order = [answer.version for answer in promoted.load.answers]
    assert order == sorted(order)
    assert sorted(set(order)) == list(range(1, _PROMOTIONS + 1))


def _predicted(model: Model, asked: Sequence[Reading]) -> bytes:
    given = judge(model, None, asked, AlarmPolicy(), EVERYTHING).batch.verdicts
    return encode_predictions(
        [Judged(reading, verdict, model) for reading, verdict in zip(asked, given, strict=True)],
        ModelSlot().absence,
    )


def _assert_streamed(machine: str, promoted: Promoted) -> None:
    """Each reading has one verdict, in order, to the bit what the version says that it names."""
    sent = promoted.load.sent_of(machine)
    said = promoted.said[machine]
    assert [verdict.timestamp_ms for _, verdict in said.verdicts] == [
        one.reading.timestamp_ms for one in sent
    ]
    state: MachineState | None = None
    remaining = iter(sent)
    versions = []
    for published_ms, batch in said.batches:
        assert batch.model_version is not None
        judged = [next(remaining) for _ in batch.verdicts]
        readings = [one.reading for one in judged]
        judgement = judge(promoted.models[batch.model_version], state, readings, AlarmPolicy())
        assert judgement.batch == batch
        state = judgement.state
        version = int(batch.model_version)
        versions.append(version)
        # Not before its promotion; and not once another had taken over, which the next but one
        # waits for.
        assert version <= promoted.live_at(published_ms)
        for one in judged:
            assert promoted.live_at(one.at_ms) - 1 <= one.answering <= version
    assert versions == sorted(versions)


def _assert_recorded(world: World, rows: Sequence[Promotion]) -> None:
    """Log, events, alias and stages tell the same."""
    versions = [str(number) for number in range(1, _PROMOTIONS + 1)]
    assert [row.to_version for row in rows] == versions
    assert [row.from_version for row in rows] == [None, *versions[:-1]]
    assert {row.announced for row in rows} == {True}
    assert world.database.promotion_log().unfinished(world.name) == []
    told = [events.decode(one.value) for one in world.messages(topics.MODEL_EVENTS, world.name)]
    for kind, named in (
        (ModelEventKind.PROMOTED, versions),
        (ModelEventKind.ARCHIVED, versions[:-1]),
    ):
        assert [one.model_version for one in told if one.kind is kind] == named
    live = world.registry.production(world.name)
    assert live is not None
    assert live.version == versions[-1]
    assert world.registry.staging(world.name) is None
    assert {one.version: one.stage for one in world.registry.versions(world.name)} == {
        **dict.fromkeys(versions[:-1], Stage.ARCHIVED),
        versions[-1]: Stage.PRODUCTION,
    }
