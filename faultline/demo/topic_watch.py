"""What appears on a topic, handed to whoever wants to know."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from faultline.errors import Unavailable
from faultline.ports.broker import Broker
from faultline.topics import Topic

_POLL_S = 0.2


class TopicWatch:
    """Follows a topic from now on, in a thread of its own; a context manager."""

    def __init__(self, broker: Broker, topic: Topic, hear: Callable[[bytes], None]) -> None:
        self._tail = broker.tail(topic)
        self._hear = hear
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {topic.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    messages = self._tail.poll(_POLL_S)
                except Unavailable:
                    # Only the telling suffers: what counts is read from the store.
                    self._stop.wait(_POLL_S)
                    continue
                for message in messages:
                    self._hear(message.value)
        finally:
            self._tail.close()
