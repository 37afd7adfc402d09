"""How the predictor's loops hang together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faultline import topics
from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase
from faultline.adapters.memory.group import MemoryConsumer
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.ports.broker import RebalanceListener
from faultline.ports.clock import Clock
from faultline.topics import Topic
from services.predictor.assembly import assemble
from services.predictor.ports import Ports
from services.predictor.settings import PredictorSettings

_DEADLINE_S = 10.0


class _HeldBack(MemoryRegistry):
    """A registry whose answer takes until it is let go."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked, self.freed = threading.Event(), threading.Event()

    def models(self) -> Sequence[str]:
        self.asked.set()
        self.freed.wait()
        return super().models()


class _Watched(MemoryBroker):
    """Notes whether the registry had answered when a consumer was first asked for."""

    def __init__(self, registry: _HeldBack) -> None:
        super().__init__()
        self.joined = threading.Event()
        self.joined_early = False
        self._registry = registry

    def consumer(
        self, group: str, topics: Sequence[Topic], listener: RebalanceListener | None = None
    ) -> MemoryConsumer:
        self.joined_early |= not self._registry.freed.is_set()
        self.joined.set()
        return super().consumer(group, topics, listener)


@contextmanager
def _running(stop: threading.Event, threads: Sequence[threading.Thread]) -> Iterator[None]:
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_stream_joins_only_after_the_first_look_at_the_registry(
    clock: Clock, tmp_path: Path
) -> None:
    registry = _HeldBack(clock)
    broker = _Watched(registry)
    broker.create_topics(topics.ALL)
    predictor = assemble(
        PredictorSettings(state_dir=tmp_path),
        Ports(
            broker=broker,
            registry=registry,
            store=MemoryDatabase().fleet_store(),
            comparisons=MemoryDatabase().comparison_store(),
            drift=MemoryDatabase().drift_log(),
            database=lambda: None,
            clock=clock,
        ),
    )
    stop = threading.Event()
    loops = {loop.name: loop for loop in predictor.loops}
    threads = [
        threading.Thread(target=loops[name].run, args=(stop,)) for name in ("stream", "models")
    ]
    with _running(stop, threads):
        try:
            assert registry.asked.wait(_DEADLINE_S)
            # An absence cannot be waited for: a stream that does not wait joins within this.
            assert not broker.joined.wait(0.5)
        finally:
            registry.freed.set()
        assert broker.joined.wait(_DEADLINE_S)
    assert not broker.joined_early
