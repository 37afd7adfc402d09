"""Model events: a reason to look at the registry, and a place to say what was refused."""

from __future__ import annotations

import threading

import pytest

from faultline import events, topics
from faultline.adapters.memory.broker import MemoryBroker
from faultline.events import ModelEvent, ModelEventKind
from services.predictor.news import Announcer, ModelNews

_DEADLINE_S = 10.0


def _event(kind: ModelEventKind) -> ModelEvent:
    return ModelEvent(
        event_id=kind, kind=kind, model_name="faultline-pump", model_version="2", at_ms=0,
        actor="gate",
    )  # fmt: skip


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.create_topics(topics.ALL)
    return broker


class Heard(threading.Event):
    """Stops listening after so many looks at it."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Speaking(MemoryBroker):
    """A broker on which something is said as soon as someone listens."""

    said: bytes = b""

    def tail(self, topic: topics.Topic):  # type: ignore[no-untyped-def]
        tail = super().tail(topic)
        self.producer().send(topic.name, b"faultline-pump", self.said)
        return tail


@pytest.mark.parametrize(
    ("kind", "wakes"),
    [
        (ModelEventKind.PROMOTED, True),
        (ModelEventKind.ROLLED_BACK, True),
        (ModelEventKind.ARCHIVED, True),
        (ModelEventKind.REGISTERED, True),
        (ModelEventKind.LOAD_REFUSED, False),
    ],
)
def test_only_a_version_that_moved_is_a_reason_to_look(kind: ModelEventKind, wakes: bool) -> None:
    broker = Speaking()
    broker.create_topics(topics.ALL)
    broker.said = events.encode(_event(kind))
    wanted = threading.Event()
    ModelNews(broker, [wanted], retry_s=0.0).run(Heard(looks=2))
    assert wanted.is_set() is wakes


@pytest.mark.parametrize(
    "said",
    [b'{"kind": "something new"}', b'{"kind": "\xff"}', b'{"x":' + b"[" * 100_000],
    ids=["of a kind not known here", "no UTF-8", "nested too deeply"],
)
def test_an_event_that_cannot_be_read_is_a_reason_to_look(said: bytes) -> None:
    broker = Speaking()
    broker.create_topics(topics.ALL)
    broker.said = said
    wanted = threading.Event()
    ModelNews(broker, [wanted], retry_s=0.0).run(Heard(looks=2))
    assert wanted.is_set()


def test_while_the_broker_is_down_it_waits_and_listens_again_later(broker: MemoryBroker) -> None:
    broker.stop()
    wanted, stop = threading.Event(), threading.Event()
    loop = threading.Thread(target=ModelNews(broker, [wanted], retry_s=0.01).run, args=(stop,))
    loop.start()
    broker.start()
    try:
        # What is said before it listens again is not heard: so it is said until it is.
        for _ in range(1_000):
            broker.producer().send(
                topics.MODEL_EVENTS.name, b"k", events.encode(_event(ModelEventKind.PROMOTED))
            )
            if wanted.wait(_DEADLINE_S / 1_000):
                break
    finally:
        stop.set()
        loop.join(_DEADLINE_S)
    assert wanted.is_set()


def test_an_announcement_is_on_the_topic_under_its_models_name(broker: MemoryBroker) -> None:
    event = _event(ModelEventKind.LOAD_REFUSED)
    Announcer(broker)(event)
    (message,) = broker.sent(topics.MODEL_EVENTS.name)
    assert message.key == b"faultline-pump"
    assert events.decode(message.value) == event
